#include "daemon/delivery/dispatcher.hpp"

#include <gtest/gtest.h>

#include "tests/support/wait.hpp"
#include "tests/unit/support/in_process_handler.hpp"

namespace fastmqttd {
namespace {

using testing::InProcessHandler;
using testing::make_message;

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
  EXPECT_TRUE(dispatcher.accept(make_message("a/b", "x")));
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 1, 0}));
  EXPECT_TRUE(dispatcher.accept(make_message("z", "x")));
  EXPECT_EQ(dispatcher.take_unrouted().topic, "z");
  EXPECT_EQ(dispatcher.take_unrouted().messages, 0u);
}

TEST_F(DispatcherTest, TakesOneOfTheCopiesThatTheBrokerSends) {
  Dispatcher dispatcher(
      {handler("one", {filter("a/#"), filter("a/+")}), handler("two", {filter("a/+")})}, [] {});
  const SubscriptionPlan& plan = dispatcher.plan();
  for (std::uint32_t place : {0u, 1u})
    dispatcher.accept(make_message("a/b", "x", 1, {plan.identifier(place)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 1}));
  dispatcher.accept(make_message("a/b", "y", 1, {plan.identifier(0), plan.identifier(1)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{2, 2})) << "a broker may send one copy for all";
}

TEST_F(DispatcherTest, TakesACopyOfAnEarlierConfigurationForWhatItIs) {
  Dispatcher dispatcher({handler("one", {filter("a/#"), filter("a/+")})}, [] {});
  const SubscriptionPlan earlier({{filter("a/+")}});
  dispatcher.accept(make_message("a/b", "x", 1, {earlier.identifier(0)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

// An identifier of another configuration that looks like one of this: its filter does not match.
TEST_F(DispatcherTest, TakesACopyWhoseIdentifierCannotBeOurs) {
  Dispatcher dispatcher({handler("one", {filter("m/#"), filter("z")})}, [] {});
  const SubscriptionPlan& plan = dispatcher.plan();
  ASSERT_EQ(plan.subscriptions()[1].topic.text(), "z");
  dispatcher.accept(make_message("m/b", "x", 1, {plan.identifier(1)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(DispatcherTest, CountsOnNoCopyForARefusedSubscription) {
  Dispatcher dispatcher({handler("one", {filter("a/#"), filter("a/b")})}, [] {});
  const SubscriptionPlan& plan = dispatcher.plan();
  dispatcher.accept(make_message("a/b", "x", 1, {plan.identifier(1)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{0})) << "the copy for a/# is to come";
  dispatcher.set_granted(0, -1);
  dispatcher.accept(make_message("a/b", "x", 1, {plan.identifier(1)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
  dispatcher.set_granted(0, 2);
  dispatcher.accept(make_message("a/b", "x", 1, {plan.identifier(1)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(DispatcherTest, CountsOnNoCopyForASubscriptionOfLessThanWasAsked) {
  SubscriptionConfig wide = filter("a/#");
  wide.qos = 2;
  Dispatcher dispatcher({handler("one", {wide, filter("a/b")})}, [] {});
  dispatcher.set_granted(0, 0);  // while the daemon was away the broker kept nothing for it
  dispatcher.accept(make_message("a/b", "x", 1, {dispatcher.plan().identifier(1)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(DispatcherTest, CountsOnNoCopyOfWhatTheDaemonItselfPublished) {
  SubscriptionConfig deaf = filter("a/#");
  deaf.qos = 2;
  deaf.no_local = true;
  Dispatcher dispatcher({handler("one", {deaf, filter("a/b")})}, [] {});
  dispatcher.accept(make_message("a/b", "mine", 1, {dispatcher.plan().identifier(1)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

// A handler that is slow keeps nobody away but by its own full queue.
TEST_F(DispatcherTest, HasDrainedWhenWhatWasFullHas) {
  HandlerToRun slow = handler("slow", {filter("s")}), full = handler("full", {filter("f")});
  slow.config.queue.messages = 2;
  full.config.queue.size = 10'000;
  Dispatcher dispatcher({slow, full}, [] {});
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(dispatcher.accept(make_message("s", "x")));
  EXPECT_TRUE(dispatcher.accept(make_message("f", "x")));
  EXPECT_FALSE(dispatcher.accept(make_message("f", std::string(20'000, 'x'))));
  EXPECT_FALSE(dispatcher.has_drained());
  dispatcher.lanes()[1]->start();
  EXPECT_TRUE(testing::eventually([&] { return dispatcher.has_drained(); }));
  EXPECT_EQ(waiting(dispatcher).at(0), 2u);
}

TEST_F(DispatcherTest, CountsOnNoRetainedCopyWhereNoneNeedCome) {
  SubscriptionConfig without_retained = filter("a/#");
  without_retained.qos = 2;  // first in the plan
  without_retained.retain_handling_options = 2;
  Dispatcher dispatcher({handler("one", {without_retained, filter("a/b")})}, [] {});
  const SubscriptionPlan& plan = dispatcher.plan();
  dispatcher.accept(make_message("a/b", "x", 1, {plan.identifier(1)}, /*retain=*/true));
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
  dispatcher.accept(make_message("a/b", "x", 1, {plan.identifier(1)}, /*retain=*/false));
  EXPECT_EQ(waiting(dispatcher), (Counts{1}));
}

TEST_F(DispatcherTest, HasNotDrainedWhileWhatItRefusedFindsNoRoom) {
  HandlerToRun small = handler("small", {filter("#")});
  small.config.queue.size = 10'000;
  Dispatcher dispatcher({small}, [] {});
  EXPECT_TRUE(dispatcher.accept(make_message("a", "x")));
  EXPECT_TRUE(dispatcher.has_drained());
  EXPECT_FALSE(dispatcher.accept(make_message("a", std::string(20'000, 'x'))));
  EXPECT_FALSE(dispatcher.has_drained());
}

TEST_F(DispatcherTest, ASharedCopyIsForItsSubscriberOnly) {
  Dispatcher dispatcher(
      {handler("shared", {filter("$share/g/a")}), handler("plain", {filter("a")})}, [] {});
  const SubscriptionPlan& plan = dispatcher.plan();
  ASSERT_TRUE(plan.subscriptions()[1].topic.shared());
  dispatcher.accept(make_message("a", "x", 1, {plan.identifier(1)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 0}));
  dispatcher.accept(make_message("a", "x", 1, {plan.identifier(0)}));
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 1}));
}

TEST_F(DispatcherTest, RefusesForAllWhatOneHasNoRoomFor) {
  HandlerToRun small = handler("small", {filter("#")});
  small.config.queue.messages = 1;
  Dispatcher dispatcher({handler("large", {filter("#")}), small}, [] {});
  EXPECT_TRUE(dispatcher.accept(make_message("a", "1")));
  EXPECT_TRUE(dispatcher.has_drained()) << "nothing was refused";
  EXPECT_FALSE(dispatcher.accept(make_message("a", "2")));
  EXPECT_FALSE(dispatcher.has_drained());
  EXPECT_EQ(waiting(dispatcher), (Counts{1, 1})) << "nobody has a message that comes again";
  EXPECT_TRUE(dispatcher.accept(make_message("a", "4", 0))) << "QoS 0 is dropped, not refused";
  EXPECT_EQ(dispatcher.lanes()[1]->counts().dropped, 1u);
}

TEST_F(DispatcherTest, SkipsRetainedMessagesForThoseWhoDo) {
  HandlerToRun skipping = handler("skipping", {filter("#")});
  skipping.config.skip_retained = true;
  Dispatcher dispatcher({skipping, handler("taking", {filter("#")})}, [] {});
  dispatcher.accept(make_message("a", "x", 1, {}, /*retain=*/true));
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
