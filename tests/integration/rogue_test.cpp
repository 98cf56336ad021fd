// Handlers that do what none should: the journal names them, and the daemon ends as it should.
#include <signal.h>

#include <algorithm>

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kReportsSignals = false;  // the sanitizer does
#else
constexpr bool kReportsSignals = true;
#endif

class Rogue : public IntegrationTest {
 protected:
  void configure_rogue(const std::string& options) {
    daemon_.add_plugin("rogue");
    configure("  rogue: {options: {" + options + "}}\n");
  }
  void start_rogue(const std::string& options = "") {
    daemon_.add_plugin("rogue");
    start("  rogue: {options: {" + options + "}}\n", {"rogue"});
  }
};

TEST_F(Rogue, ExitInAMessageIsAnErrorThatNamesIt) {
  start_rogue();
  publish(broker_, "rogue", "exit", {.qos = 1});
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = 70});
  await_log("handler rogue ended the process by exit");
}

TEST_F(Rogue, ExitAtTheStartIsNoSuccess) {
  configure_rogue("start: exit");
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 70});
  EXPECT_THAT(done.errors, ::testing::HasSubstr("handler rogue ended the process by exit"));
}

TEST_F(Rogue, ACrashNamesIt) {
  start_rogue();
  publish(broker_, "rogue", "abort", {.qos = 1});
  EXPECT_EQ(daemon_.process().wait(), Exit{.signal = SIGABRT});
  if (kReportsSignals) await_log("handler rogue crashed, and the daemon with it: SIGABRT");
}

// ---- a message that its handler cannot survive -------------------------------------------------

// What to do, and what the daemon ends with.
struct Deadly {
  const char* plugin;
  const char* payload;
  Exit exit;
  const char* what;
  bool seen_by_sanitizers = false;
};
void PrintTo(const Deadly& deadly, std::ostream* out) {
  *out << deadly.plugin << " " << deadly.payload;
}

class DeadlyMessage : public Rogue, public ::testing::WithParamInterface<Deadly> {};
INSTANTIATE_TEST_SUITE_P(
    Kinds, DeadlyMessage,
    ::testing::Values(
        Deadly{"rogue", "exit", {.status = 70}, "ended the process by exit..", true},
        Deadly{"batch_rogue", "exit", {.status = 70}, "ended the process by exit..", true},
        Deadly{"rogue", "abort", {.signal = SIGABRT}, "crashed .SIGABRT."},
        Deadly{"batch_rogue", "abort", {.signal = SIGABRT}, "crashed .SIGABRT."},
        Deadly{"rogue", "overflow", {.signal = SIGSEGV}, "crashed .SIGSEGV."}),
    [](const ::testing::TestParamInfo<Deadly>& deadly) {
      return std::string(deadly.param.plugin) + "_" + deadly.param.payload;
    });

TEST_P(DeadlyMessage, IsGivenUpAndHoldsUpNoOther) {
  const Deadly deadly = GetParam();
  if (!kReportsSignals && !deadly.seen_by_sanitizers) GTEST_SKIP() << "the sanitizer ends it";
  daemon_.add_plugin(deadly.plugin);
  start(std::string("  rogue: {plugin: ") + deadly.plugin +
            ", subscribe: [rogue/+], retry: {delay: 10ms}}\n" + recorder("other", "rogue/+"),
        {"rogue/+"});
  ASSERT_EQ(daemon_.ctl({"pause", "rogue"}).exit, Exit{});
  for (const char* topic : {"rogue/1", "rogue/2"}) publish(broker_, topic, "0", {.qos = 1});
  publish(broker_, "rogue/3", deadly.payload, {.qos = 1});
  for (const char* topic : {"rogue/3", "rogue/4"}) publish(broker_, topic, "0", {.qos = 1});
  await_records("other", 5);
  ASSERT_EQ(daemon_.stop(), Exit{});

  daemon_.start_ready();
  static_cast<void>(daemon_.ctl({"resume", "rogue"}));  // it may not live to answer
  EXPECT_EQ(daemon_.process().wait(), deadly.exit);
  for (int crash = 2; crash <= 3; ++crash) {
    daemon_.start();
    EXPECT_EQ(daemon_.process().wait(), deadly.exit) << crash;
    EXPECT_TRUE(daemon_.logged(std::string("error .* rogue: ") + deadly.what +
                               " in the last run at .*tried again, alone"));
  }
  daemon_.start_ready();
  EXPECT_TRUE(daemon_.logged(std::string("error .* rogue: gave up on a message: rogue/3: ended the "
                                         "daemon 3 times: the handler ") +
                             deadly.what + " .attempt 3."));
  EXPECT_TRUE(eventually([&] {
    return daemon_.notify().last("STATUS=").find(" 0 messages waiting, 1 given up") !=
           std::string::npos;
  }));
  const Finished letters = daemon_.ctl({"dead-letters", "list"});
  EXPECT_TRUE(any_line_matches(letters.output, " rogue .* rogue/3 .*ended the daemon 3 times"))
      << letters.output;
  EXPECT_EQ(std::ranges::count(letters.output, '\n'), 2) << letters.output;
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_EQ(records("other").size(), 5u) << "it has nothing to do with it";
}

// Of several in one call nobody knows which it was.
TEST_F(Rogue, NobodyIsGivenUpForTheCrashOfAnother) {
  daemon_.add_plugin("batch_rogue");
  const std::string rogue =
      "  rogue: {plugin: batch_rogue, subscribe: [rogue/+], retry: {delay: 10ms, attempts: 1}}\n";
  start(rogue, {"rogue/+"});
  ASSERT_EQ(daemon_.ctl({"pause", "rogue"}).exit, Exit{});
  for (const char* topic : {"rogue/1", "rogue/2", "rogue/4"})
    publish(broker_, topic, "0", {.qos = 1});
  publish(broker_, "rogue/3", "exit", {.qos = 1});
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  static_cast<void>(daemon_.ctl({"resume", "rogue"}));  // it may not live to answer
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = 70});
  daemon_.start();
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = 70});
  daemon_.start_ready();
  EXPECT_TRUE(eventually([&] {
    return daemon_.notify().last("STATUS=").find(" 0 messages waiting, 1 given up") !=
           std::string::npos;
  })) << daemon_.ctl({"dead-letters", "list"}).output;
}

// A child that it has forked is not the daemon.
TEST_F(Rogue, AChildThatEndsIsNoCrash) {
  start_rogue();
  publish(broker_, "rogue", "fork", {.qos = 1});
  await_log("rogue: its child has ended");
  EXPECT_THAT(read_file(daemon_.file("state/spool.crash")),
              ::testing::Not(::testing::HasSubstr("rogue")));
  EXPECT_EQ(daemon_.stop(), Exit{});
}

// Whoever has mistyped something has not asked for a start and an end of handlers.
TEST_F(Rogue, NoneIsMadeForAConfigurationThatIsRefused) {
  daemon_.add_plugin("rogue");
  start("  rogue: {options: {stop: exit}}\n", {"rogue"});
  const auto misconfigure = [&](const std::string& options) {
    daemon_.configure(daemon_.mqtt_section(broker_) +
                      "  nonsense: 1\nhandlers:\n  rogue: {options: {" + options + "}}\n");
  };
  for (const char* options : {"start: abort", "stop: exit, start: ''"}) {
    misconfigure(options);
    EXPECT_EQ(daemon_.ctl({"reload"}).exit, Exit{.status = 78}) << options;
    EXPECT_EQ(daemon_.ctl({"status"}).exit, Exit{}) << options;
  }
  daemon_.kill();
  misconfigure("start: abort");
  daemon_.start();
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = 78});
  const Finished done = daemon_.run({"--check"});
  EXPECT_TRUE(any_line_matches(done.errors, "mqtt.nonsense: unknown key")) << done.errors;
}

TEST_F(Rogue, AStartThatHangsCanBeStopped) {
  configure_rogue("start: hang");
  daemon_.start();
  await_log("handler rogue has been starting for more than 5s");
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("stopped while starting the handler rogue");
}

TEST_F(Rogue, AStartThatHangsIsNamedWhileCheckingToo) {
  configure_rogue("start: hang");
  Process check({.argv = {built_daemon(), "--config", daemon_.config_file(), "--check"},
                 .errors = daemon_.file("check")});
  EXPECT_TRUE(eventually([&] {
    return any_line_matches(read_file(daemon_.file("check")),
                            "handler rogue has been starting for more than 5s");
  }));
  EXPECT_TRUE(check.running());
  check.signal(SIGINT);
  EXPECT_EQ(check.wait(), Exit{.signal = SIGINT});
}

TEST_F(Rogue, ADestroyThatHangsEndsAllTheSame) {
  start_rogue("stop: hang");
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("destroy.. has not returned");
}

TEST_F(Rogue, AnAnswerThatIsNoneIsReportedAndRetried) {
  start_rogue();
  publish(broker_, "rogue", "77", {.qos = 1});
  await_log("rogue: answered 77, which is no answer, taken as retry");
  // Behind it on its topic: once this one is done, the other has been tried again.
  publish(broker_, "rogue", "0", {.qos = 1});
  ASSERT_TRUE(eventually([&] {
    return daemon_.ctl({"handlers", "--json"}).output.find("\"done\": 2") != std::string::npos;
  })) << daemon_.ctl({"handlers", "--json"}).output;
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("rogue: 2 ok, 1 retry");
}

}  // namespace
}  // namespace fastmqttd::testing
