#include "daemon/delivery/outbox.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/support/in_process_handler.hpp"
#include "tests/unit/support/recorded_log.hpp"

namespace fastmqttd {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;
using testing::make_message;

class OutboxTest : public ::testing::Test {
 protected:
  static QueueConfig two_messages() {
    QueueConfig limits;
    limits.messages = 2;
    return limits;
  }
  bool publish(const Outbox::SenderPtr& sender, const std::string& payload) {
    return outbox_.publish(sender, make_message("t", payload));
  }
  // The payload of what comes next; "" when nothing does.
  std::string take() {
    const auto item = outbox_.take();
    if (!item) return "";
    numbers_.push_back(item->number);
    return std::string(item->message->payload());
  }

  Outbox outbox_;
  Outbox::SenderPtr a_ = outbox_.make_sender("a", "plugin", two_messages());
  Outbox::SenderPtr b_ = outbox_.make_sender("b", "plugin", two_messages());
  std::vector<std::uint64_t> numbers_;
  testing::RecordedLog log_;
};

TEST_F(OutboxTest, KeepsTheOrderAlsoOfWhatComesBack) {
  for (const char* payload : {"1", "2"}) publish(a_, payload);
  publish(b_, "3");
  EXPECT_EQ(take(), "1");
  EXPECT_EQ(take(), "2");
  outbox_.give_back(numbers_[1]);
  outbox_.give_back(numbers_[0]);
  outbox_.give_back(numbers_[0]);  // it is not on its way any more
  for (const char* payload : {"1", "2", "3", ""}) EXPECT_EQ(take(), payload);
}

TEST_F(OutboxTest, IsBoundedForEachSender) {
  EXPECT_TRUE(publish(a_, "1"));
  EXPECT_TRUE(publish(a_, "2"));
  EXPECT_FALSE(publish(a_, "3"));
  EXPECT_TRUE(publish(b_, "4")) << "the other one has room of its own";
  take();
  EXPECT_FALSE(publish(a_, "3")) << "what is on its way counts";
  outbox_.acknowledge(numbers_[0]);
  EXPECT_TRUE(publish(a_, "3"));
}

TEST_F(OutboxTest, IsBoundedInBytesToo) {
  QueueConfig limits;
  limits.size = 1 << 10;
  const auto sender = outbox_.make_sender("c", "plugin", limits);
  EXPECT_TRUE(publish(sender, std::string(5000, 'x'))) << "alone one of any size may go";
  EXPECT_FALSE(publish(sender, "x"));
}

TEST_F(OutboxTest, Counts) {
  publish(a_, "1");
  publish(a_, "2");
  take();
  EXPECT_EQ(outbox_.waiting(), 2u);
  outbox_.acknowledge(numbers_[0]);
  outbox_.acknowledge(numbers_[0]);
  take();
  outbox_.give_up(numbers_[1], "the broker refuses it", 0x87);
  const Outbox::Counts counts = Outbox::counts(a_);
  EXPECT_EQ(counts.published, 1u);
  EXPECT_EQ(counts.failed, 1u);
  EXPECT_EQ(counts.waiting, 0u);
  EXPECT_EQ(outbox_.waiting(), 0u);
  EXPECT_THAT(log_.texts().back(), HasSubstr("a: gave up publishing to t: the broker refuses it"));
  EXPECT_EQ(log_.fields().at("MQTT_REASON"), "135");
}

TEST_F(OutboxTest, SaysWhenThereIsMore) {
  int calls = 0;
  outbox_.on_more([&] { ++calls; });
  publish(a_, "1");
  EXPECT_EQ(calls, 1);
  take();
  outbox_.acknowledge(numbers_[0]);
  EXPECT_EQ(calls, 1);
}

TEST_F(OutboxTest, SaysOnceWhatHappensManyTimes) {
  for (int i = 0; i < 5; ++i) {
    publish(a_, "1");
    publish(b_, "1");
    take();
    take();
  }
  for (const std::uint64_t number : numbers_) outbox_.give_up(number, "no");
  EXPECT_EQ(log_.texts().size(), 2u) << "one for each sender";
  EXPECT_EQ(Outbox::counts(a_).failed + Outbox::counts(b_).failed, numbers_.size());
}

TEST_F(OutboxTest, ClosedTakesNothing) {
  publish(a_, "1");
  outbox_.close();
  EXPECT_FALSE(publish(a_, "2"));
  EXPECT_EQ(outbox_.waiting(), 1u);
}

// A handler may publish when it is made, before it is known what an earlier run has left.
TEST(StoredOutbox, WhatWasLeftGoesBeforeWhatIsPublishedMeanwhile) {
  const fs::path directory =
      fs::path(::testing::TempDir()) / ("outbox-" + std::to_string(::getpid()));
  const auto message = [](const char* payload) {
    return std::make_shared<Message>(Message::Parts{.topic = "t", .payload = payload, .qos = 1});
  };
  {
    Spool spool(directory, {});
    Outbox outbox(&spool);
    const auto sender = outbox.make_sender("a", "plugin", {});
    for (const char* payload : {"1", "2"}) ASSERT_TRUE(outbox.publish(sender, message(payload)));
  }
  {
    Spool spool(directory, {});
    Outbox outbox(&spool);
    const auto sender = outbox.make_sender("a", "plugin", {});
    ASSERT_TRUE(outbox.publish(sender, message("3")));
    EXPECT_EQ(outbox.restore({sender}), 2u);
    for (const char* payload : {"1", "2", "3"})
      EXPECT_EQ(outbox.take()->message->payload(), payload);
    EXPECT_FALSE(outbox.take());
    EXPECT_EQ(spool.unpublished().size(), 3u);
  }
  fs::remove_all(directory);
}

}  // namespace
}  // namespace fastmqttd
