// Handlers that do what none should: the journal names them, and the daemon ends as it should.
#include <signal.h>

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
  // Behind it on its topic: once this one is there, the other has been tried again.
  publish(broker_, "rogue", "0", {.qos = 1});
  ASSERT_TRUE(eventually([&] {
    return daemon_.notify().last("STATUS=").find(" 2 messages waiting") != std::string::npos;
  }));
  ASSERT_TRUE(eventually([&] {
    return daemon_.notify().last("STATUS=").find(" 0 messages waiting") != std::string::npos;
  }));
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("rogue: 2 ok, 1 retry");
}

}  // namespace
}  // namespace fastmqttd::testing
