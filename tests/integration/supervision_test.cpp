// Under a service manager: what it is told, how the daemon stops, and the watchdog.
#include <signal.h>

#include <chrono>

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAreArray;
using ::testing::Lt;
using ::testing::SizeIs;

using Clock = std::chrono::steady_clock;

class Supervision : public IntegrationTest {
 protected:
  std::string crash_note() const { return read_file(daemon_.file("state/spool.crash")); }
  // Publishes them and waits until the daemon has taken them over.
  void give(const std::string& topic, const std::vector<std::string>& payloads) {
    publish_all(broker_, topic, payloads, {.qos = 1});
    given_ += static_cast<int>(payloads.size());
    ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), given_))
        << "the daemon does not acknowledge";
  }

  bool says_connected() {
    const std::string status = daemon_.notify().last("STATUS=");
    return status.find("connected") != std::string::npos &&
           status.find("not connected") == std::string::npos &&
           status.find("disconnected") == std::string::npos;
  }

  // The time since the last WATCHDOG=1.
  Clock::duration watchdog_age() {
    Clock::time_point last{};
    for (const NotifySocket::Line& line : daemon_.notify().lines())
      if (line.text == "WATCHDOG=1") last = line.arrived;
    return Clock::now() - last;
  }

 private:
  int given_ = 0;
};

TEST_F(Supervision, SaysWhatItDoes) {
  start(recorder("all", "a/#"), {"a/#"});
  NotifySocket& notify = daemon_.notify();
  EXPECT_TRUE(eventually([&] { return says_connected(); })) << notify.text();
  EXPECT_EQ(notify.count("READY=1"), 1) << notify.text();
  EXPECT_EQ(notify.count("STOPPING=1"), 0) << notify.text();
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_TRUE(notify.wait_for("STOPPING=1")) << notify.text();
}

TEST_F(Supervision, StatusSaysThatTheBrokerIsGone) {
  start(recorder("all", "a/#"), {"a/#"});
  NotifySocket& notify = daemon_.notify();
  ASSERT_TRUE(eventually([&] { return says_connected(); })) << notify.text();
  broker_.kill();
  EXPECT_TRUE(eventually([&] { return !says_connected(); })) << notify.text();
}

TEST_F(Supervision, SigintStopsToo) {
  start(recorder("all", "a/#"), {"a/#"});
  daemon_.process().signal(SIGINT);
  EXPECT_EQ(daemon_.process().wait(), Exit{});
}

TEST_F(Supervision, StopHandlesWhatItHasTaken) {
  start(recorder("slow", "n", "delay_ms: 20"), {"n"});
  const std::vector<std::string> sent = numbers(50);
  give("n", sent);
  ASSERT_THAT(records("slow"), SizeIs(Lt(50))) << "too late to test anything";
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_THAT(payloads(records("slow")), ElementsAreArray(sent));
}

TEST_F(Supervision, StopHandlesWhatBatchesHave) {
  start(recorder_of("batch_recorder", "slow", "n", "delay_ms: 20"), {"n"});
  const std::vector<std::string> sent = numbers(50);
  give("n", sent);
  ASSERT_THAT(records("slow"), SizeIs(Lt(50))) << "too late to test anything";
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_THAT(payloads(records("slow")), ElementsAreArray(sent));
}

TEST_F(Supervision, StopAwaitsPendingAnswers) {
  start(recorder("later", "n", "answer: pending, delay_ms: 300"), {"n"});
  give("n", {"1"});
  await_records("later", 1);
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_FALSE(daemon_.logged("not handled")) << "the answer came in time";
}

TEST_F(Supervision, StopGivesUpAfterItsTimeout) {
  broker_.start();
  daemon_.add_plugin("recorder");
  daemon_.configure(daemon_.mqtt_section(broker_) + "shutdown_timeout: 1s\nhandlers:\n" +
                    recorder("hung", "n"));
  daemon_.start_ready();
  await_subscriptions({"n"});
  hold("hung");
  give("n", numbers(7));
  await_held("hung");
  const auto began = Clock::now();
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_GE(Clock::now() - began, 900ms);
  EXPECT_LT(Clock::now() - began, 5s);
  EXPECT_TRUE(daemon_.logged("\\b7\\b.*messages?.*not handled|not handled.*\\b7\\b"))
      << "the log does not say how many were not handled";
}

TEST_F(Supervision, SecondSignalStopsAtOnce) {
  start(recorder("hung", "n"), {"n"});
  hold("hung");
  give("n", {"1"});
  await_held("hung");
  daemon_.process().signal(SIGTERM);
  ASSERT_TRUE(daemon_.notify().wait_for("STOPPING=1"));
  EXPECT_FALSE(daemon_.process().wait(100ms)) << "it does not await the handler";
  const auto began = Clock::now();
  daemon_.process().signal(SIGTERM);
  ASSERT_TRUE(daemon_.process().wait(5s)) << "it does not stop";
  EXPECT_LT(Clock::now() - began, 2s);
}

TEST_F(Supervision, WatchdogIsFedWhileIdle) {
  daemon_.set_environment("WATCHDOG_USEC=1000000");
  start(recorder("all", "a/#"), {"a/#"});
  NotifySocket& notify = daemon_.notify();
  ASSERT_TRUE(notify.wait_for("WATCHDOG=1", 5)) << notify.text();
  NotifySocket::Lines lines = notify.lines();
  std::erase_if(lines, [](const auto& line) { return line.text != "WATCHDOG=1"; });
  for (std::size_t i = 1; i < lines.size(); ++i)
    EXPECT_LT(lines[i].arrived - lines[i - 1].arrived, 1s);
}

TEST_F(Supervision, WatchdogIsNotFedByAStuckHandler) {
  daemon_.set_environment("WATCHDOG_USEC=1000000");
  start(recorder("hung", "n", "", "timeout: 1s") + recorder("fine", "n"), {"n"});
  ASSERT_TRUE(daemon_.notify().wait_for("WATCHDOG=1")) << daemon_.notify().text();
  hold("hung");
  publish(broker_, "n", "1");
  await_held("hung");
  EXPECT_TRUE(eventually([&] { return watchdog_age() > 2s; })) << daemon_.notify().text();
  EXPECT_TRUE(daemon_.logged("hung")) << "the log does not name the handler";
  release("hung");
  EXPECT_TRUE(eventually([&] { return watchdog_age() < 500ms; })) << daemon_.notify().text();
}

TEST_F(Supervision, AStuckHandlerIsNamedWithTopicAndTime) {
  daemon_.set_environment("WATCHDOG_USEC=400000");
  start(recorder("hung", "n", "", "timeout: 100ms"), {"n"});
  hold("hung");
  publish(broker_, "n", "1");
  EXPECT_TRUE(
      daemon_.wait_for_log("error .* hung: stuck in a call for [0-9.]+m?s, in a message on n: "
                           "the watchdog is not fed"));
  EXPECT_THAT(daemon_.ctl({"status"}).output,
              ContainsRegex("\nhung: stuck in a call for [0-9.]+m?s, in a message on n\n"));
  release("hung");
  EXPECT_TRUE(daemon_.wait_for_log("info .* hung: makes progress again"));
}

// Of what is in memory only nothing is lost but what is in a call that does not return.
TEST_F(Supervision, StopKeepsWhatAHangingHandlerHasInMemory) {
  broker_.start();
  daemon_.add_plugin("recorder");
  daemon_.configure(daemon_.mqtt_section(broker_) + "shutdown_timeout: 1s\nhandlers:\n" +
                    recorder("hung", "{topic: n, qos: 0}"));
  daemon_.start_ready();
  await_subscriptions({"n"});
  hold("hung");
  publish_all(broker_, "n", numbers(20), {.qos = 0});
  await_held("hung");
  EXPECT_TRUE(eventually([&] {
    return daemon_.ctl({"status"}).output.find("20 messages waiting") != std::string::npos;
  }));
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_TRUE(daemon_.logged("error .* hung: 1 message is lost: what is in memory only"));
  release("hung");
  daemon_.start_ready();
  std::vector<std::string> rest = numbers(20);
  rest.erase(rest.begin());
  EXPECT_EQ(losses(rest, payloads(await_records("hung", 19))), "");
}

// What it hung in comes again.
TEST_F(Supervision, AbortsForAStuckHandlerIfTold) {
  daemon_.set_environment("WATCHDOG_USEC=400000");
  const std::string hung = recorder("hung", "n", "", "timeout: 100ms\nabort_after: 300ms");
  start(hung, {"n"});
  hold("hung");
  publish(broker_, "n", "1");
  EXPECT_EQ(daemon_.process().wait(), (Exit{.signal = SIGABRT}));
  EXPECT_TRUE(
      daemon_.logged("error .* hung: stuck .*: aborting, as handlers.hung.abort_after says"));
  release("hung");
  daemon_.start_ready();
  EXPECT_EQ(await_records("hung", 1).size(), 1u);
  EXPECT_TRUE(
      daemon_.logged("error .* hung: hung in the last run at a message on n: it is tried "
                     "again, alone"));
}

// It counts as a failure, however the run ends, be it by the watchdog.
TEST_F(Supervision, AMessageThatHangsItsHandlerIsGivenUp) {
  daemon_.set_environment("WATCHDOG_USEC=400000");
  start(recorder("hung", "n", "", "timeout: 100ms\nretry: {delay: 1ms, attempts: 4}"), {"n"});
  hold("hung");
  publish(broker_, "n", "1");
  for (int run = 1; run <= 4; ++run) {
    EXPECT_TRUE(eventually([&] { return crash_note().starts_with("hung\nhung\n"); })) << run;
    daemon_.kill();
    daemon_.start_ready();
  }
  EXPECT_TRUE(daemon_.logged("gave up on a message: n: retries used up .attempt 4."));
  EXPECT_FALSE(crash_note().starts_with("hung"));
}

TEST_F(Supervision, OneThatMakesProgressAgainIsNotToBlame) {
  daemon_.set_environment("WATCHDOG_USEC=400000");
  start(recorder("hung", "n", "", "timeout: 100ms"), {"n"});
  hold("hung");
  publish(broker_, "n", "1");
  EXPECT_TRUE(eventually([&] { return crash_note().starts_with("hung"); }));
  release("hung");
  EXPECT_TRUE(eventually([&] { return !crash_note().starts_with("hung"); }));
}

// Though it is still noted when the daemon ends.
TEST_F(Supervision, OneThatHasAnsweredSinceIsNotToBlame) {
  daemon_.set_environment("WATCHDOG_USEC=20000000");  // a look each ten seconds
  const std::string slow =
      recorder("slow", "n", "answer: retry:9", "timeout: 100ms\nretry: {delay: 1h, delay_max: 1h}");
  start(slow, {"n"});
  hold("slow");
  publish(broker_, "n", "1");
  EXPECT_TRUE(eventually([&] { return crash_note().starts_with("hung"); }));
  release("slow");
  EXPECT_TRUE(daemon_.wait_for_log("slow: will try again in"));
  EXPECT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  EXPECT_FALSE(daemon_.logged("hung in the last run"));
  EXPECT_FALSE(crash_note().starts_with("hung"));
}

TEST_F(Supervision, WatchdogIsFedWhileTheBrokerIsDown) {
  daemon_.set_environment("WATCHDOG_USEC=1000000");
  configure(recorder("all", "a/#"));
  daemon_.start_ready();
  EXPECT_TRUE(daemon_.notify().wait_for("WATCHDOG=1", 4)) << daemon_.notify().text();
}

TEST_F(Supervision, StopsWhileTheBrokerDoesNotAnswer) {
  broker_.start();
  broker_.pause();
  configure(recorder("all", "a/#"));
  daemon_.start();
  ASSERT_TRUE(daemon_.notify().wait_for("STATUS=connecting")) << daemon_.notify().text();
  EXPECT_EQ(daemon_.stop(8s), Exit{});
}

TEST_F(Supervision, SilentBrokerDoesNotStopTheStart) {
  // A broker that accepts and never answers.
  broker_.start();
  broker_.pause();
  configure(recorder("all", "a/#"), "  connect_timeout: 1s\n");
  daemon_.start();
  EXPECT_TRUE(daemon_.wait_ready());
  broker_.resume();
  await_subscriptions({"a/#"});
}

}  // namespace
}  // namespace fastmqttd::testing
