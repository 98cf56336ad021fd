#include "handlers/exec/exec.cpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/handler_test.hpp"

namespace {

using namespace fastmqttd::testing;  // the tester, and what all these tests share
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

class ExecHandler : public HandlerTest {};

TEST_F(ExecHandler, RejectsAnArgumentThatWouldBeCut) {
  HandlerTester tester({{"command.0", "true"}, {"command.1", "{payload}"}});
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = std::string("x\0y", 3)}), Result::reject);
  EXPECT_EQ(tester.last_log(), "command.1 would hold a zero byte: the command cannot be made");
}

TEST_F(ExecHandler, GivesThePayloadAndTheEnvironment) {
  HandlerTester tester(
      {{"command.0", "sh"},
       {"command.1", "-c"},
       {"command.2", "cat >\"$1\"; env | grep ^MQTT_ | sort >>\"$1\"; echo $SITE $PWD"},
       {"command.3", "sh"},
       {"command.4", file("out")},
       {"directory", "/"},
       {"environment.SITE", "plant"}},
      "relay");
  const TestMessage message{.topic = "a/b",
                            .payload = std::string("pay\0load\n", 9),
                            .qos = 2,
                            .retain = true,
                            .user_properties = {{"unit of", "C"}},
                            .content_type = "text/plain"};
  EXPECT_EQ(answer(tester, message), Result::ok);
  const std::string out = text(file("out"));
  EXPECT_EQ(out.substr(0, 9), message.payload);
  for (const char* line :
       {"MQTT_TOPIC=a/b\n", "MQTT_QOS=2\n", "MQTT_RETAIN=1\n", "MQTT_ATTEMPT=1\n",
        "MQTT_HANDLER=relay\n", "MQTT_CONTENT_TYPE=text/plain\n", "MQTT_USER_UNIT_OF=C\n",
        "MQTT_MESSAGE_ID="})
    EXPECT_THAT(out, HasSubstr(line));
  EXPECT_EQ(tester.last_log(), "plant /");
}

TEST_F(ExecHandler, FillsArgumentsAndNeverAsksAShell) {
  HandlerTester tester({{"command.0", "printf"},
                        {"command.1", "%s|"},
                        {"command.2", "{topic.2}"},
                        {"command.3", "{json:/a}; $(touch " + file("pwned") + ")"},
                        {"command.4", "{payload}"}});
  EXPECT_EQ(answer(tester, {.topic = "x/`touch y`", .payload = R"x({"a":"$(id)"})x"}), Result::ok);
  EXPECT_EQ(tester.last_log(),
            "`touch y`|$(id); $(touch " + file("pwned") + ")|{\"a\":\"$(id)\"}|");
  EXPECT_FALSE(fs::exists(file("pwned")));
  EXPECT_EQ(answer(tester, {.topic = "x", .payload = "{}"}), Result::reject);
  EXPECT_THAT(tester.last_log(), HasSubstr("the topic has no level 2"));
}

TEST_F(ExecHandler, SkipsWhatHasNothingForAPlaceholder) {
  HandlerTester tester({{"command.0", "echo"}, {"command.1", "{json:/a}"}, {"missing", "skip"}});
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = "{}"}), Result::ok);
  EXPECT_THAT(tester.logs(), ::testing::IsEmpty());
  EXPECT_EQ(tester.counts().at("skipped"), 1u);
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = R"({"a": "\u0000"})"}), Result::reject);
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = R"({"a": 1})"}), Result::ok);
  EXPECT_EQ(tester.last_log(), "1");
  EXPECT_EQ(tester.counts().at("skipped"), 1u);
}

TEST_F(ExecHandler, ItsExitStatusIsTheAnswer) {
  HandlerTester tester({{"command.0", "sh"},
                        {"command.1", "-c"},
                        {"command.2", "exit {payload}"},
                        {"exit_status.reject.0", "65"},
                        {"exit_status.ok", "3"}});
  for (const auto& [status, result] :
       {std::pair("0", Result::ok), std::pair("75", Result::retry), std::pair("1", Result::retry),
        std::pair("65", Result::reject), std::pair("3", Result::ok)})
    EXPECT_EQ(answer(tester, {.topic = "a", .payload = status}), result) << status;
  EXPECT_THAT(tester.logs(), ElementsAre("exit status 75", "exit status 1", "exit status 65"));
}

TEST_F(ExecHandler, ASignalIsTriedAgain) {
  HandlerTester tester({{"command.0", "sh"}, {"command.1", "-c"}, {"command.2", "kill -SEGV $$"}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
  EXPECT_EQ(tester.last_log(), "ended by SIGSEGV");
}

TEST_F(ExecHandler, EndsWhatTakesTooLongWithAllThatItHasStarted) {
  HandlerTester tester({{"command.0", "sh"},
                        {"command.1", "-c"},
                        {"command.2", "sleep 1000 & echo $! >\"$1\"; sleep 1000"},
                        {"command.3", "sh"},
                        {"command.4", file("pid")},
                        {"timeout", "200ms"}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
  EXPECT_EQ(tester.last_log(), "took longer than its timeout");
  const pid_t left = std::stoi(text(file("pid")));
  EXPECT_TRUE(eventually([&] { return ::kill(left, 0) != 0; })) << "its child goes on";
}

TEST_F(ExecHandler, KillsWhatDoesNotHeedTheTerm) {
  HandlerTester tester({{"command.0", "sh"},
                        {"command.1", "-c"},
                        {"command.2", "trap '' TERM; while :; do sleep 1; done"},
                        {"timeout", "100ms"}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
}

TEST_F(ExecHandler, ChildrenThatHoldItsOutputOpenAreNotWaitedFor) {
  HandlerTester tester(
      {{"command.0", "sh"}, {"command.1", "-c"}, {"command.2", "sleep 1000 & echo x"}});
  const auto began = Clock::now();
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  EXPECT_LT(Clock::now() - began, 5s);
  EXPECT_EQ(tester.last_log(), "x");
}

TEST_F(ExecHandler, WritesWhatTheCommandSaysIntoTheJournal) {
  HandlerTester tester({{"command.0", "sh"},
                        {"command.1", "-c"},
                        {"command.2", "echo one; echo; echo two; echo careful >&2"}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  EXPECT_THAT(tester.logs(), ElementsAre("careful", "one", "two"));
  EXPECT_EQ(tester.levels().front(), Level::warning);
}

TEST_F(ExecHandler, PublishesWhatTheCommandSays) {
  HandlerTester tester({{"command.0", "tr"},
                        {"command.1", "a-z"},
                        {"command.2", "A-Z"},
                        {"output", "publish"},
                        {"publish.topic", "out/{topic}"},
                        {"publish.qos", "2"},
                        {"publish.retain", "true"}});
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = "hello\n"}), Result::ok);
  ASSERT_EQ(tester.published().size(), 1u);
  EXPECT_EQ(tester.published()[0].topic, "out/a");
  EXPECT_EQ(tester.published()[0].payload, "HELLO\n");
  EXPECT_EQ(tester.published()[0].qos, 2);
  EXPECT_TRUE(tester.published()[0].retain);
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = ""}), Result::ok);
  EXPECT_EQ(tester.published().size(), 1u) << "nothing was said";
}

TEST_F(ExecHandler, RunsSeveralAtOnceAndNoMore) {
  const std::string script =
      "echo >\"$1/$MQTT_TOPIC\"; while [ ! -e \"$1/go\" ]; do sleep 0.01; done";
  HandlerTester tester({{"command.0", "sh"},
                        {"command.1", "-c"},
                        {"command.2", script},
                        {"command.3", "sh"},
                        {"command.4", directory_},
                        {"parallel", "2"}});
  EXPECT_EQ(tester.deliver("a", ""), Result::pending);
  const auto first = tester.last_id();
  EXPECT_EQ(tester.deliver("b", ""), Result::pending);
  EXPECT_TRUE(eventually([&] { return fs::exists(file("a")) && fs::exists(file("b")); }));
  std::thread third([&] { EXPECT_EQ(tester.deliver("c", ""), Result::pending); });
  EXPECT_FALSE(fs::exists(file("c")));
  std::ofstream(file("go")).put('x');
  third.join();
  EXPECT_EQ(tester.answer_to(first), Result::ok);
  EXPECT_EQ(tester.answer_to(tester.last_id()), Result::ok);
  EXPECT_TRUE(fs::exists(file("c")));
}

TEST_F(ExecHandler, NeedNotReadItsInputAndMaySayMuch) {
  HandlerTester tester({{"command.0", "sh"},
                        {"command.1", "-c"},
                        {"command.2", "head -c 3000000 /dev/zero | tr '\\0' x"}});
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = std::string(1'000'000, 'p')}), Result::ok);
  EXPECT_EQ(tester.logs().front().size(), fastmqtt::exec::kMostOutput);
}

// It is not whole: better nothing than a part.
TEST_F(ExecHandler, PublishesNoOutputThatIsTooLong) {
  HandlerTester tester({{"command.0", "head"},
                        {"command.1", "-c"},
                        {"command.2", "{payload}"},
                        {"command.3", "/dev/zero"},
                        {"output", "publish"},
                        {"publish.topic", "out"}});
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = "1048576"}), Result::ok);
  EXPECT_EQ(tester.published().size(), 1u);
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = "1048577"}), Result::reject);
  EXPECT_EQ(tester.published().size(), 1u);
  EXPECT_EQ(tester.last_log(), "wrote more than 1 MiB to its standard output");
}

TEST_F(ExecHandler, RejectsWhatIsTooLongForTheSystem) {
  HandlerTester tester({{"command.0", "true"}, {"command.1", "{payload}"}});
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = std::string(200'000, 'x')}), Result::reject);
  EXPECT_THAT(tester.last_log(), HasSubstr("Argument list too long"));
}

// Such as the daemon's connection to the broker, which Paho does not have closed.
TEST_F(ExecHandler, GivesAwayNothingThatIsOpen) {
  const int open = ::dup(STDERR_FILENO);
  HandlerTester tester(
      {{"command.0", "sh"}, {"command.1", "-c"}, {"command.2", "ls /proc/self/fd | tr '\\n' ' '"}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  ::close(open);
  EXPECT_EQ(tester.last_log(), "0 1 2 3 ") << "the last one is ls's own";
}

TEST_F(ExecHandler, WarnsOfATimeoutThatLeavesNoneForTheNext) {
  HandlerTester tester({{"command.0", "true"}, {"timeout", "20s"}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  EXPECT_THAT(tester.logs(), ElementsAre(HasSubstr("the handler's timeout is too short")));
}

TEST_F(ExecHandler, EndsItsCommandsWhenItEnds) {
  const auto began = Clock::now();
  {
    HandlerTester tester({{"command.0", "sleep"}, {"command.1", "1000"}, {"timeout", "1h"}});
    EXPECT_EQ(tester.deliver("a", ""), Result::pending);
  }
  EXPECT_LT(Clock::now() - began, 5s);
}

// ---- persistent: one program, lines of JSON ----------------------------------------------------

// Programs in the shell's language, which knows no JSON: they answer what they are told to.
class PersistentExec : public ExecHandler {
 protected:
  // Reads lines; `body` has the line in $line and its id in $id.
  static std::unique_ptr<HandlerTester> running(const std::string& body) {
    return std::make_unique<HandlerTester>(std::initializer_list<Option>{
        {"command.0", "sh"},
        {"command.1", "-c"},
        {"command.2", "while read -r line; do id=${line#*:}; id=${id%%,*}; " + body + "; done"},
        {"persistent", "true"}});
  }
  // It takes a moment until the program runs.
  static Result deliver(HandlerTester& tester, const TestMessage& message) {
    Result result = Result::retry;
    EXPECT_TRUE(eventually([&] { return (result = tester.deliver(message)) != Result::retry; }));
    return result == Result::pending ? tester.answer_to(tester.last_id()) : result;
  }
};

TEST_F(PersistentExec, GivesEachMessageAsALineAndTakesTheAnswer) {
  HandlerTester tester(
      {{"command.0", "sh"},
       {"command.1", "-c"},
       {"command.2",
        "while read -r line; do id=${line#*:}; id=${id%%,*}; printf '%s\\n' \"$line\" >>\"$1\"; "
        "case $line in *bad*) r=reject;; *) r=ok;; esac; "
        "echo \"{\\\"id\\\":$id,\\\"result\\\":\\\"$r\\\",\\\"reason\\\":\\\"$2\\\"}\"; done"},
       {"command.3", "sh"},
       {"command.4", file("lines")},
       {"persistent", "true"}});
  EXPECT_EQ(
      deliver(tester,
              {.topic = "a/\"b\"", .payload = "line\nbreak", .user_properties = {{"k", "v"}}}),
      Result::ok);
  EXPECT_EQ(deliver(tester, {.topic = "bad", .payload = "\xff\x01"}), Result::reject);
  const auto lines = fastmqtt::exec::lines_of(text(file("lines")));
  ASSERT_EQ(lines.size(), 2u);
  const auto first = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(first["topic"], "a/\"b\"");
  EXPECT_EQ(first["payload"], "line\nbreak");
  EXPECT_EQ(first["qos"], 1);
  EXPECT_EQ(first["attempt"], 1);
  EXPECT_EQ(first["user_properties"], nlohmann::json::parse(R"([["k","v"]])"));
  EXPECT_EQ(nlohmann::json::parse(lines[1])["payload_base64"], "/wE=");
}

TEST_F(PersistentExec, ItLogsAndPublishes) {
  const auto kept = running(
      "echo '{\"log\":\"hello\",\"level\":\"warning\"}'; echo no json; echo oops >&2; "
      "echo '{\"publish\":{\"topic\":\"out\",\"payload\":\"p\",\"qos\":0,\"retain\":true}}'; "
      "echo \"{\\\"id\\\":$id}\"");
  HandlerTester& tester = *kept;
  EXPECT_EQ(deliver(tester, {.topic = "a"}), Result::ok);
  EXPECT_TRUE(eventually([&] { return tester.logs().size() == 3; }));
  EXPECT_THAT(tester.logs(), UnorderedElementsAre("hello", "no JSON object: no json", "oops"));
  ASSERT_EQ(tester.published().size(), 1u);
  EXPECT_EQ(tester.published()[0].topic, "out");
  EXPECT_EQ(tester.published()[0].payload, "p");
  EXPECT_EQ(tester.published()[0].qos, 0);
  EXPECT_TRUE(tester.published()[0].retain);
}

TEST_F(PersistentExec, OneThatEndsIsStartedAgainAndItsMessagesAreTriedAgain) {
  const auto kept = running("[ -e " + file("once") + " ] || { >" + file("once") +
                            "; exit 3; }; echo \"{\\\"id\\\":$id}\"");
  HandlerTester& tester = *kept;
  EXPECT_EQ(deliver(tester, {.topic = "a"}), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("the program has ended: exit status 3"));
  EXPECT_EQ(deliver(tester, {.topic = "a"}), Result::ok);
}

TEST_F(PersistentExec, OneThatDoesNotAnswerIsStartedAgain) {
  HandlerTester tester({{"command.0", "sh"},
                        {"command.1", "-c"},
                        {"command.2", "read -r line; sleep 1000"},
                        {"persistent", "true"},
                        {"timeout", "200ms"}});
  EXPECT_EQ(deliver(tester, {.topic = "a"}), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("has not answered within its timeout"));
}

TEST_F(PersistentExec, AnswersThatAreNoneAreNamed) {
  const auto kept =
      running("echo '{\"id\":999999}'; echo \"{\\\"id\\\":$id,\\\"result\\\":\\\"fine\\\"}\"");
  HandlerTester& tester = *kept;
  EXPECT_EQ(deliver(tester, {.topic = "a"}), Result::retry);
  EXPECT_THAT(tester.logs(), ElementsAre(HasSubstr("answers what it was not asked"),
                                         HasSubstr("result: expected ok, retry or reject")));
}

// It can say nothing more, or hear nothing.
TEST_F(PersistentExec, IsStartedAgainWhenItClosesItsEnds) {
  for (const auto& [close, what] : {std::pair("exec >&-", "its standard output"),
                                    std::pair("exec <&-", "its standard input")}) {
    HandlerTester tester({{"command.0", "sh"},
                          {"command.1", "-c"},
                          {"command.2", std::string(close) + "; exec sleep 1000"},
                          {"parallel", "64"},
                          {"persistent", "true"}});
    tester.wake();
    EXPECT_TRUE(eventually([&] {
      tester.deliver({.topic = "a", .payload = std::string(100, 'x')});
      const auto logs = tester.logs();
      return std::ranges::any_of(logs, [&](const std::string& line) {
        return line.find(std::string("the program has closed ") + what) != std::string::npos;
      });
    })) << what;
  }
}

// A closed standard error is no reason to end it, nor to spin.
TEST_F(PersistentExec, MayCloseItsStandardError) {
  const auto tester =
      running("exec 2>&-; case $line in *slow*) sleep 0.3;; esac; echo \"{\\\"id\\\":$id}\"");
  EXPECT_EQ(deliver(*tester, {.topic = "a"}), Result::ok);
  const std::clock_t before = std::clock();
  EXPECT_EQ(deliver(*tester, {.topic = "slow"}), Result::ok);
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 10);
}

TEST_F(PersistentExec, SaysWhatItCannotPublish) {
  const auto tester = running(
      "echo '{\"publish\":{\"topic\":\"out\",\"payload\":\"x\"}}'; "
      "echo \"{\\\"id\\\":$id,\\\"publish\\\":{\\\"payload\\\":{}}}\"");
  tester->set_publish_answer(Result::retry);
  EXPECT_EQ(deliver(*tester, {.topic = "a"}), Result::reject);
  EXPECT_THAT(tester->logs(),
              ElementsAre(HasSubstr("the way to the broker is full"),
                          HasSubstr("publish: expected a topic and a payload, both texts")));
}

TEST_F(PersistentExec, EndsWithTheHandler) {
  const auto began = Clock::now();
  {
    HandlerTester tester({{"command.0", "sh"},
                          {"command.1", "-c"},
                          {"command.2", "echo $$ >\"$1\"; read -r line; echo end >>\"$1\""},
                          {"command.3", "sh"},
                          {"command.4", file("pid")},
                          {"persistent", "true"}});
    EXPECT_FALSE(fs::exists(file("pid"))) << "making a handler starts nothing";
    tester.wake();
    EXPECT_TRUE(eventually([&] { return text(file("pid")).ends_with('\n'); }));
  }
  EXPECT_THAT(text(file("pid")), HasSubstr("end")) << "its input was not closed";
  EXPECT_LT(Clock::now() - began, 4s);
}

TEST_F(PersistentExec, RunsTheExampleInPython) {
  if (fastmqtt::exec::find_program("python3").empty()) GTEST_SKIP() << "there is no python3";
  HandlerTester tester({{"command", HANDLER_EXAMPLES "/average.py"}, {"persistent", "true"}});
  EXPECT_EQ(deliver(tester, {.topic = "a", .payload = "20"}), Result::ok);
  EXPECT_EQ(deliver(tester, {.topic = "a", .payload = "21"}), Result::ok);
  EXPECT_EQ(deliver(tester, {.topic = "a", .payload = "warm"}), Result::reject);
  ASSERT_EQ(tester.published().size(), 2u);
  EXPECT_EQ(tester.published()[1].topic, "a/average");
  EXPECT_EQ(tester.published()[1].payload, "20.5");
}

TEST_F(ExecHandler, RunsTheExampleInShell) {
  HandlerTester tester(
      {{"command.0", HANDLER_EXAMPLES "/append.sh"}, {"command.1", file("{qos}")}});
  EXPECT_EQ(answer(tester, {.topic = "diary/x", .payload = "dear diary"}), Result::ok);
  EXPECT_THAT(text(file("1")), HasSubstr(" diary/x dear diary\n"));
}

TEST_F(PersistentExec, NamesWhatHasNoPlaceThere) {
  EXPECT_THAT(refusal({{"command.0", "cat"}, {"command.1", "{topic}"}, {"persistent", "true"}}),
              HasSubstr("command.1: no placeholders with persistent"));
  EXPECT_THAT(refusal({{"command", "cat"}, {"output", "log"}, {"persistent", "true"}}),
              HasSubstr("output: has no effect with persistent"));
}

TEST_F(ExecHandler, NamesBadOptions) {
  EXPECT_THAT(refusal({}), HasSubstr("command: expected a program and its arguments"));
  EXPECT_THAT(refusal({{"command", "/no/such/program"}}),
              HasSubstr("command.0: '/no/such/program': there is no such program"));
  std::ofstream(file("data")) << "no program";
  EXPECT_THAT(refusal({{"command", file("data")}}), HasSubstr("may not be run"));
  EXPECT_THAT(refusal({{"command", "{payload}"}}), HasSubstr("without placeholders"));
  EXPECT_THAT(refusal({{"command.0", "true"}, {"command.1", "{topc}"}}),
              HasSubstr("command.1: at character 1: '{topc}' is no placeholder"));
  EXPECT_THAT(refusal({{"command", "true"}, {"exit_status.ok", "many"}}),
              HasSubstr("exit_status.ok: expected exit statuses"));
  EXPECT_THAT(refusal({{"command", "true"}, {"output", "publish"}}),
              HasSubstr("publish: expected {topic: ...}"));
  EXPECT_THAT(refusal({{"command", "true"}, {"publish.topic", "x"}}),
              HasSubstr("publish: has no effect"));
  EXPECT_THAT(refusal({{"command", "true"}, {"parallel", "0"}}), HasSubstr("parallel: "));
}

}  // namespace
