// The running daemon and fastmqttctl, over the control socket.
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "daemon/operate/control_socket.hpp"
#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

using Json = nlohmann::ordered_json;

class ControlIntegration : public IntegrationTest {
 protected:
  std::filesystem::path socket() const { return daemon_.file("runtime") / "control.sock"; }
  Finished ctl(const std::vector<std::string>& arguments) const { return daemon_.ctl(arguments); }
  // What must succeed.
  std::string said(const std::vector<std::string>& arguments) const {
    const Finished done = ctl(arguments);
    if (done.exit != Exit{} || !done.errors.empty()) throw std::runtime_error(done.errors);
    return done.output;
  }
  Json json(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    return Json::parse(said(arguments));
  }

  // A handler that gives up each message at once, and these messages given up.
  void give_up(const std::vector<std::string>& payloads) {
    start(recorder("picky", "n/#", "answer: reject"), {"n/#"});
    publish_all(broker_, "n/1", payloads);
    await_dead_letters(payloads.size());
  }
  void await_dead_letters(std::size_t count) const {
    std::size_t there = 0;
    if (!eventually([&] { return (there = json({"dead-letters", "list"}).size()) == count; }))
      throw std::runtime_error("there are " + std::to_string(there) + " dead letters");
  }
  void restart(const std::string& handlers) {
    daemon_.stop();
    configure(handlers);
    daemon_.start_ready();
  }
  bool status_has(const std::string& text) {
    return eventually([&] { return daemon_.notify().last("STATUS=").find(text) != text.npos; });
  }
};

// ---- dead letters ------------------------------------------------------------------------------

TEST_F(ControlIntegration, ListsAndShowsDeadLetters) {
  start(recorder("picky", "n/#", "answer: reject"), {"n/#"});
  EXPECT_EQ(said({"dead-letters", "list"}), "no dead letters\n");
  EXPECT_EQ(json({"dead-letters", "list"}), Json::array());
  publish(broker_, "n/text", "colour \x1b[31m red\nline two");
  publish(broker_, "n/bytes", std::string_view("\xff\x00\x01", 3),
          {.arguments = {"-D", "publish", "content-type", "application/x", "-D", "publish",
                         "user-property", "from", "te\u202est"}});
  await_dead_letters(2);

  const Json list = json({"dead-letters", "list"});
  EXPECT_EQ(list[0].at("topic"), "n/text");
  EXPECT_EQ(list[1].at("id"), 2);
  EXPECT_EQ(list[1].at("payload_bytes"), 3);
  EXPECT_EQ(json({"dead-letters", "list", "--handler", "picky"}), list);
  for (const char* what : {"list", "replay", "drop"}) {
    std::vector<std::string> arguments{"dead-letters", what, "--handler", "other"};
    if (what != std::string("list")) arguments.push_back("--all");
    const Finished unknown = ctl(arguments);
    EXPECT_EQ(unknown.exit, Exit{.status = 1}) << what;
    EXPECT_THAT(unknown.errors, HasSubstr("other: there is no handler of that name")) << what;
    arguments[3] = "";  // of a variable that is not set
    EXPECT_EQ(ctl(arguments).exit, Exit{.status = 64}) << what;
  }
  EXPECT_EQ(ctl({"dead-letters", "drop", "99999999999999999999"}).exit, Exit{.status = 64});
  EXPECT_EQ(json({"dead-letters", "list"}), list);
  const auto lines = lines_of(said({"dead-letters", "list"}));
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_THAT(lines[0],
              MatchesRegex("ID  HANDLER  RECEIVED +DIED +ATTEMPTS  BYTES  TOPIC +REASON"));
  EXPECT_THAT(
      lines[2],
      MatchesRegex(" 2  picky    (20[0-9-]+T[0-9:]+[+-][0-9:]+  ){2}       1      3  n/bytes  "
                   "rejected"));
  EXPECT_EQ(lines[0].find("TOPIC"), lines[2].find("n/bytes"));

  EXPECT_THAT(said({"dead-letters", "show", "1"}),
              AllOf(HasSubstr("\ntopic        n/text\n"), Not(HasSubstr("\x1b")),
                    HasSubstr("\n\ncolour \\x1b[31m red\nline two\n")));
  EXPECT_THAT(
      said({"dead-letters", "show", "2"}),
      AllOf(HasSubstr("property     content type: application/x\n"),
            HasSubstr("property     from = te\\xe2\\x80\\xaest\n"), HasSubstr("\n\n/wAB\n")));
  const Json text = json({"dead-letters", "show", "1"});
  EXPECT_EQ(text.at("payload"), "colour \x1b[31m red\nline two");
  EXPECT_EQ(text.at("encoding"), "text");
  const Json bytes = json({"dead-letters", "show", "2"});
  EXPECT_EQ(bytes.at("payload"), "/wAB");
  EXPECT_EQ(bytes.at("encoding"), "base64");
  EXPECT_EQ(bytes.at("properties").at("user_properties")[0].at("value"), "te\u202est");
}

TEST_F(ControlIntegration, ReplaysADeadLetterToItsHandler) {
  give_up({"one", "two", "three"});
  restart(recorder("picky", "n/#"));
  EXPECT_EQ(said({"dead-letters", "replay", "3", "1"}), "replayed 2 dead letters\n");
  EXPECT_EQ(payloads(await_records("picky", 5)),
            (std::vector<std::string>{"one", "two", "three", "three", "one"}));
  const Json left = json({"dead-letters", "list"});
  ASSERT_THAT(left, SizeIs(1));
  EXPECT_EQ(left[0].at("id"), 2);
  EXPECT_TRUE(eventually([&] { return json({"status"})["spool"]["waiting"] == 0; }));
}

TEST_F(ControlIntegration, ReplaysAllThatThereAreAtTheBeginning) {
  give_up(numbers(300));  // more than a page
  // They are given up again while it goes on.
  EXPECT_EQ(said({"dead-letters", "replay", "--all", "--handler", "picky"}),
            "replayed 300 dead letters\n");
  await_dead_letters(300);
  EXPECT_EQ(json({"dead-letters", "list"})[0].at("id"), 301);
  EXPECT_EQ(payloads(await_records("picky", 600)).size(), 600u);
}

TEST_F(ControlIntegration, DropsDeadLetters) {
  give_up(numbers(300));
  EXPECT_EQ(said({"dead-letters", "drop", "7"}), "dropped 1 dead letter\n");
  EXPECT_EQ(json({"status"})["handlers"][0]["dead_letters"], 299);
  std::vector<std::string> many{"dead-letters", "drop"};
  for (const std::string& id : numbers(250))
    if (id != "7") many.push_back(id);
  EXPECT_EQ(said(many), "dropped 249 dead letters\n");
  EXPECT_EQ(said({"dead-letters", "drop", "--all"}), "dropped 50 dead letters\n");
  EXPECT_EQ(said({"dead-letters", "list"}), "no dead letters\n");
  EXPECT_EQ(json({"status"})["handlers"][0]["dead_letters"], 0);
}

TEST_F(ControlIntegration, KeepsDeadLettersOfAHandlerThatIsGone) {
  give_up({"one", "two"});
  restart(recorder("other", "o/#"));
  EXPECT_THAT(said({"status"}),
              HasSubstr(" 2 dead letters wait for the handler picky, which is not configured\n"));
  EXPECT_TRUE(
      daemon_.logged("2 dead letters wait in the spool for the handler picky, which is not"));
  const Finished replayed = ctl({"dead-letters", "replay", "1"});
  EXPECT_EQ(replayed.exit, Exit{.status = 1});
  EXPECT_THAT(replayed.errors, HasSubstr("its handler picky is not configured"));
  EXPECT_EQ(said({"dead-letters", "replay", "--all"}),
            "replayed 0 dead letters\n2 dead letters left as they are: their handlers are not "
            "configured\n");
  EXPECT_EQ(said({"dead-letters", "drop", "2", "2", "1"}), "dropped 2 dead letters\n");
}

TEST_F(ControlIntegration, SaysWhenItsOutputCannotBeWritten) {
  give_up({"one"});
  for (const std::string what : {"status", "dead-letters list", "dead-letters list --json"}) {
    const Finished full = run({.argv = {"/bin/sh", "-c",
                                        FASTMQTTCTL_PROGRAM " --socket " + socket().string() + " " +
                                            what + " > /dev/full"}});
    EXPECT_EQ(full.exit, Exit{.status = 74}) << what;
    EXPECT_THAT(full.errors, HasSubstr("No space left on device")) << what;
  }
}

// Of QoS 0, for which nothing was promised.
TEST_F(ControlIntegration, DeadLettersOfOneHandlerLeaveRoomForTheOthers) {
  broker_.start();
  daemon_.add_plugin("recorder");
  daemon_.configure(daemon_.mqtt_section(broker_) + "spool: {max_size: 1MiB}\nhandlers:\n" +
                    recorder("picky", "n/#", "answer: reject") + recorder("good", "g"));
  daemon_.start_ready();
  await_subscriptions({"n/#", "g"});
  const std::string large(10'000, 'x');
  for (int i = 0; i < 200; ++i) publish(broker_, "n/1", large, {.qos = 0});
  await_log("picky: .*given up (is|are) not kept as");
  publish(broker_, "g", "stored");
  await_payload("good", "stored");
}

TEST_F(ControlIntegration, SaysWhichDeadLettersThereAreNot) {
  give_up({"one"});
  const Finished some = ctl({"dead-letters", "drop", "8", "1", "9"});
  EXPECT_EQ(some.exit, Exit{.status = 1});
  EXPECT_EQ(some.output, "dropped 1 dead letter\n");
  EXPECT_EQ(some.errors,
            "fastmqttctl: dead letters 8, 9: there are none with these ids: see "
            "'fastmqttctl dead-letters list'\n");
  for (const char* what : {"show", "replay"}) {
    const Finished none = ctl({"dead-letters", what, "5"});
    EXPECT_EQ(none.exit, Exit{.status = 1});
    EXPECT_THAT(none.errors, StartsWith("fastmqttctl: dead letter 5: there is none with that id"));
  }
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"dead-letters"},
                                             {"dead-letters", "replay"},
                                             {"dead-letters", "replay", "--all", "1"},
                                             {"dead-letters", "drop", "--handler", "picky", "1"},
                                             {"dead-letters", "show", "x"},
                                             {"dead-letters", "show", "-1"},
                                             {"forget"}})
    EXPECT_EQ(ctl(wrong).exit, Exit{.status = 64}) << wrong.back();
}

// ---- completion --------------------------------------------------------------------------------

TEST_F(ControlIntegration, BashCompletesWhatTheDaemonHas) {
  give_up(numbers(2));
  restart(recorder("stays", "n/#"));
  publish(broker_, "n/1", "x");
  await_records("stays", 1);
  const auto words_after = [&](const std::string& line) {
    const auto file = std::filesystem::path(FASTMQTTD_SOURCE_DIR) / "packaging/completions";
    const Finished done =
        run({.argv = {"bash", "-c",
                      "PATH=" + std::filesystem::path(FASTMQTTCTL_PROGRAM).parent_path().string() +
                          ":$PATH; . " + (file / "fastmqttctl.bash").string() +
                          "; COMP_WORDS=(fastmqttctl --socket " + socket().string() + " " + line +
                          " ''); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _fastmqttctl; "
                          "echo ${COMPREPLY[@]}"}});
    EXPECT_THAT(done.errors, IsEmpty());
    return done.output;
  };
  EXPECT_EQ(words_after("pause"), "stays\n");
  EXPECT_EQ(words_after("log-level"), "stays debug info warning error\n");
  EXPECT_EQ(words_after("forget"), "picky\n");
  EXPECT_EQ(words_after("dead-letters show"), "--json 1 2\n");
  EXPECT_EQ(words_after("dead-letters replay"), "--all --handler 1 2\n");
  EXPECT_EQ(words_after("dead-letters replay --all --handler"), "stays\n");
}

// ---- forget and status -------------------------------------------------------------------------

TEST_F(ControlIntegration, ForgetsWhatWaitsForAHandlerThatIsGone) {
  const std::string stays = recorder("stays", "n/#");
  start(stays + recorder("old", "n/#"), {"n/#"});
  hold("old");
  publish_all(broker_, "n/1", numbers(5));
  await_held("old");
  await_records("stays", 5);
  const Finished running = ctl({"forget", "old"});
  EXPECT_EQ(running.exit, Exit{.status = 1});
  EXPECT_THAT(running.errors, HasSubstr("fastmqttctl: old: this handler is configured"));
  daemon_.kill();
  restart(stays);

  EXPECT_TRUE(status_has("; 5 messages wait for the handler old, which is not configured"));
  EXPECT_THAT(said({"status"}), HasSubstr("\n            5 messages wait for the handler old, "
                                          "which is not configured\n"));
  EXPECT_EQ(json({"status"})["spool"]["not_configured"].dump(),
            R"([{"handler":"old","waiting":5,"dead_letters":0}])");
  EXPECT_EQ(said({"forget", "old"}), "forgot 5 messages for old\n");
  EXPECT_EQ(json({"status"})["spool"]["not_configured"], Json::array());
  const Finished again = ctl({"forget", "old"});
  EXPECT_EQ(again.exit, Exit{.status = 1});
  EXPECT_THAT(again.errors,
              HasSubstr("fastmqttctl: old: nothing waits for a handler of that name"));
}

TEST_F(ControlIntegration, ShowsTheStatusOnOneScreen) {
  start(recorder("good", "g/#") + recorder("bad", "b/#", "answer: retry", "retry: {delay: 1ms}"),
        {"g/#", "b/#"});
  publish_all(broker_, "g/1", numbers(3));
  publish(broker_, "b/1", "x");
  await_records("good", 3);
  EXPECT_TRUE(status_has("; bad suspended"));
  Json status = json({"status"});
  EXPECT_EQ(status["connection"]["state"], "connected");
  EXPECT_EQ(status["connection"]["broker"], "127.0.0.1:" + std::to_string(broker_.port()));
  EXPECT_EQ(status["spool"]["max_bytes"], 1u << 30);
  EXPECT_EQ(status["handlers"][0]["done"], 3);
  EXPECT_EQ(status["handlers"][0]["state"], "running");
  EXPECT_EQ(status["handlers"][1]["waiting"], 1);
  EXPECT_EQ(status["handlers"][1]["state"], "suspended");
  EXPECT_THAT(
      said({"status"}),
      MatchesRegex("connection  connected to [0-9.:]+, since [-0-9T:+]+\n"
                   "spool       [0-9.]+[KM]iB of 1.0GiB, 1 message waiting\n"
                   "publishing  0 messages on the way to the broker\n"
                   "log level   debug\n\n"
                   "HANDLER  PLUGIN        WAITING  DONE  FAILED  DEAD LETTERS  STATE\n"
                   "good     recorder 1.0        0     3       0             0  running\n"
                   "bad      recorder 1.0        1     0 +[0-9]+             0  suspended\n\n"
                   "bad: suspended: the next try is in [0-9.]+m?s\n"
                   "bad: last trouble, [-0-9T:+]+: b/1: failed, and is to be tried again\n"));
  broker_.stop();
  EXPECT_TRUE(eventually([&] {
    return said({"status"}).find("connection  not connected to 127.0.0.1:") == 0;
  })) << said({"status"});
}

// ---- handlers ----------------------------------------------------------------------------------

TEST_F(ControlIntegration, ShowsARowForEachHandler) {
  start(recorder("one", "a/#, b/+") + recorder("two", "c", "answer: retry"), {"a/#", "b/+", "c"});
  publish(broker_, "a/1", "x");
  await_records("one", 1);
  EXPECT_THAT(
      said({"handlers"}),
      MatchesRegex(
          "HANDLER  PLUGIN        FILTERS   QUEUE  DONE  FAILED  RETRYING  DEAD  STATE\n"
          "one      recorder 1.0  a/#, b/\\+      0     1       0         0     0  running\n"
          "two      recorder 1.0  c             0     0       0         0     0  running\n"));
  const Json handlers = json({"handlers"});
  ASSERT_THAT(handlers, SizeIs(2));
  EXPECT_EQ(handlers[0]["filters"][1]["filter"], "b/+");
  EXPECT_EQ(handlers[0]["handled"], 1);
}

TEST_F(ControlIntegration, TellsTheRouteOfATopic) {
  start(recorder("one", "a/#, a/b") + recorder("two", "+/b"), {"a/#", "+/b"});
  EXPECT_EQ(said({"route", "a/b"}),
            "HANDLER  STATE    THROUGH\none      running  a/#, a/b\ntwo      running  +/b\n");
  EXPECT_EQ(json({"route", "x/b"})["handlers"][0]["handler"], "two");
  const Finished nobody = ctl({"route", "z"});
  EXPECT_EQ(nobody.exit, (Exit{.status = 1}));
  EXPECT_EQ(nobody.output, "no handler\n");
  EXPECT_THAT(ctl({"route", "a/+"}).errors, HasSubstr("topic 'a/+' is not valid"));
}

TEST_F(ControlIntegration, PausesAHandlerOverReloadsAndRestarts) {
  start(recorder("one", "a/#") + recorder("two", "a/#"), {"a/#"});
  EXPECT_EQ(said({"pause", "one"}), "one is paused; 0 messages are waiting\n");
  publish_all(broker_, "a/1", {"1", "2"});
  await_records("two", 2);
  EXPECT_EQ(said({"pause", "one"}), "one was paused already; 2 messages are waiting\n");
  EXPECT_TRUE(status_has("; one paused"));
  configure(recorder("one", "a/#", "only: x") + recorder("two", "a/#"));
  ASSERT_EQ(ctl({"reload"}).exit, Exit{});
  EXPECT_EQ(json({"handlers"})[0]["state"], "paused");
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  await_log("warning one: is paused");
  publish(broker_, "a/1", "3");
  await_records("two", 3);
  EXPECT_EQ(json({"handlers"})[0]["waiting"], 3);
  EXPECT_EQ(records("one").size(), 0u);
  EXPECT_THAT(said({"resume", "one"}), StartsWith("one goes on; "));
  EXPECT_EQ(payloads(await_records("one", 3)), (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_THAT(ctl({"pause", "onne"}).errors,
              HasSubstr("onne: there is no handler of that name: did you mean 'one'?"));
}

TEST_F(ControlIntegration, SetsLogLevelsUntilTheNextReload) {
  start(recorder("one", "a/#", "answer: reject") + recorder("two", "b/#", "answer: reject"),
        {"a/#", "b/#"});
  said({"log-level", "error"});
  said({"log-level", "one", "debug"});
  EXPECT_THAT(said({"status"}), HasSubstr("\nlog level   error; one: debug\n"));
  EXPECT_THAT(ctl({"log-level", "loud"}).errors, HasSubstr("log level 'loud': there is none"));
  EXPECT_THAT(ctl({"log-level", "nobody", "debug"}).errors,
              HasSubstr("nobody: there is no handler"));
  configure(recorder("one", "a/#", "answer: reject") + recorder("two", "b/#", "answer: reject"));
  ASSERT_EQ(ctl({"reload"}).exit, Exit{});
  await_log("info .* reloaded: ");
  EXPECT_THAT(said({"status"}), HasSubstr("\nlog level   debug\n"));
}

TEST_F(ControlIntegration, ShowsDeliveriesAsTheyCome) {
  start(recorder("one", "a/#") + recorder("two", "b/#", "answer: reject"), {"a/#", "b/#"});
  const auto file = daemon_.file("tail");
  Process tail(
      {.argv = {FASTMQTTCTL_PROGRAM, "--socket", socket().string(), "tail", "+/1", "--json"},
       .output = file});
  // Once it looks on.
  EXPECT_TRUE(eventually([&] {
    publish(broker_, "a/1", "x");
    return !read_file(file).empty();
  }));
  publish(broker_, "a/2", "x");
  publish(broker_, "b/1", "x");
  EXPECT_TRUE(eventually([&] { return read_file(file).find("\"two\"") != std::string::npos; }));
  const std::string lines = read_file(file);
  const Json first = Json::parse(lines.substr(0, lines.find('\n')));
  EXPECT_EQ(first["topic"], "a/1");
  EXPECT_EQ(first["handler"], "one");
  EXPECT_EQ(first["result"], "ok");
  EXPECT_GT(first["seconds"], 0);
  EXPECT_THAT(lines, AllOf(Not(HasSubstr("a/2")), HasSubstr("\"reject\"")));
  EXPECT_THAT(ctl({"tail", "a/#/b"}).errors, HasSubstr("topic filter 'a/#/b' is not valid"));
  daemon_.stop();
  EXPECT_EQ(tail.wait(), (Exit{.status = 69}));
}

TEST_F(ControlIntegration, ShowsWhatHappensEachSecond) {
  start(recorder("one", "a/#"), {"a/#"});
  const auto file = daemon_.file("top");
  Process top(
      {.argv = {FASTMQTTCTL_PROGRAM, "--socket", socket().string(), "top"}, .output = file});
  EXPECT_TRUE(eventually([&] {
    publish(broker_, "a/1", "x");
    return read_file(file).find("us         0             0  running") != std::string::npos;
  })) << read_file(file);
}

TEST_F(ControlIntegration, SaysWhichCommandWasMeant) {
  const Finished wrong = ctl({"statsu"});
  EXPECT_EQ(wrong.exit, (Exit{.status = 64}));
  EXPECT_EQ(wrong.errors,
            "fastmqttctl: 'statsu' is no command: did you mean 'status'? see fastmqttctl --help\n");
}

// ---- the socket --------------------------------------------------------------------------------

TEST_F(ControlIntegration, IsForTheGroupAndGoneAfterAStop) {
  start(recorder("all", "n/#"), {"n/#"});
  struct stat status {};
  ASSERT_EQ(::stat(socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660u);
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_FALSE(std::filesystem::exists(socket()));
  const Finished gone = ctl({"status"});
  EXPECT_EQ(gone.exit, Exit{.status = 69});
  EXPECT_THAT(gone.errors, StartsWith("fastmqttctl: " + socket().string() +
                                      ": cannot reach the daemon: is it running? (No such file"));
}

TEST_F(ControlIntegration, ReplacesTheSocketOfADaemonThatIsDead) {
  start(recorder("all", "n/#"), {"n/#"});
  daemon_.kill();
  ASSERT_TRUE(std::filesystem::exists(socket()));
  const Finished dead = ctl({"status"});
  EXPECT_EQ(dead.exit, Exit{.status = 69});
  EXPECT_THAT(dead.errors, HasSubstr("(Connection refused)"));
  daemon_.start_ready();
  EXPECT_THAT(said({"status"}), StartsWith("connection"));
}

TEST_F(ControlIntegration, IsNotTakenFromADaemonThatLives) {
  start(recorder("all", "n/#"), {"n/#"});
  Daemon second;
  second.add_plugin("recorder");
  second.configure(second.mqtt_section(broker_) + "control: {socket: " + socket().string() + "}\n");
  const Finished refused = second.run({});
  EXPECT_EQ(refused.exit, Exit{.status = 78});
  EXPECT_THAT(refused.errors,
              AllOf(HasSubstr(second.config_file().string() + ":"),
                    HasSubstr(": control.socket: " + socket().string() +
                              ": another fastmqttd listens there: expected a socket of its own")));
  EXPECT_THAT(said({"status"}), StartsWith("connection"));
}

TEST_F(ControlIntegration, NamesAPathThatWillNotDo) {
  const std::string path = "/" + std::string(107, 'x');
  daemon_.configure("control: {socket: " + path + "}\n");
  const Finished refused = daemon_.run({"--check"});
  EXPECT_EQ(refused.exit, Exit{.status = 78});
  EXPECT_THAT(refused.errors, HasSubstr("fastmqttd.yaml:1:19: control.socket: is too long for a "
                                        "socket (108 bytes): expected at most 107"));
  const Finished ctl = run_ctl(path, {"status"});
  EXPECT_EQ(ctl.exit, Exit{.status = 64});
  EXPECT_THAT(ctl.errors, HasSubstr("is too long for a socket: expected at most 107 bytes"));
}

TEST_F(ControlIntegration, IsLeftOutWithAWarningWhereThereIsNoPlaceForOne) {
  if (std::filesystem::exists("/run/fastmqttd")) GTEST_SKIP() << "this machine has a place";
  daemon_.set_environment("RUNTIME_DIRECTORY");
  start(recorder("all", "n/#"), {"n/#"});
  await_log(
      "warning /run/fastmqttd/control.sock: no socket can be made there: .*: fastmqttctl "
      "cannot reach this daemon");
}

// ---- what others send --------------------------------------------------------------------------

// A connection to the control socket.
class Peer {
 public:
  explicit Peer(const std::filesystem::path& socket)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const auto address = socket_address(socket);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
      throw std::runtime_error("cannot connect");
  }
  // As much of it as is taken.
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void end() const { ::shutdown(fd_.get(), SHUT_WR); }
  // All that comes until the daemon closes.
  std::string answer() const {
    std::string all;
    char some[4096];
    for (ssize_t got; (got = ::recv(fd_.get(), some, sizeof some, 0)) > 0;)
      all.append(some, static_cast<std::size_t>(got));
    return all;
  }

 private:
  UniqueFd fd_;
};

TEST_F(ControlIntegration, IsNotHurtByWhatIsNoRequest) {
  start(recorder("all", "n/#"), {"n/#"});
  const std::string line = "POST /v1/forget HTTP/1.1\r\n";
  const std::string much(2'000'000, 'x');
  for (const std::string& bytes :
       {std::string("\0\xff garbage \r\n\r\n", 15), "GET /v1/status" + much,
        "GET /v1/status HTTP/1.1\r\nX: " + much, line + "Content-Length: 1000000000\r\n\r\n" + much,
        line + "Content-Length: -1\r\n\r\n",
        line + "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n" + much,
        line + "Content-Encoding: br\r\nContent-Length: 5\r\n\r\n12345", line + "\r\n" + much,
        line + "Content-Length: 60000\r\n\r\n" + std::string(60'000, '['),
        std::string("GET /v1/dead-letters?limit=99999999999999999999 HTTP/1.1\r\n\r\n"),
        std::string("DELETE /status HTTP/1.1\r\n\r\n")}) {
    const Peer peer(socket());
    peer.send(bytes);
    peer.end();
    EXPECT_THAT(peer.answer(), AnyOf("", MatchesRegex("HTTP/1.1 4.*"))) << bytes.substr(0, 60);
  }
  publish(broker_, "n/1", "still here");
  await_payload("all", "still here");
  EXPECT_THAT(said({"status"}), StartsWith("connection"));
}

TEST_F(ControlIntegration, IsNotHeldUpByHalvesOfRequests) {
  start(recorder("all", "n/#"), {"n/#"});
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(std::make_unique<Peer>(socket()));
    peers.back()->send("GET /v1/status HTTP/1.1\r\nHost:");
  }
  publish(broker_, "n/1", "meanwhile");
  await_payload("all", "meanwhile");
  // They are given up after a while.
  EXPECT_THAT(said({"status"}), StartsWith("connection"));
  peers.push_back(std::make_unique<Peer>(socket()));
  peers.back()->send("POST /v1/forget HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_EQ(daemon_.stop(), Exit{});  // and do not hold up a stop
}

TEST_F(ControlIntegration, ShowsNoSecrets) {
  broker_.add_user("edge", "hidden-password");
  start(recorder("all", "n/#"), {"n/#"}, "  username: edge\n  password: hidden-password\n");
  EXPECT_THAT(json({"status"}).dump(), Not(HasSubstr("hidden")));
}

}  // namespace
}  // namespace fastmqttd::testing
