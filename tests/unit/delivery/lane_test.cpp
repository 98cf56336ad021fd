#include "daemon/delivery/lane.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <limits>
#include <map>
#include <set>
#include <thread>

#include "tests/unit/support/in_process_handler.hpp"
#include "tests/unit/support/recorded_log.hpp"

namespace fastmqttd {
namespace {

using testing::InProcessHandler;
using testing::make_message;

HandlerConfig config() {
  HandlerConfig config;
  config.name = config.plugin = "fake";
  config.retry.delay = config.retry.delay_max = 5ms;
  return config;
}

// Waits for main's attention until `there`.
class Attention {
 public:
  std::function<void()> callback() {
    return [this] {
      ++*calls_.lock();
      changed_.notify_all();
    };
  }
  template <class There>
  bool wait(There there) {
    const TimePoint deadline = Clock::now() + 10s;
    auto calls = calls_.lock();
    while (!there() && Clock::now() < deadline) calls.wait_until(changed_, deadline);
    return there();
  }

 private:
  std::condition_variable changed_;
  Guarded<int> calls_{0};
};

class LaneTest : public ::testing::Test {
 protected:
  static std::int64_t handler_now() {
    return std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
  }
  bool close_and_wait(Lane& lane) {
    lane.close();
    return attention_.wait([&] { return lane.finished(); });
  }
  Outbox outbox_;
  DeliveryTap tap_;
  Attention attention_;
};

TEST_F(LaneTest, HandsOverInOrderAndCounts) {
  InProcessHandler handler([](const fastmqtt_message& m) -> fastmqtt_result {
    return m.payload.size == 3 ? FASTMQTT_REJECT : FASTMQTT_OK;
  });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  for (const char* payload : {"1", "2", "bad", "4"}) lane.push(make_message("a", payload), false);
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(handler.payloads(), "1 2 bad 4");
  EXPECT_EQ(lane.counts().ok, 3u);
  EXPECT_EQ(lane.counts().reject, 1u);
  EXPECT_EQ(lane.counts().dead, 1u);
  EXPECT_EQ(lane.waiting(), 0u);
}

TEST_F(LaneTest, GivesOneMessageACallUnlessBatchesAreWanted) {
  InProcessHandler handler;
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  for (int i = 0; i < 5; ++i) lane.push(make_message("a", "x"), false);
  lane.start();
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(handler.batches(), (std::vector<std::size_t>{1, 1, 1, 1, 1}));
}

TEST_F(LaneTest, GivesAllThatWaitsToAHandlerOfBatches) {
  InProcessHandler handler([](const auto&) { return FASTMQTT_OK; }, FASTMQTT_BATCHES);
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  for (int i = 0; i < 300; ++i) lane.push(make_message("a", "x"), false);
  lane.start();
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(handler.batches(), (std::vector<std::size_t>{256, 44}));
}

TEST_F(LaneTest, RetriesKeepTheOrderOfTheirTopic) {
  std::atomic<int> failures{0};
  InProcessHandler handler([&](const fastmqtt_message& m) -> fastmqtt_result {
    const bool first = std::string_view(m.payload.data, m.payload.size) == "1";
    return first && failures++ < 3 ? FASTMQTT_RETRY : FASTMQTT_OK;
  });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  for (const char* payload : {"1", "2", "3"}) lane.push(make_message("a", payload), false);
  lane.push(make_message("b", "other"), false);
  lane.start();
  ASSERT_TRUE(handler.wait_for(7));
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(handler.payloads(), "1 other 1 1 1 2 3");
  EXPECT_EQ(lane.counts().retry, 3u);
  EXPECT_EQ(lane.counts().ok, 4u);
}

// The topic of a message is needed for the rest of the turn, when the message may be gone already:
// a failure has everything before it settled.
TEST_F(LaneTest, AMessageAnsweredWhileItIsHandledLeavesItsTopicForTheNextTurn) {
  const std::string topic = "a/topic/that/is/too/long/to/be/kept/in/place";
  std::vector<std::string> in_its_place;
  InProcessHandler handler([&](const fastmqtt_message& m) -> fastmqtt_result {
    const std::string_view payload(m.payload.data, m.payload.size);
    if (payload == "4" && m.attempt == 1) return FASTMQTT_RETRY;
    if (payload == "5") in_its_place.assign(1000, std::string(topic.size() + 1, 'z'));
    const fastmqtt_host* const host = handler.host();
    std::thread([host, id = m.id] { host->complete(host, id, FASTMQTT_OK); }).join();
    return FASTMQTT_PENDING;
  });
  HandlerConfig patient = config();
  patient.retry.delay = patient.retry.delay_max = 1h;  // until it is closed
  Lane lane(patient, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.push(make_message(topic, "1"), false);
  lane.push(make_message("fails", "4"), false);
  lane.push(make_message("other", "5"), false);
  lane.push(make_message(topic, "2"), false);
  lane.push(make_message("last", "6"), false);
  lane.start();
  ASSERT_TRUE(handler.wait_for(5));
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(handler.payloads(), "1 4 5 6 2 4");
  EXPECT_EQ(lane.counts().ok, 5u);
}

// While answers are pending there is nothing to look for.
TEST_F(LaneTest, SleepsWhileAnswersArePending) {
  InProcessHandler handler([](const fastmqtt_message& m) -> fastmqtt_result {
    return m.attempt == 1 ? FASTMQTT_PENDING : FASTMQTT_OK;
  });
  HandlerConfig short_timeout = config();
  short_timeout.timeout = 500ms;
  Lane lane(short_timeout, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  const auto sleeps = [] {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return used.ru_nvcsw;
  };
  // One upon the other, so that the worker takes to looking for them.
  constexpr std::size_t kMessages = 500;
  for (std::size_t i = 0; i < kMessages; ++i)
    lane.push(make_message("a/" + std::to_string(i), "x"), false);
  ASSERT_TRUE(handler.wait_for(kMessages));
  const auto before = sleeps();
  ASSERT_TRUE(handler.wait_for(2 * kMessages)) << "the timeout has passed";
  EXPECT_LT(sleeps() - before, 2000) << "of some 5000 moments";
  ASSERT_TRUE(close_and_wait(lane));
}

TEST_F(LaneTest, AnExceptionThatEscapesThePluginAnswersRetry) {
  std::atomic<int> calls{0};
  InProcessHandler handler([&](const auto&) -> fastmqtt_result {
    if (calls++ == 0) throw std::runtime_error("boom");
    return FASTMQTT_OK;
  });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  lane.push(make_message("a", "1"), false);
  ASSERT_TRUE(handler.wait_for(1));
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().retry, 1u);
  EXPECT_EQ(lane.counts().ok, 1u);
}

TEST_F(LaneTest, AnyOtherAnswerCountsAsAnAttemptThatFailed) {
  std::atomic<int> calls{0};
  InProcessHandler handler([&](const auto&) -> fastmqtt_result {
    constexpr fastmqtt_result kAnswers[] = {-1, 77, FASTMQTT_OK};
    return kAnswers[calls++];
  });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.push(make_message("a", "1"), false);
  lane.start();
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().retry, 2u);
  EXPECT_EQ(handler.seen().back().attempt, 3u);
}

TEST_F(LaneTest, PendingIsAnsweredFromAnotherThread) {
  InProcessHandler handler([](const auto&) -> fastmqtt_result { return FASTMQTT_PENDING; });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  lane.push(make_message("a", "1"), false);
  ASSERT_TRUE(handler.wait_for(1));
  const std::uint64_t id = handler.seen()[0].id;
  std::async(std::launch::async, [&] {
    handler.host()->complete(handler.host(), id, FASTMQTT_OK);
    handler.host()->complete(handler.host(), id, FASTMQTT_RETRY);
  }).get();
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().ok, 1u);
  EXPECT_EQ(lane.counts().retry, 0u);
}

TEST_F(LaneTest, PendingWithoutAnAnswerIsRetriedAfterTheTimeout) {
  InProcessHandler handler([](const fastmqtt_message& m) -> fastmqtt_result {
    return m.attempt == 1 ? FASTMQTT_PENDING : FASTMQTT_OK;
  });
  HandlerConfig short_timeout = config();
  short_timeout.timeout = 20ms;
  Lane lane(short_timeout, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  lane.push(make_message("a", "1"), false);
  ASSERT_TRUE(handler.wait_for(2));
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().ok, 1u);
}

TEST_F(LaneTest, TheAlarmRingsInTheHandlersTurn) {
  InProcessHandler handler;
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  std::async(std::launch::async, [&] { handler.host()->wake_at(handler.host(), 0); }).get();
  ASSERT_TRUE(handler.wait_for_wakes(1));
  const auto soon = handler.host()->now_ns(handler.host()) + 10'000'000;
  handler.host()->wake_at(handler.host(), soon);
  ASSERT_TRUE(handler.wait_for_wakes(2));
  EXPECT_GE(handler.host()->now_ns(handler.host()), soon);
}

TEST_F(LaneTest, CountsWhatTheHandlerCounts) {
  InProcessHandler handler;
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  const fastmqtt_host* host = handler.host();
  const std::uint32_t counter = host->counter(host, "things");
  EXPECT_EQ(host->counter(host, "things"), counter);
  host->count(host, counter, 3);
  host->count(host, 1000, 1);  // never named: ignored
  EXPECT_EQ(lane.stats()->own.values(), (std::map<std::string, std::uint64_t>{{"things", 3}}));
}

TEST_F(LaneTest, SaysWhenAndWhereACallIsStuck) {
  std::promise<void> release;
  auto released = release.get_future().share();
  InProcessHandler handler([released](const auto&) -> fastmqtt_result {
    released.wait();
    return FASTMQTT_OK;
  });
  HandlerConfig short_timeout = config();
  short_timeout.timeout = 20ms;
  Lane lane(short_timeout, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  EXPECT_FALSE(lane.stuck(Clock::now()));
  lane.start();
  lane.push(make_message("a/b", "1"), false);
  const TimePoint deadline = Clock::now() + 10s;
  while (!lane.stuck(Clock::now()) && Clock::now() < deadline) std::this_thread::yield();
  ASSERT_TRUE(lane.stuck(Clock::now()));
  EXPECT_EQ(lane.stuck(Clock::now())->topic, "a/b");
  release.set_value();
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_FALSE(lane.stuck(Clock::now() + 1h));
}

TEST_F(LaneTest, CallsForAttentionOnceForManyDrops) {
  HandlerConfig small = config();
  small.queue.messages = 1;
  small.queue.when_full = WhenFull::drop_newest;
  InProcessHandler handler;
  std::atomic<int> calls{0};
  Lane lane(small, handler.library(), outbox_, nullptr, tap_, [&] { ++calls; });
  for (int i = 0; i < 5; ++i) lane.push(make_message("a", "x", 0), false);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(lane.take_unreported_drops(), 4u);
  EXPECT_EQ(lane.counts().dropped, 4u);
}

TEST_F(LaneTest, ClosingWorksOffWhatIsHeldAndWhatIsBehindIt) {
  InProcessHandler handler([](const fastmqtt_message& m) -> fastmqtt_result {
    return m.payload.data[0] == '1' && m.attempt < 4 ? FASTMQTT_RETRY : FASTMQTT_OK;
  });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  for (const char* payload : {"1", "2", "3"}) lane.push(make_message("a", payload), false);
  lane.start();
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(handler.payloads(), "1 1 1 1 2 3");
  EXPECT_EQ(lane.waiting(), 0u);
}

TEST_F(LaneTest, ClosingDoesNotWaitForAnAlarmThatAlwaysRings) {
  InProcessHandler handler;
  handler.raw().on_wake = [](void* self) {
    const fastmqtt_host* host = InProcessHandler::host_of(self);
    host->wake_at(host, 0);
  };
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  handler.host()->wake_at(handler.host(), 0);
  lane.start();
  EXPECT_TRUE(close_and_wait(lane));
}

// The structs themselves, not only what they point to.
TEST_F(LaneTest, APendingMessageStaysReadable) {
  std::vector<const fastmqtt_message*> kept;
  InProcessHandler handler([&](const fastmqtt_message& m) -> fastmqtt_result {
    if (m.payload.data[0] != 'k') return FASTMQTT_OK;
    kept.push_back(&m);
    return FASTMQTT_PENDING;
  });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  for (int i = 0; i < 300; ++i) {
    lane.push(make_message("k/" + std::to_string(i), "keep " + std::to_string(i)), false);
    lane.push(make_message("a", "done"), false);
  }
  ASSERT_TRUE(handler.wait_for(600));
  ASSERT_EQ(kept.size(), 300u);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(std::string(kept[i]->payload.data, kept[i]->payload.size),
              "keep " + std::to_string(i));
    handler.host()->complete(handler.host(), kept[i]->id, FASTMQTT_OK);
  }
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().ok, 600u);
}

TEST_F(LaneTest, EachCallHasItsOwnDeadline) {
  std::vector<std::int64_t> left;
  InProcessHandler handler([&](const fastmqtt_message& m) -> fastmqtt_result {
    left.push_back(m.deadline_ns - handler_now());
    const auto until = handler_now() + 3'000'000;
    while (handler_now() < until) std::this_thread::yield();
    return FASTMQTT_OK;
  });
  HandlerConfig short_timeout = config();
  short_timeout.timeout = 1s;
  Lane lane(short_timeout, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  for (int i = 0; i < 100; ++i) lane.push(make_message("a", "x"), false);
  lane.start();
  ASSERT_TRUE(close_and_wait(lane));
  for (const std::int64_t ns : left) EXPECT_GT(ns, 800'000'000);
}

TEST_F(LaneTest, AbandoningStopsAfterTheCallAtHand) {
  std::promise<void> entered, release;
  auto released = release.get_future().share();
  std::atomic<bool> first{true};
  InProcessHandler handler([&, released](const auto&) -> fastmqtt_result {
    if (first.exchange(false)) entered.set_value();
    released.wait();
    return FASTMQTT_OK;
  });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  for (int i = 0; i < 10; ++i) lane.push(make_message("a", std::to_string(i)), false);
  lane.start();
  entered.get_future().wait();
  lane.abandon();
  release.set_value();
  ASSERT_TRUE(attention_.wait([&] { return lane.finished(); }));
  EXPECT_EQ(handler.payloads(), "0");
  EXPECT_EQ(lane.waiting(), 9u);
}

HandlerConfig several(int workers) {
  HandlerConfig several = config();
  several.workers = workers;
  return several;
}

TEST_F(LaneTest, SeveralWorkersShareTheTopicsAndKeepTheOrderOfEach) {
  InProcessHandler handler([](const auto&) { return FASTMQTT_OK; }, FASTMQTT_SHARDABLE);
  Lane lane(several(4), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  EXPECT_EQ(handler.instances(), 4u);
  lane.start();
  constexpr int kTopics = 16, kMessages = 50;
  for (int i = 0; i < kMessages; ++i)
    for (int topic = 0; topic < kTopics; ++topic)
      lane.push(make_message("t/" + std::to_string(topic), std::to_string(i)), false);
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().ok, static_cast<std::uint64_t>(kTopics * kMessages));
  std::map<std::string, std::vector<std::string>> by_topic;
  std::map<std::string, std::set<std::thread::id>> threads;
  std::set<std::thread::id> all_threads;
  std::set<std::uint64_t> ids;
  for (const auto& seen : handler.seen()) {
    by_topic[seen.topic].push_back(seen.payload);
    threads[seen.topic].insert(seen.thread);
    all_threads.insert(seen.thread);
    EXPECT_TRUE(ids.insert(seen.id).second) << "an id is nobody else's";
  }
  for (const auto& [topic, payloads] : by_topic) {
    EXPECT_TRUE(std::ranges::is_sorted(payloads, {}, [](const std::string& p) {
      return std::stoi(p);
    })) << topic;
    EXPECT_EQ(threads[topic].size(), 1u) << topic;
  }
  EXPECT_GT(all_threads.size(), 1u);
}

TEST_F(LaneTest, SeveralWorkersShareTheRoom) {
  InProcessHandler handler;
  HandlerConfig small = several(3);
  small.queue.messages = 6;
  small.queue.when_full = WhenFull::drop_newest;
  Lane lane(small, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  for (int i = 0; i < 200; ++i) lane.push(make_message(std::to_string(i), "x"), false);
  EXPECT_EQ(lane.waiting(), 6u);
  lane.start();
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().ok, 6u);
  EXPECT_EQ(lane.counts().dropped, 194u);
}

TEST_F(LaneTest, AnAnswerGivenThroughTheWrongWorkersHostIsNobodys) {
  InProcessHandler handler([](const auto&) -> fastmqtt_result { return FASTMQTT_PENDING; });
  Lane lane(several(2), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  lane.push(make_message("a", "1"), false);
  ASSERT_TRUE(handler.wait_for(1));
  const std::uint64_t id = handler.seen()[0].id;
  for (const fastmqtt_host* host : handler.hosts())
    if (host != handler.seen()[0].host) host->complete(host, id, FASTMQTT_REJECT);
  EXPECT_EQ(lane.waiting(), 1u);
  handler.seen()[0].host->complete(handler.seen()[0].host, id, FASTMQTT_OK);
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().ok, 1u);
  EXPECT_EQ(lane.counts().reject, 0u);
}

// What a handler has in its hands without an answer is bounded by its queue, like what waits.
TEST_F(LaneTest, PendingIsBounded) {
  InProcessHandler handler([](const auto&) -> fastmqtt_result { return FASTMQTT_PENDING; });
  HandlerConfig small = config();
  small.queue.messages = 3;
  Lane lane(small, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  for (int i = 0; i < 3; ++i) lane.push(make_message(std::to_string(i), "x"), false);
  ASSERT_TRUE(handler.wait_for(3));
  const MessagePtr more = make_message("more", "x");
  EXPECT_FALSE(lane.takes(*more));
  handler.host()->complete(handler.host(), handler.seen()[1].id, FASTMQTT_OK);
  const TimePoint deadline = Clock::now() + 10s;
  while (!lane.takes(*more) && Clock::now() < deadline) std::this_thread::yield();
  lane.push(more, false);
  ASSERT_TRUE(handler.wait_for(4));
  for (const auto& seen : handler.seen())
    handler.host()->complete(handler.host(), seen.id, FASTMQTT_OK);
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().ok, 4u);
}

TEST_F(LaneTest, PublishesFromAnyThreadIntoTheOutbox) {
  InProcessHandler handler;
  HandlerConfig small = config();
  small.queue.messages = 300;
  Lane lane(small, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  const fastmqtt_host* host = handler.host();
  fastmqtt_message message{};
  message.size = sizeof message;
  message.topic = {"t", 1};
  std::vector<std::future<int>> threads;
  for (int i = 0; i < 4; ++i)
    threads.push_back(std::async(std::launch::async, [&] {
      int taken = 0;
      for (int k = 0; k < 100; ++k) taken += host->publish(host, &message) == FASTMQTT_OK;
      return taken;
    }));
  int taken = 0;
  for (auto& thread : threads) taken += thread.get();
  EXPECT_EQ(taken, 300) << "as many as its queue holds";
  EXPECT_EQ(outbox_.waiting(), 300u);
  EXPECT_EQ(lane.publish_counts().waiting, 300u);
}

// A thread of the handler's may be looking at it still, whatever became of the delivery.
TEST_F(LaneTest, AnOverduePendingMessageStaysReadableUntilItIsCompleted) {
  std::vector<const fastmqtt_message*> given;
  InProcessHandler handler([&](const fastmqtt_message& m) -> fastmqtt_result {
    if (m.attempt == 1) given.push_back(&m);
    return m.attempt == 1 ? FASTMQTT_PENDING : FASTMQTT_OK;
  });
  HandlerConfig short_timeout = config();
  short_timeout.timeout = 5ms;
  Lane lane(short_timeout, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  for (int i = 0; i < 20; ++i) {
    lane.push(make_message(std::to_string(i), "payload " + std::to_string(i)), false);
    ASSERT_TRUE(handler.wait_for(2 * static_cast<std::size_t>(i) + 2));
  }
  ASSERT_EQ(given.size(), 20u);
  for (std::size_t i = 0; i < given.size(); ++i) {
    EXPECT_EQ(std::string(given[i]->payload.data, given[i]->payload.size),
              "payload " + std::to_string(i));
    handler.host()->complete(handler.host(), given[i]->id, FASTMQTT_REJECT);
  }
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(lane.counts().ok, 20u);
  EXPECT_EQ(lane.counts().reject, 0u) << "too late to count";
}

TEST_F(LaneTest, TheAlarmCanBeTakenBack) {
  InProcessHandler handler;
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  const fastmqtt_host* host = handler.host();
  host->wake_at(host, 0);
  host->wake_at(host, std::numeric_limits<std::int64_t>::max());
  lane.start();
  lane.push(make_message("a", "1"), false);
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(handler.wakes(), 0u);
}

TEST_F(LaneTest, SaysWhenACallTookTooLong) {
  InProcessHandler handler([](const auto&) -> fastmqtt_result {
    const auto until = handler_now() + 5'000'000;
    while (handler_now() < until) std::this_thread::yield();
    return FASTMQTT_OK;
  });
  const testing::RecordedLog log;
  HandlerConfig short_timeout = config();
  short_timeout.timeout = 1ms;
  Lane lane(short_timeout, handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.push(make_message("a/b", "1"), false);
  lane.start();
  ASSERT_TRUE(close_and_wait(lane));
  ASSERT_EQ(log.texts().size(), 1u);
  EXPECT_EQ(log.texts()[0].substr(0, 25), "fake: a/b: the call took ") << log.texts()[0];
}

// ---- making room for another -------------------------------------------------------------------

TEST_F(LaneTest, RetiresWithWhatWaitsUntouched) {
  std::promise<void> entered, go;
  InProcessHandler handler([&](const fastmqtt_message&) -> fastmqtt_result {
    entered.set_value();
    go.get_future().wait();
    return FASTMQTT_OK;
  });
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.start();
  for (const char* payload : {"1", "2", "3"}) lane.push(make_message("a", payload), false);
  entered.get_future().wait();
  lane.retire();
  EXPECT_FALSE(lane.finished());
  go.set_value();
  ASSERT_TRUE(attention_.wait([&] { return lane.finished(); }));
  lane.end();
  EXPECT_EQ(handler.payloads(), "1");
  EXPECT_EQ(lane.unstored(), 2u);
  EXPECT_EQ(lane.keep_unstored(), 2u) << "there is no spool";
  EXPECT_EQ(lane.counts().dropped, 2u);
}

TEST_F(LaneTest, GetsNoMessageWhileItIsPaused) {
  InProcessHandler handler;
  Lane lane(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  lane.pause(true);
  lane.start();
  lane.push(make_message("a", "1"), false);
  EXPECT_EQ(handler.payloads(), "");
  lane.pause(false);
  ASSERT_TRUE(close_and_wait(lane));
  EXPECT_EQ(handler.payloads(), "1");
}

TEST_F(LaneTest, CountsOnWhereAnotherOneStopped) {
  InProcessHandler handler;
  Lane before(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback());
  before.start();
  before.push(make_message("a", "1"), false);
  ASSERT_TRUE(close_and_wait(before));
  Lane after(config(), handler.library(), outbox_, nullptr, tap_, attention_.callback(), &before);
  after.start();
  after.push(make_message("a", "2"), false);
  ASSERT_TRUE(close_and_wait(after));
  EXPECT_EQ(after.counts().ok, 2u);
}

}  // namespace
}  // namespace fastmqttd
