#include "daemon/delivery/dispatcher.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "tests/support/wait.hpp"
#include "tests/unit/support/in_process_handler.hpp"
#include "tests/unit/support/recorded_log.hpp"

namespace fastmqttd {
namespace {

using testing::InProcessHandler;
namespace fs = std::filesystem;

bool accept(Dispatcher& dispatcher, const std::string& topic, const std::string& payload,
            int qos = 1, const std::vector<std::uint32_t>& subscription_ids = {},
            bool retain = false) {
  return dispatcher.accept({.topic = topic,
                            .payload = payload,
                            .qos = qos,
                            .retain = retain,
                            .subscription_ids = subscription_ids});
}

SubscriptionConfig filter(const char* topic) {
  return SubscriptionConfig{.topic = TopicFilter(topic)};
}

// Lanes that are not started: what they were given waits to be counted.
class DispatcherTest : public ::testing::Test {
 protected:
  HandlerToRun handler(const std::string& name, std::vector<SubscriptionConfig> subscribe) {
    HandlerToRun run{{}, &fake_.library()};
    run.config.name = name;
    run.config.plugin = "fake";
    run.config.subscribe = std::move(subscribe);
    return run;
  }
  std::vector<std::size_t> waiting(const Dispatcher& dispatcher) {
    std::vector<std::size_t> counts;
    for (const auto& lane : dispatcher.lanes()) counts.push_back(lane->waiting());
    return counts;
  }

  InProcessHandler fake_;
};

using Counts = std::vector<std::size_t>;

TEST_F(DispatcherTest, GivesEachHandlerThatMatchesTheMessageOnce) {
  Dispatcher dispatcher({handler("one", {filter("a/#"), filter("a/+")}),
                         handler("two", {filter("a/b")}), handler("three", {filter("c")})},
                        [] {});
  EXPECT_TRUE(accept(dispatcher, "a/b", "x"));
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 1, 0}));
  EXPECT_TRUE(accept(dispatcher, "z", "x"));
  EXPECT_EQ(dispatcher.take_unrouted().topic, "z");
  EXPECT_EQ(dispatcher.take_unrouted().messages, 0u);
}

// Filters that overlap, so that a broker may send a copy for each.
TEST_F(DispatcherTest, TakesOneOfTheCopiesThatTheBrokerSends) {
  Dispatcher dispatcher(
      {handler("one", {filter("+/b"), filter("a/+")}), handler("two", {filter("a/+")})}, [] {});
  const SubscriptionPlan& plan = *dispatcher.routing().plan();
  for (std::uint32_t place : {0u, 1u}) accept(dispatcher, "a/b", "x", 1, {plan.identifier(place)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 1}));
  accept(dispatcher, "a/b", "y", 1, {plan.identifier(0), plan.identifier(1)});
  EXPECT_EQ(waiting(dispatcher), (Counts{2, 2})) << "a broker may send one copy for all";
}

TEST_F(DispatcherTest, TakesACopyOfAnEarlierConfigurationForWhatItIs) {
  Dispatcher dispatcher({handler("one", {filter("+/b"), filter("a/+")})}, [] {});
  SubscriptionConfig before = filter("a/+");
  before.qos = 2;
  const SubscriptionPlan earlier({{before}});
  accept(dispatcher, "a/b", "x", 1, {earlier.identifier(0)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

// An identifier of another configuration that looks like one of this: its filter does not match.
TEST_F(DispatcherTest, TakesACopyWhoseIdentifierCannotBeOurs) {
  Dispatcher dispatcher({handler("one", {filter("m/#"), filter("z")})}, [] {});
  const SubscriptionPlan& plan = *dispatcher.routing().plan();
  ASSERT_EQ(plan.subscriptions()[1].topic.text(), "z");
  accept(dispatcher, "m/b", "x", 1, {plan.identifier(1)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(DispatcherTest, TakesTheCopyForTheWiderFilterThatIsSubscribed) {
  Dispatcher dispatcher({handler("narrow", {filter("a/b")}), handler("wide", {filter("a/#")})},
                        [] {});
  const SubscriptionPlan& plan = *dispatcher.routing().plan();
  ASSERT_EQ(plan.subscriptions()[0].topic.text(), "a/#");
  accept(dispatcher, "a/b", "x", 1, {plan.identifier(0)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 1}));
  // One that was queued while it was subscribed for itself: who knows what else was.
  accept(dispatcher, "a/b", "y", 1, {plan.identifier(1)});
  EXPECT_EQ(waiting(dispatcher), (Counts{2, 2}));
  dispatcher.routing().set_granted("a/b", 1);
  for (std::uint32_t place : {0u, 1u}) accept(dispatcher, "a/b", "z", 1, {plan.identifier(place)});
  EXPECT_EQ(waiting(dispatcher), (Counts{3, 3}));
}

TEST_F(DispatcherTest, CountsOnNoCopyForARefusedSubscription) {
  Dispatcher dispatcher({handler("one", {filter("+/b"), filter("a/+")})}, [] {});
  const SubscriptionPlan& plan = *dispatcher.routing().plan();
  accept(dispatcher, "a/b", "x", 1, {plan.identifier(1)});
  EXPECT_EQ(waiting(dispatcher), (Counts{0})) << "the copy for +/b is to come";
  dispatcher.routing().set_granted("+/b", -1);
  accept(dispatcher, "a/b", "x", 1, {plan.identifier(1)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
  dispatcher.routing().set_granted("+/b", 2);
  accept(dispatcher, "a/b", "x", 1, {plan.identifier(0)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1})) << "the younger one is now the one that is granted";
}

TEST_F(DispatcherTest, CountsOnNoCopyForASubscriptionOfLessThanWasAsked) {
  SubscriptionConfig wide = filter("+/b");
  wide.qos = 2;
  Dispatcher dispatcher({handler("one", {wide, filter("a/+")})}, [] {});
  dispatcher.routing().set_granted("+/b",
                                   0);  // while the daemon was away the broker kept nothing for it
  accept(dispatcher, "a/b", "x", 1, {dispatcher.routing().plan()->identifier(1)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(DispatcherTest, CountsOnNoCopyOfWhatTheDaemonItselfPublished) {
  SubscriptionConfig deaf = filter("a/#");
  deaf.qos = 2;
  deaf.no_local = true;
  Dispatcher dispatcher({handler("one", {deaf, filter("a/b")})}, [] {});
  accept(dispatcher, "a/b", "mine", 1, {dispatcher.routing().plan()->identifier(1)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(DispatcherTest, CountsOnNoRetainedCopyWhereNoneNeedCome) {
  SubscriptionConfig without_retained = filter("a/#");
  without_retained.qos = 2;  // first in the plan
  without_retained.retain_handling_options = 2;
  Dispatcher dispatcher({handler("one", {without_retained, filter("a/b")})}, [] {});
  const SubscriptionPlan& plan = *dispatcher.routing().plan();
  accept(dispatcher, "a/b", "x", 1, {plan.identifier(1)}, /*retain=*/true);
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
  accept(dispatcher, "a/b", "x", 1, {plan.identifier(1)}, /*retain=*/false);
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(DispatcherTest, ASharedCopyIsForItsSubscriberOnly) {
  Dispatcher dispatcher(
      {handler("shared", {filter("$share/g/a")}), handler("plain", {filter("a")})}, [] {});
  const SubscriptionPlan& plan = *dispatcher.routing().plan();
  ASSERT_TRUE(plan.subscriptions()[1].topic.shared());
  accept(dispatcher, "a", "x", 1, {plan.identifier(1)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 0}));
  accept(dispatcher, "a", "x", 1, {plan.identifier(0)});
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 1}));
}

class SpooledDispatcherTest : public DispatcherTest {
 protected:
  SpooledDispatcherTest() { config_.directory = Text(directory_.string()); }
  ~SpooledDispatcherTest() override { fs::remove_all(directory_); }

  Spool& spool() {
    if (!spool_) spool_ = std::make_unique<Spool>(directory_, config_);
    return *spool_;
  }

  const fs::path directory_ = fs::path(::testing::TempDir()) /
                              ("dispatcher-" + std::to_string(::getpid()) +
                               ::testing::UnitTest::GetInstance()->current_test_info()->name());
  SpoolConfig config_;
  std::unique_ptr<Spool> spool_;
};

TEST_F(SpooledDispatcherTest, StoresWhatIsPromised) {
  Dispatcher dispatcher(
      {handler("one", {filter("#")})}, [] {}, &spool());
  EXPECT_TRUE(accept(dispatcher, "a", "0", 0));
  EXPECT_EQ(spool().waiting(dispatcher.lanes()[0]->key()), 0u);
  EXPECT_TRUE(accept(dispatcher, "a", "1", 1));
  EXPECT_TRUE(accept(dispatcher, "a", "2", 2));
  EXPECT_EQ(spool().waiting(dispatcher.lanes()[0]->key()), 2u);
  EXPECT_EQ(waiting(dispatcher), (Counts{3}));
}

TEST_F(SpooledDispatcherTest, StoresNothingWhenOptimistic) {
  Dispatcher dispatcher(
      {handler("one", {filter("#")})}, [] {}, &spool(), true);
  EXPECT_TRUE(accept(dispatcher, "a", "2", 2));
  EXPECT_EQ(spool().waiting(dispatcher.lanes()[0]->key()), 0u);
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(SpooledDispatcherTest, WhatFindsNoRoomInMemoryGoesToTheSpool) {
  HandlerToRun small = handler("small", {filter("#")});
  small.config.queue.messages = 2;
  Dispatcher dispatcher(
      {small}, [] {}, &spool());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(accept(dispatcher, "a", std::to_string(i), i % 2));
  EXPECT_EQ(dispatcher.lanes()[0]->counts().dropped, 0u);
  EXPECT_EQ(waiting(dispatcher), (Counts{10}));
  dispatcher.start();
  ASSERT_TRUE(fake_.wait_for(10));
  EXPECT_EQ(fake_.payloads(), "0 1 2 3 4 5 6 7 8 9");
  EXPECT_TRUE(testing::eventually([&] { return dispatcher.waiting() == 0; }));
}

TEST_F(SpooledDispatcherTest, AFullSpoolRefusesWhatIsPromisedAndDropsTheRest) {
  config_.max_size = 1 << 20;
  HandlerToRun small = handler("small", {filter("#")});
  small.config.queue.messages = 1;
  Dispatcher dispatcher(
      {small, handler("large", {filter("#")})}, [] {}, &spool());
  int accepted = 0;
  while (accept(dispatcher, "a", std::string(10'000, 'x'))) ++accepted;
  EXPECT_GT(accepted, 50);
  EXPECT_LT(accepted, 120);
  EXPECT_NE(dispatcher.why_refused().find("spool.max_size of 1MiB"), std::string::npos);
  EXPECT_FALSE(dispatcher.has_drained());
  const auto before = waiting(dispatcher);
  EXPECT_TRUE(accept(dispatcher, "a", std::string(10'000, 'x'), 0)) << "it may be dropped";
  EXPECT_EQ(dispatcher.lanes()[0]->counts().dropped, 1u);
  EXPECT_EQ(waiting(dispatcher), (Counts{before[0], before[1] + 1}));
  dispatcher.start();
  EXPECT_TRUE(testing::eventually([&] { return dispatcher.has_drained(); }));
  EXPECT_TRUE(accept(dispatcher, "a", std::string(10'000, 'x')));
}

TEST_F(SpooledDispatcherTest, RestoresWhatAnEarlierRunLeft) {
  {
    Dispatcher dispatcher(
        {handler("one", {filter("#")}), handler("gone", {filter("#")})}, [] {}, &spool());
    for (int i = 0; i < 3; ++i) accept(dispatcher, "a", std::to_string(i));
  }
  spool_.reset();
  const testing::RecordedLog log;
  Dispatcher dispatcher(
      {handler("one", {filter("#")}), handler("new", {filter("#")})}, [] {}, &spool());
  EXPECT_EQ(dispatcher.restore().deliveries, 3u);
  ASSERT_EQ(log.texts().size(), 1u);
  EXPECT_EQ(log.texts()[0].substr(0, 66),
            "3 messages wait in the spool for the handler gone, which is not co");
  EXPECT_EQ(waiting(dispatcher), (Counts{3, 0})) << "a new one gets new messages only";
  accept(dispatcher, "a", "new");
  dispatcher.start();
  ASSERT_TRUE(fake_.wait_for(5));
  EXPECT_TRUE(testing::eventually([&] { return dispatcher.waiting() == 0; }));
  const std::vector<std::string> names{"one", "new"};
  EXPECT_EQ(spool().left_for_others(names), (std::map<std::string, Spool::Left>{{"gone", {3, 0}}}));
  EXPECT_EQ(spool().forget("gone", 100), 3u);
  EXPECT_TRUE(spool().left_for_others(names).empty());
}

TEST_F(SpooledDispatcherTest, ReplaysADeadLetter) {
  std::atomic<bool> good{false};
  testing::InProcessHandler picky(
      [&](const auto&) -> fastmqtt_result { return good ? FASTMQTT_OK : FASTMQTT_REJECT; });
  HandlerToRun run = handler("picky", {filter("#")});
  run.library = &picky.library();
  Dispatcher dispatcher(
      {run}, [] {}, &spool());
  dispatcher.start();
  accept(dispatcher, "a", "x", 1);
  accept(dispatcher, "a", "y", 0);
  const HandlerKey key = dispatcher.lanes()[0]->key();
  ASSERT_TRUE(testing::eventually([&] { return spool().dead(key) == 2; }));
  const auto letters = spool().dead_letters(0, 10);
  ASSERT_EQ(letters.size(), 2u);
  EXPECT_EQ(letters[0].reason, "rejected");
  EXPECT_EQ(letters[0].attempts, 1u);
  good = true;
  EXPECT_TRUE(dispatcher.replay(letters[1].id));
  EXPECT_FALSE(dispatcher.replay(letters[1].id));
  ASSERT_TRUE(picky.wait_for(3));
  EXPECT_EQ(picky.payloads(), "x y y");
  EXPECT_TRUE(testing::eventually([&] { return dispatcher.waiting() == 0; }));
  EXPECT_EQ(spool().dead(key), 1u);
  EXPECT_TRUE(spool().drop_dead_letter(letters[0].id));
  EXPECT_FALSE(spool().drop_dead_letter(letters[0].id));
}

TEST_F(DispatcherTest, SkipsRetainedMessagesForThoseWhoDo) {
  HandlerToRun skipping = handler("skipping", {filter("#")});
  skipping.config.skip_retained = true;
  Dispatcher dispatcher({skipping, handler("taking", {filter("#")})}, [] {});
  accept(dispatcher, "a", "x", 1, {}, /*retain=*/true);
  EXPECT_EQ(waiting(dispatcher), (Counts{0, 1}));
}

TEST_F(DispatcherTest, ReportsEveryHandlerThatDoesNotStart) {
  fake_.raw().create = [](const fastmqtt_host* host) -> void* {
    host->config_error(host, "file", {"expected a path", 15});
    return nullptr;
  };
  try {
    Dispatcher dispatcher({handler("one", {filter("#")}), handler("two", {filter("#")})}, [] {});
    FAIL();
  } catch (const StartError& error) {
    EXPECT_STREQ(error.what(),
                 "fake.so: handlers.one.options.file: is missing: expected a path\n"
                 "fake.so: handlers.two.options.file: is missing: expected a path");
  }
}

}  // namespace
}  // namespace fastmqttd
