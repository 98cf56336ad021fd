#include "daemon/delivery/lane_queue.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fastmqttd {
namespace {

using Kind = Settled::Kind;
using Pushed = LaneQueue::Pushed;
using Push = Pushed::Kind;

constexpr Pushed kQueued{Push::queued, 0};
constexpr Pushed kRefused{Push::refused, 0};
constexpr Pushed kDropped{Push::dropped, 1};

MessagePtr message(const std::string& topic, const std::string& payload, int qos = 1) {
  return std::make_shared<Message>(Message::Parts{.topic = topic, .payload = payload, .qos = qos});
}

class LaneQueueTest : public testing::Test {
 protected:
  LaneQueueTest() { retry_.delay = retry_.delay_max = 1s; }

  LaneQueue& queue() {
    if (!queue_) {
      room_ = std::make_shared<QueueRoom>(limits_);
      queue_.emplace(limits_.when_full, retry_, Duration(30s), room_);
    }
    return *queue_;
  }
  QueueRoom& room() {
    queue();
    return *room_;
  }
  void push(const std::string& topic, const std::string& payload, int qos = 1) {
    EXPECT_EQ(queue().push(message(topic, payload, qos), now_), kQueued);
  }
  // Takes what is ready; shows it as "payload#attempt ...".
  std::string take(std::size_t max = 256) {
    batch_.clear();
    queue().take(max, now_, batch_);
    std::string text;
    for (const Delivery& d : batch_)
      text += (text.empty() ? "" : " ") + std::string(d.message->payload()) + "#" +
              std::to_string(d.attempt);
    return text;
  }
  Settled settle(std::size_t i, fastmqtt_result result) {
    return queue().settle(batch_.at(i), result, now_);
  }
  void pass(Duration time) { now_ += time; }

  QueueConfig limits_;
  RetryConfig retry_;
  std::shared_ptr<QueueRoom> room_;
  std::optional<LaneQueue> queue_;
  std::vector<Delivery> batch_;
  TimePoint now_{1h};
};

TEST_F(LaneQueueTest, HandsOverInOrderOfArrival) {
  push("a", "1");
  push("b", "2");
  push("a", "3");
  EXPECT_EQ(take(2), "1#1 2#1");
  EXPECT_EQ(take(2), "3#1");
  EXPECT_EQ(take(2), "");
}

TEST_F(LaneQueueTest, CountsUntilSettled) {
  push("a", "1");
  EXPECT_EQ(queue().messages(), 1u);
  EXPECT_GT(queue().bytes(), 0u);
  take();
  EXPECT_EQ(queue().messages(), 1u);
  EXPECT_EQ(settle(0, FASTMQTT_OK).kind, Kind::done);
  EXPECT_EQ(queue().messages(), 0u);
  EXPECT_EQ(queue().bytes(), 0u);
}

TEST_F(LaneQueueTest, ARetryComesAgainAfterItsPause) {
  push("a", "1");
  take();
  const Settled settled = settle(0, FASTMQTT_RETRY);
  EXPECT_EQ(settled.kind, Kind::retry);
  EXPECT_GE(settled.pause, 800ms);
  EXPECT_LE(settled.pause, 1200ms);
  EXPECT_EQ(queue().next_event(), now_ + settled.pause);
  EXPECT_FALSE(queue().has_ready(now_));
  EXPECT_EQ(take(), "");
  pass(1200ms);
  EXPECT_TRUE(queue().has_ready(now_));
  EXPECT_EQ(take(), "1#2");
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(queue().messages(), 0u);
}

TEST_F(LaneQueueTest, ARetryHoldsBackItsOwnTopicOnly) {
  push("a", "1");
  take();
  settle(0, FASTMQTT_RETRY);
  push("a", "2");
  push("b", "3");
  push("a", "4");
  EXPECT_EQ(take(), "3#1");
  settle(0, FASTMQTT_OK);
  pass(1200ms);
  EXPECT_EQ(take(), "1#2") << "one that failed goes alone";
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(take(), "2#1 4#1") << "then the others, together";
  push("a", "5");
  EXPECT_EQ(take(), "") << "not while earlier ones of its topic are out";
  // batch_ was replaced by the empty one: take what is due again after settling.
}

TEST_F(LaneQueueTest, KeepsTheOrderOfATopicThroughRepeatedFailures) {
  for (const char* payload : {"1", "2", "3"}) push("a", payload);
  EXPECT_EQ(take(1), "1#1");
  settle(0, FASTMQTT_RETRY);
  EXPECT_EQ(take(), "");
  pass(1200ms);
  EXPECT_EQ(take(), "1#2");
  settle(0, FASTMQTT_RETRY);
  pass(1200ms);
  EXPECT_EQ(take(), "1#3");
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(take(), "2#1 3#1");
  settle(0, FASTMQTT_OK);
  settle(1, FASTMQTT_RETRY);
  push("a", "4");
  pass(1200ms);
  EXPECT_EQ(take(), "3#2");
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(take(), "4#1");
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(queue().messages(), 0u);
}

TEST_F(LaneQueueTest, GivesBackWhatWasNotTried) {
  for (const char* payload : {"1", "2", "3"}) push("a", payload);
  EXPECT_EQ(take(), "1#1 2#1 3#1");
  settle(0, FASTMQTT_RETRY);
  queue().give_back(batch_[1]);
  queue().give_back(batch_[2]);
  EXPECT_EQ(take(), "");
  pass(1200ms);
  EXPECT_EQ(take(), "1#2");
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(take(), "2#1 3#1") << "an attempt that was none is not counted";
}

TEST_F(LaneQueueTest, GivesBackToAnUnheldTopicInOrder) {
  for (const char* payload : {"1", "2", "3"}) push("a", payload);
  EXPECT_EQ(take(2), "1#1 2#1");
  queue().give_back(batch_[1]);
  queue().give_back(batch_[0]);
  EXPECT_EQ(take(), "1#1 2#1 3#1");
}

TEST_F(LaneQueueTest, GivesUpWhenAttemptsAreUsedUp) {
  retry_.attempts = 2;
  push("a", "1");
  push("a", "2");
  take(1);
  EXPECT_EQ(settle(0, FASTMQTT_RETRY).kind, Kind::retry);
  pass(1200ms);
  take();
  const Settled settled = settle(0, FASTMQTT_RETRY);
  EXPECT_EQ(settled.kind, Kind::dead);
  EXPECT_STREQ(settled.reason, "retries used up");
  EXPECT_EQ(take(), "2#1") << "the topic goes on";
}

TEST_F(LaneQueueTest, GivesUpWhatIsTooOld) {
  retry_.attempts.reset();
  retry_.max_age = 10s;
  push("a", "1");
  take();
  pass(10s);
  EXPECT_STREQ(settle(0, FASTMQTT_RETRY).reason, "too old");
}

TEST_F(LaneQueueTest, ARejectIsDeadAtOnce) {
  push("a", "1");
  take();
  const Settled settled = settle(0, FASTMQTT_REJECT);
  EXPECT_EQ(settled.kind, Kind::dead);
  EXPECT_STREQ(settled.reason, "rejected");
  EXPECT_EQ(queue().messages(), 0u);
}

TEST_F(LaneQueueTest, AnUnknownAnswerCountsAsRetry) {
  push("a", "1");
  take();
  EXPECT_EQ(settle(0, 42).kind, Kind::retry);
}

TEST_F(LaneQueueTest, APendingAnswerHoldsItsTopicUntilItComes) {
  push("a", "1");
  push("b", "2");
  take(1);
  const std::uint64_t id = batch_[0].id;
  EXPECT_EQ(settle(0, FASTMQTT_PENDING).kind, Kind::pending);
  push("a", "3");
  EXPECT_EQ(take(), "2#1");
  const auto done = queue().complete(id, FASTMQTT_OK, now_);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->second.kind, Kind::done);
  EXPECT_EQ(take(), "3#1");
}

TEST_F(LaneQueueTest, ALateOrDoubleAnswerIsHarmless) {
  push("a", "1");
  take();
  const std::uint64_t id = batch_[0].id;
  settle(0, FASTMQTT_PENDING);
  EXPECT_TRUE(queue().complete(id, FASTMQTT_RETRY, now_));
  EXPECT_FALSE(queue().complete(id, FASTMQTT_OK, now_));
  pass(1200ms);
  EXPECT_EQ(take(), "1#2");
  EXPECT_NE(batch_[0].id, id);
  EXPECT_FALSE(queue().complete(id, FASTMQTT_OK, now_)) << "of the attempt before";
  EXPECT_FALSE(queue().complete(999, FASTMQTT_OK, now_));
  EXPECT_EQ(settle(0, FASTMQTT_PENDING).kind, Kind::pending);
}

TEST_F(LaneQueueTest, AnAnswerMayComeBeforePending) {
  push("a", "1");
  take();
  EXPECT_FALSE(queue().complete(batch_[0].id, FASTMQTT_OK, now_));
  EXPECT_EQ(settle(0, FASTMQTT_PENDING).kind, Kind::done);
  EXPECT_EQ(queue().messages(), 0u);
}

TEST_F(LaneQueueTest, PendingIsNoLateAnswer) {
  push("a", "1");
  take();
  const std::uint64_t id = batch_[0].id;
  settle(0, FASTMQTT_PENDING);
  EXPECT_EQ(queue().complete(id, FASTMQTT_PENDING, now_)->second.kind, Kind::retry);
}

TEST_F(LaneQueueTest, APendingAnswerThatNeverComesIsRetried) {
  push("a", "1");
  take();
  settle(0, FASTMQTT_PENDING);
  EXPECT_EQ(queue().next_event(), now_ + 30s);
  EXPECT_TRUE(queue().expire(now_).empty());
  pass(30s);
  const auto expired = queue().expire(now_);
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(expired[0].second.kind, Kind::retry);
  pass(1200ms);
  EXPECT_EQ(take(), "1#2");
}

TEST_F(LaneQueueTest, ARetryBesideAPendingOneOfItsTopicWaitsForIt) {
  push("a", "1");
  push("a", "2");
  take();
  const std::uint64_t id = batch_[0].id;
  settle(0, FASTMQTT_PENDING);
  settle(1, FASTMQTT_RETRY);
  pass(2s);
  EXPECT_EQ(take(), "");
  queue().complete(id, FASTMQTT_OK, now_);
  EXPECT_EQ(take(), "2#2");
}

TEST_F(LaneQueueTest, RefusesQos1And2PastItsLimit) {
  limits_.messages = 2;
  push("a", "1");
  EXPECT_TRUE(room().fits(100));
  push("a", "2");
  EXPECT_FALSE(room().fits(100));
  EXPECT_EQ(queue().push(message("a", "3"), now_), kRefused);
  EXPECT_EQ(queue().messages(), 2u);
  EXPECT_EQ(queue().push(message("a", "4", 2), now_), kRefused);
  EXPECT_EQ(take(), "1#1 2#1");
}

TEST_F(LaneQueueTest, IsBoundedInBytesButTakesOneOfAnySize) {
  limits_.size = 2000;
  EXPECT_EQ(queue().push(message("a", std::string(5000, 'x')), now_), kQueued);
  EXPECT_EQ(queue().push(message("a", "y"), now_), kRefused);
}

TEST_F(LaneQueueTest, DropsTheOldestOfQos0) {
  limits_.messages = 3;
  limits_.when_full = WhenFull::drop_oldest;
  push("a", "1", 1);
  push("a", "2", 0);
  push("a", "3", 0);
  EXPECT_EQ(queue().push(message("a", "4", 0), now_), (Pushed{Push::queued, 1}));
  EXPECT_EQ(take(), "1#1 3#1 4#1") << "never one of QoS 1";
  EXPECT_EQ(queue().push(message("a", "5", 0), now_), kDropped)
      << "what is in the handler's hands is not dropped";
}

TEST_F(LaneQueueTest, DropsTheNewestOfQos0WhenToldTo) {
  limits_.messages = 1;
  limits_.when_full = WhenFull::drop_newest;
  push("a", "1", 0);
  EXPECT_EQ(queue().push(message("a", "2", 0), now_), kDropped);
  EXPECT_EQ(take(), "1#1");
}

TEST_F(LaneQueueTest, HasDrainedBelowFourFifths) {
  limits_.messages = 10;
  for (int i = 0; i < 8; ++i) push("a", "x");
  EXPECT_FALSE(room().has_drained());
  take(1);
  settle(0, FASTMQTT_OK);
  EXPECT_TRUE(room().has_drained());
}

TEST_F(LaneQueueTest, HurryingTriesWhatIsHeldAtOnce) {
  push("a", "1");
  push("a", "2");
  push("b", "3");
  take(1);
  settle(0, FASTMQTT_RETRY);
  queue().hurry();
  EXPECT_EQ(take(), "1#2 3#1");
  settle(1, FASTMQTT_OK);
  EXPECT_EQ(settle(0, FASTMQTT_RETRY).kind, Kind::retry);
  EXPECT_EQ(take(), "") << "not without its pause";
  pass(1200ms);
  EXPECT_EQ(take(), "1#3");
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(take(), "2#1") << "what was behind it is not forgotten";
}

TEST_F(LaneQueueTest, DropsAsManyAsMakeRoomAndCountsThem) {
  limits_.size = 4000;
  for (const char* payload : {"1", "2", "3"}) push("a", payload, 0);
  const std::size_t each = queue().bytes() / 3;
  const std::string large(4000 - 2 * each, 'x');
  EXPECT_EQ(queue().push(message("a", large, 0), now_), (Pushed{Push::queued, 2}));
  EXPECT_EQ(queue().messages(), 2u);
}

TEST_F(LaneQueueTest, DropsNothingThatWouldNotMakeRoom) {
  limits_.size = 4000;
  push("a", "1", 0);
  push("a", std::string(2000, 'x'), 1);
  EXPECT_EQ(queue().push(message("a", std::string(3000, 'x'), 0), now_), kDropped);
  EXPECT_EQ(queue().messages(), 2u);
}

// Random answers: nothing is lost, nothing is doubled, each topic stays in order.
TEST_F(LaneQueueTest, KeepsItsPromisesUnderRandomAnswers) {
  retry_.attempts.reset();
  std::minstd_rand random(7);
  std::vector<int> handled(5, 0), pushed(5, 0);
  std::vector<std::uint64_t> pending;
  std::size_t settled = 0;
  for (int round = 0; settled < 2000; ++round) {
    ASSERT_LT(round, 100'000);
    for (int i = 0; i < 3 && settled + queue().messages() < 2000; ++i) {
      const auto topic = random() % 5;
      push(std::string(1, static_cast<char>('a' + topic)), std::to_string(++pushed[topic]));
    }
    std::vector<Delivery> batch;
    queue().take(1 + random() % 4, now_, batch);
    for (const Delivery& d : batch) {
      const auto topic = static_cast<std::size_t>(d.message->topic()[0] - 'a');
      const auto answer = static_cast<fastmqtt_result>(random() % 4);
      const bool first_of_topic =
          std::stoi(std::string(d.message->payload())) == handled[topic] + 1;
      if (answer == FASTMQTT_PENDING) {
        pending.push_back(d.id);
        queue().settle(d, answer, now_);
      } else if (!first_of_topic || answer == FASTMQTT_RETRY) {
        // Behind one of its topic that failed in this same batch: a good handler retries it too.
        queue().settle(d, FASTMQTT_RETRY, now_);
      } else {
        ++handled[topic];
        ++settled;
        queue().settle(d, answer, now_);
      }
    }
    if (!pending.empty() && random() % 2) {
      const auto done = queue().complete(pending.front(), FASTMQTT_RETRY, now_);
      EXPECT_TRUE(done);
      pending.erase(pending.begin());
    }
    pass(Duration(random() % 400));
  }
  EXPECT_EQ(handled, pushed);
  EXPECT_EQ(queue().messages(), 0u);
  EXPECT_EQ(queue().bytes(), 0u);
}

// Whether the message is held by nobody but the test.
bool let_go(const MessagePtr& message) { return message.use_count() == 1; }

TEST_F(LaneQueueTest, KeepsWhatIsOverdueWithinTheLimits) {
  limits_.messages = 3;
  retry_.attempts = 1;  // so that nothing else holds on to them
  std::vector<MessagePtr> messages;
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 5; ++i) {
    messages.push_back(message(std::to_string(i), "x"));
    queue().push(messages.back(), now_);
    take();
    ids.push_back(batch_.at(0).id);
    settle(0, FASTMQTT_PENDING);
    batch_.clear();
    pass(31s);
    EXPECT_EQ(queue().expire(now_).size(), 1u);
  }
  EXPECT_TRUE(let_go(messages[0]));
  EXPECT_TRUE(let_go(messages[1]));
  EXPECT_FALSE(let_go(messages[2]));
  EXPECT_FALSE(queue().complete(ids[3], FASTMQTT_OK, now_));
  EXPECT_TRUE(let_go(messages[3])) << "completed, if late";
  EXPECT_FALSE(let_go(messages[4]));
}

}  // namespace
}  // namespace fastmqttd
