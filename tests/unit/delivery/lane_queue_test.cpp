#include "daemon/delivery/lane_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace fastmqttd {
namespace {

using Kind = Settled::Kind;
using Pushed = LaneQueue::Pushed;
using Push = Pushed::Kind;

constexpr Pushed kQueued{Push::queued, 0};
constexpr Pushed kLeft{Push::left, 0};
constexpr Pushed kDropped{Push::dropped, 1};

MessagePtr message(const std::string& topic, const std::string& payload, int qos = 1) {
  return std::make_shared<Message>(
      Message::Parts{.topic = topic, .payload = payload, .qos = qos, .id = next_message_id()});
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
    EXPECT_EQ(offer(topic, payload, qos), kQueued);
  }
  // Those of QoS 1 and 2 are in the spool, which is a list here.
  Pushed offer(const std::string& topic, const std::string& payload, int qos = 1) {
    const MessagePtr one = message(topic, payload, qos);
    if (qos > 0) spool_.push_back(one);
    return queue().push(one, qos > 0, now_);
  }
  // Takes what is ready; shows it as "payload#attempt ...".
  std::string take(std::size_t max = 256) {
    taken_.batch.clear();
    taken_.expired.clear();
    taken_.to_park.clear();
    queue().take(max, now_, taken_);
    park(taken_.to_park);
    std::string text;
    for (const Delivery& d : batch_)
      text += (text.empty() ? "" : " ") + std::string(d.message->payload()) + "#" +
              std::to_string(d.attempt);
    return text;
  }
  static Delivery stored(const MessagePtr& one) {
    Delivery delivery;
    delivery.message = one;
    delivery.stored = true;
    return delivery;
  }
  void park(const LaneQueue::ToPark& to_park) {
    for (const auto& [topic, id] : to_park) parked_[topic].push_back(id);
  }
  // Reads back what the queue wants, as a worker does between two calls; how many pages.
  int read_back(std::size_t at_once = 256) {
    for (int pages = 0;; ++pages) {
      if (const auto parked = queue().wanted_parked()) {
        bring(parked->first, parked->second);
        continue;
      }
      const auto wanted = queue().wanted_page();
      if (!wanted) return pages;
      LaneQueue::Page page;
      page.last = wanted->after;
      page.up_to = wanted->up_to;
      page.end = true;
      for (const MessagePtr& one : spool_) {
        if (one->id() <= wanted->after) continue;
        if (page.deliveries.size() == std::min(at_once, wanted->messages)) page.end = false;
        if (!page.end) break;
        page.deliveries.push_back(stored(one));
        page.last = one->id();
      }
      LaneQueue::ToPark to_park;
      queue().add_page(std::move(page), to_park);
      park(to_park);
    }
  }
  void bring(const std::string& topic, std::size_t count) {
    std::vector<std::uint64_t>& all = parked_[topic];
    const auto some = static_cast<std::ptrdiff_t>(std::min(count, all.size()));
    const std::vector<std::uint64_t> ids(all.begin(), all.begin() + some);
    all.erase(all.begin(), all.begin() + some);
    std::vector<Delivery> deliveries;
    for (const MessagePtr& one : spool_)
      if (std::ranges::find(ids, one->id()) != ids.end()) deliveries.push_back(stored(one));
    queue().add_parked(topic, ids, std::move(deliveries));
  }
  Settled settle(std::size_t i, fastmqtt_result result) {
    const Settled settled = queue().settle(batch_.at(i), result, now_);
    if (settled.kind == Kind::done || settled.kind == Kind::dead)
      std::erase(spool_, batch_.at(i).message);
    return settled;
  }
  void pass(Duration time) { now_ += time; }

  QueueConfig limits_;
  RetryConfig retry_;
  std::shared_ptr<QueueRoom> room_;
  std::optional<LaneQueue> queue_;
  LaneQueue::Taken taken_;
  std::vector<Delivery>& batch_ = taken_.batch;
  std::vector<MessagePtr> spool_;  // what is not settled of it
  std::map<std::string, std::vector<std::uint64_t>> parked_;
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

TEST_F(LaneQueueTest, WhatIsPendingAtTheEndStaysReadable) {
  push("a", "1", 0);
  push("b", "2");
  take();
  settle(0, FASTMQTT_PENDING);
  settle(1, FASTMQTT_PENDING);
  const std::vector<std::weak_ptr<const Message>> messages{batch_[0].message, batch_[1].message};
  batch_.clear();
  spool_.clear();
  EXPECT_EQ(queue().take_unstored().size(), 1u);
  for (const auto& message : messages) EXPECT_FALSE(message.expired());
}

// Read back after a crash: that at which the daemon crashed, and others.
TEST_F(LaneQueueTest, WhatMayCrashAgainIsHandedOverAlone) {
  queue().read_from_beginning();
  LaneQueue::Page page;
  page.up_to = queue().wanted_page()->up_to;
  page.end = true;
  for (const auto& [topic, crashes] :
       {std::pair("a", 0u), std::pair("b", 1u), std::pair("c", 1u), std::pair("d", 0u)}) {
    Delivery delivery = stored(message(topic, topic));
    delivery.attempt = delivery.failures = 1;
    delivery.crashes = crashes;
    delivery.due = now_;
    page.last = delivery.message->id();
    page.deliveries.push_back(std::move(delivery));
  }
  LaneQueue::ToPark to_park;
  queue().add_page(std::move(page), to_park);
  push("b", "behind");
  push("e", "new");
  std::vector<std::string> batches;
  while (queue().messages() > 0 && batches.size() < 9) {
    batches.push_back(take());
    for (std::size_t i = 0; i < batch_.size(); ++i) settle(i, FASTMQTT_OK);
  }
  EXPECT_THAT(batches, testing::Contains("b#2"));
  EXPECT_THAT(batches, testing::Contains("c#2"));
  std::string all;
  for (const std::string& batch : batches) all += batch + " ";
  for (const char* one : {"a#2", "d#2", "behind#1", "new#1"})
    EXPECT_THAT(all, testing::HasSubstr(one));
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

TEST_F(LaneQueueTest, LeavesWhatIsStoredInTheSpoolPastItsLimit) {
  limits_.messages = 2;
  push("a", "1");
  push("a", "2");
  EXPECT_EQ(offer("a", "3"), kLeft);
  EXPECT_EQ(offer("a", "4", 2), kLeft);
  EXPECT_EQ(queue().messages(), 2u);
  EXPECT_EQ(read_back(), 0) << "there is no room";
  EXPECT_EQ(take(), "1#1 2#1");
  EXPECT_EQ(read_back(), 0) << "what is in the handler's hands counts";
  settle(0, FASTMQTT_OK);
  settle(1, FASTMQTT_OK);
  EXPECT_EQ(offer("a", "5"), kLeft) << "behind the others";
  EXPECT_EQ(read_back(), 1);
  EXPECT_EQ(take(), "3#1 4#1");
  settle(0, FASTMQTT_OK);
  settle(1, FASTMQTT_OK);
  EXPECT_EQ(read_back(), 1);
  EXPECT_FALSE(queue().is_behind());
  push("a", "6");
  EXPECT_EQ(take(), "5#1 6#1");
}

TEST_F(LaneQueueTest, IsBoundedInBytesButTakesOneOfAnySize) {
  limits_.size = 2000;
  push("a", std::string(5000, 'x'));
  EXPECT_EQ(offer("a", "y"), kLeft);
}

// The worker may have read it before it is pushed.
TEST_F(LaneQueueTest, TakesNoMessageTwice) {
  limits_.messages = 1;
  push("a", "1");
  EXPECT_EQ(offer("a", "2"), kLeft);
  take();
  settle(0, FASTMQTT_OK);
  const MessagePtr third = message("a", "3");
  spool_.push_back(third);
  EXPECT_EQ(read_back(), 1);
  EXPECT_EQ(take(), "2#1");
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(read_back(), 1);
  EXPECT_EQ(queue().push(third, true, now_), kQueued);
  EXPECT_EQ(take(), "3#1");
  EXPECT_EQ(take(), "");
}

// Of several workers one may have settled what all were told of.
TEST_F(LaneQueueTest, DoesNotWaitForWhatIsNotThereAnyMore) {
  queue().leave(next_message_id());
  EXPECT_EQ(read_back(), 1);
  EXPECT_FALSE(queue().is_behind());
}

TEST_F(LaneQueueTest, KeepsTheOrderOfATopicAcrossMemoryAndSpool) {
  limits_.messages = 4;
  limits_.when_full = WhenFull::drop_newest;
  for (const char* payload : {"1", "2", "3"}) push("a", payload);
  push("a", "4", 0);
  EXPECT_EQ(offer("a", "5"), kLeft);
  EXPECT_EQ(take(1), "1#1");
  settle(0, FASTMQTT_OK);
  push("a", "6", 0);
  EXPECT_EQ(offer("a", "7"), kLeft);
  EXPECT_EQ(take(), "2#1 3#1 4#1") << "6 has to wait for 5";
  for (const std::size_t i : {0u, 1u, 2u}) settle(i, FASTMQTT_OK);
  EXPECT_GT(read_back(), 0);
  EXPECT_EQ(take(), "5#1 6#1 7#1");
}

// Whatever waits behind a message that fails, the other topics go on.
TEST_F(LaneQueueTest, ManyBehindOneThatFailsKeepNobodyElseWaiting) {
  limits_.messages = 10;
  retry_.attempts.reset();
  push("bad", "0");
  take();
  settle(0, FASTMQTT_RETRY);
  std::string expected;
  for (int i = 1; i <= 100; ++i) {
    offer("bad", std::to_string(i));
    expected += (i > 1 ? " " : "") + std::to_string(i);
  }
  offer("good", "x");
  for (int i = 0; i < 100 && take() != "x#1"; ++i) read_back(7);
  EXPECT_EQ(std::string(batch_.at(0).message->payload()), "x");
  settle(0, FASTMQTT_OK);
  EXPECT_LE(queue().messages(), 10u);
  EXPECT_GE(parked_["bad"].size(), 90u);

  pass(1200ms);
  EXPECT_EQ(take(), "0#2");
  settle(0, FASTMQTT_OK);
  std::string got;
  for (int i = 0; i < 200 && got.size() < expected.size(); ++i) {
    read_back(7);
    take(3);
    for (std::size_t k = 0; k < batch_.size(); ++k) {
      got += (got.empty() ? "" : " ") + std::string(batch_[k].message->payload());
      settle(k, FASTMQTT_OK);
    }
  }
  EXPECT_EQ(got, expected) << "in order, none missing, none twice";
  EXPECT_EQ(queue().messages(), 0u);
}

TEST_F(LaneQueueTest, SuspendsAfterFiveFailuresInARowAndTriesOneAtAPause) {
  retry_.delay_max = 10s;
  for (int i = 0; i < 10; ++i) push(std::to_string(i), std::to_string(i));
  EXPECT_EQ(take(4), "0#1 1#1 2#1 3#1");
  for (const std::size_t i : {0u, 1u, 2u, 3u}) settle(i, FASTMQTT_RETRY);
  EXPECT_FALSE(queue().suspended());
  EXPECT_EQ(take(1), "4#1");
  settle(0, FASTMQTT_RETRY);
  EXPECT_TRUE(queue().suspended());
  EXPECT_FALSE(queue().has_ready(now_));
  EXPECT_EQ(take(), "") << "not even what has never failed";
  pass(1200ms);
  EXPECT_EQ(take(), "5#1") << "one";
  EXPECT_EQ(take(), "");
  EXPECT_EQ(batch_.size(), 0u);
}

TEST_F(LaneQueueTest, WhileSuspendedTheTopicsAreTriedInTurnAndNoAttemptCounts) {
  retry_.attempts = 2;
  for (int i = 0; i < 5; ++i) push(std::to_string(i), std::to_string(i));
  take();
  for (std::size_t i = 0; i < 5; ++i) settle(i, FASTMQTT_RETRY);
  ASSERT_TRUE(queue().suspended());
  std::set<std::string> tried;
  for (int i = 0; i < 5; ++i) {
    pass(1200ms);
    ASSERT_NE(take(), "");
    ASSERT_EQ(batch_.size(), 1u);
    tried.insert(std::string(batch_[0].message->topic()));
    EXPECT_EQ(settle(0, FASTMQTT_RETRY).kind, Kind::retry) << "although it was the second";
  }
  EXPECT_EQ(tried.size(), 5u) << "each once";
  EXPECT_EQ(queue().messages(), 5u);
}

TEST_F(LaneQueueTest, ASuccessEndsTheSuspension) {
  for (int i = 0; i < 7; ++i) push(std::to_string(i), std::to_string(i));
  take(5);
  for (std::size_t i = 0; i < 5; ++i) settle(i, FASTMQTT_RETRY);
  pass(1200ms);
  EXPECT_EQ(take(), "5#1");
  settle(0, FASTMQTT_OK);
  EXPECT_FALSE(queue().suspended());
  take();
  EXPECT_EQ(batch_.size(), 6u) << "what has failed is due at once";
}

TEST_F(LaneQueueTest, ARejectNeitherSuspendsNorEndsASuspension) {
  for (int i = 0; i < 7; ++i) push(std::to_string(i), std::to_string(i));
  take(6);
  for (std::size_t i = 0; i < 5; ++i) settle(i, FASTMQTT_REJECT);
  EXPECT_FALSE(queue().suspended());
  settle(5, FASTMQTT_OK);
}

TEST_F(LaneQueueTest, AProbeThatIsGivenBackIsTriedAgain) {
  for (int i = 0; i < 6; ++i) push(std::to_string(i), std::to_string(i));
  take(5);
  for (std::size_t i = 0; i < 5; ++i) settle(i, FASTMQTT_RETRY);
  pass(1200ms);
  EXPECT_EQ(take(), "5#1");
  queue().give_back(batch_[0]);
  EXPECT_NE(take(), "");
}

TEST_F(LaneQueueTest, DoesNotDeliverWhatHasExpired) {
  const fastmqtt_property expiry{FASTMQTT_MESSAGE_EXPIRY_INTERVAL, 5, {}, {}};
  const auto expiring = [&](const char* topic) {
    return std::make_shared<Message>(Message::Parts{.topic = topic,
                                                    .payload = "short",
                                                    .qos = 1,
                                                    .id = next_message_id(),
                                                    .properties = std::span(&expiry, 1)});
  };
  queue().push(expiring("a"), false, now_);
  push("a", "1");
  queue().push(expiring("b"), false, now_);
  pass(4900ms);
  EXPECT_EQ(take(1), "short#1") << "in time";
  settle(0, FASTMQTT_RETRY);
  pass(1200ms);
  EXPECT_EQ(take(), "1#1") << "behind it, in the next round";
  EXPECT_EQ(taken_.expired.size(), 2u);
  settle(0, FASTMQTT_OK);
  EXPECT_EQ(queue().messages(), 0u);
}

TEST_F(LaneQueueTest, MayGoWhenAllThatWaitsIsStored) {
  EXPECT_TRUE(queue().may_go());
  push("a", "1");
  EXPECT_FALSE(queue().may_go()) << "it is ready";
  take();
  settle(0, FASTMQTT_RETRY);
  EXPECT_TRUE(queue().may_go());
  push("b", "2", 0);
  take();
  settle(0, FASTMQTT_RETRY);
  EXPECT_FALSE(queue().may_go()) << "it is nowhere else";
}

TEST_F(LaneQueueTest, DropsTheOldestOfQos0) {
  limits_.messages = 3;
  limits_.when_full = WhenFull::drop_oldest;
  push("a", "1", 1);
  push("a", "2", 0);
  push("a", "3", 0);
  EXPECT_EQ(offer("a", "4", 0), (Pushed{Push::queued, 1}));
  EXPECT_EQ(take(), "1#1 3#1 4#1") << "never one of QoS 1";
  EXPECT_EQ(offer("a", "5", 0), kDropped) << "what is in the handler's hands is not dropped";
}

TEST_F(LaneQueueTest, DropsTheNewestOfQos0WhenToldTo) {
  limits_.messages = 1;
  limits_.when_full = WhenFull::drop_newest;
  push("a", "1", 0);
  EXPECT_EQ(offer("a", "2", 0), kDropped);
  EXPECT_EQ(take(), "1#1");
}

// What is in memory only waits for what is in the spool: it must not keep that from coming.
TEST_F(LaneQueueTest, WhatIsBehindTheSpoolDoesNotKeepItFromBeingRead) {
  limits_.messages = 3;
  for (const WhenFull when : {WhenFull::drop_oldest, WhenFull::drop_newest}) {
    limits_.when_full = when;
    queue_.reset();
    spool_.clear();
    for (const char* payload : {"1", "2", "3"}) push("a", payload);
    offer("a", "4");
    ASSERT_EQ(take(), "1#1 2#1 3#1");
    for (std::size_t i = 0; i < 3; ++i) {
      settle(i, FASTMQTT_OK);
      offer("a", "x" + std::to_string(i), 0);  // takes the place at once
    }
    EXPECT_GE(read_back(), 1);
    EXPECT_EQ(take(), "4#1 x0#1 x1#1 x2#1");
    for (std::size_t i = 0; i < 4; ++i) settle(i, FASTMQTT_OK);
    EXPECT_EQ(queue().messages(), 0u);
  }
}

TEST_F(LaneQueueTest, ParkedMessagesOfManyTopicsComeBackWithinTheLimit) {
  constexpr std::size_t kTopics = 20;
  limits_.messages = 40;
  retry_.attempts.reset();
  for (std::size_t t = 0; t < kTopics; ++t) push("t/" + std::to_string(t), "first");
  take();
  for (std::size_t t = 0; t < kTopics; ++t) settle(t, FASTMQTT_PENDING);
  std::vector<std::uint64_t> pending;
  for (const Delivery& d : batch_) pending.push_back(d.id);
  for (int i = 0; i < 30; ++i)
    for (std::size_t t = 0; t < kTopics; ++t) offer("t/" + std::to_string(t), std::to_string(i));
  for (int i = 0; i < 100; ++i) {
    read_back();
    take();
  }
  for (const std::uint64_t id : pending) queue().complete(id, FASTMQTT_OK, now_);
  std::size_t most = 0, handled = 0;
  for (int i = 0; i < 1000 && handled < 30 * kTopics; ++i) {
    read_back();
    most = std::max(most, queue().messages());
    take();
    for (std::size_t k = 0; k < batch_.size(); ++k) settle(k, FASTMQTT_OK);
    handled += batch_.size();
  }
  EXPECT_EQ(handled, 30 * kTopics);
  EXPECT_LE(most, limits_.messages + kTopics) << "one of each topic can always come";
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
  limits_.when_full = WhenFull::drop_oldest;
  for (const char* payload : {"1", "2", "3"}) push("a", payload, 0);
  const std::size_t each = queue().bytes() / 3;
  const std::string large(4000 - 2 * each, 'x');
  EXPECT_EQ(offer("a", large, 0), (Pushed{Push::queued, 2}));
  EXPECT_EQ(queue().messages(), 2u);
}

TEST_F(LaneQueueTest, DropsNothingThatWouldNotMakeRoom) {
  limits_.size = 4000;
  limits_.when_full = WhenFull::drop_oldest;
  push("a", "1", 0);
  push("a", std::string(2000, 'x'), 1);
  EXPECT_EQ(offer("a", std::string(3000, 'x'), 0), kDropped);
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
    LaneQueue::Taken taken;
    queue().take(1 + random() % 4, now_, taken);
    for (Delivery& d : taken.batch) {
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
    queue().push(messages.back(), false, now_);
    pass(31s);
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
