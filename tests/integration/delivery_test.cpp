// From a publisher through broker and daemon into handlers: each message, once, in order.
#include <algorithm>

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using Texts = std::vector<std::string>;

class Delivery : public IntegrationTest {};
class VersionedDelivery : public VersionedTest {};
INSTANTIATE_TEST_SUITE_P(Versions, VersionedDelivery, ::testing::Values("5", "3.1.1"),
                         version_name);

Texts with_marker(Texts texts) {
  texts.push_back("end");
  return texts;
}

TEST_P(VersionedDelivery, EveryQosArrivesOnce) {
  start(recorder("all", "{topic: q/#, qos: 2}"), {"q/#"}, version());
  for (const int qos : {0, 1, 2})
    publish(broker_, "q/" + std::to_string(qos), "hello", {.qos = qos});
  publish(broker_, "q/0", "end");
  const Records all = await_payload("all", "end");
  ASSERT_THAT(all, SizeIs(4));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(all[i].topic, "q/" + std::to_string(i));
    EXPECT_EQ(all[i].qos, static_cast<int>(i));
    EXPECT_EQ(all[i].payload, "hello");
    EXPECT_EQ(all[i].attempt, 1);
    EXPECT_FALSE(all[i].retain);
  }
}

TEST_P(VersionedDelivery, PayloadsMayHoldAnyBytes) {
  start(recorder("all", "bytes"), {"bytes"}, version());
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  const std::string large(1 << 20, '\0');
  for (const std::string& payload : {every_byte, std::string(), std::string("\0", 1), large})
    publish(broker_, "bytes", payload);
  EXPECT_THAT(payloads(await_records("all", 4)),
              ElementsAre(every_byte, "", std::string("\0", 1), large));
}

TEST_P(VersionedDelivery, OverlappingFiltersOfOneHandlerDeliverOnce) {
  start(recorder("all", "a/#, a/+, a/b"), {"a/#"}, version());
  ASSERT_TRUE(daemon_.notify().wait_for("STATUS="));
  // Equal payloads one after the other: a copy is told from a message by more than its content.
  Texts sent = numbers(200);
  sent.insert(sent.end(), 100, "same");
  publish_all(broker_, "a/b", with_marker(sent));
  publish(broker_, "a/b", "behind the last copy");
  const Records all = await_payload("all", "behind the last copy");
  sent.insert(sent.end(), {"end", "behind the last copy"});
  EXPECT_THAT(payloads(all), ElementsAreArray(sent));
}

TEST_P(VersionedDelivery, OverlappingFiltersOfSeveralHandlersReachEachOnce) {
  start(recorder("wide", "x/#, x/y") + recorder("equal", "x/#") + recorder("narrow", "x/y"),
        {"x/#"}, version());
  const Texts sent = with_marker(numbers(100));
  publish_all(broker_, "x/y", sent);
  for (const char* name : {"wide", "equal", "narrow"})
    EXPECT_THAT(payloads(await_payload(name, "end")), ElementsAreArray(sent)) << name;
}

TEST_P(VersionedDelivery, OrderIsKept) {
  start(recorder("one", "n") + recorder_of("batch_recorder", "batches", "n"), {"n"}, version());
  const Texts sent = numbers(2000);
  publish_all(broker_, "n", sent, {.qos = 1});
  for (const char* name : {"one", "batches"}) {
    const Texts got = payloads(await_payload(name, "2000"));
    EXPECT_EQ(losses(sent, got), "") << name;
    EXPECT_EQ(got.size(), sent.size()) << name;
  }
}

TEST_P(VersionedDelivery, SharedSubscriptions) {
  start(recorder("all", "$share/group/work/#"), {"$share/group/work/#"}, version());
  const Texts sent = with_marker(numbers(50));
  publish_all(broker_, "work/a", sent);
  EXPECT_THAT(payloads(await_payload("all", "end")), ElementsAreArray(sent));
}

// What memory has no room for waits in the spool.
TEST_P(VersionedDelivery, FullQueueLosesNothing) {
  start(recorder("slow", "{topic: n/#, qos: 2}", "delay_ms: 1", "queue: {messages: 10}"), {"n/#"},
        version());
  const Texts sent = numbers(200);
  for (const int qos : {0, 1, 2})
    publish_all(broker_, "n/" + std::to_string(qos), with_marker(sent), {.qos = qos});
  const Records all = await_records("slow", 603);
  for (const char* topic : {"n/0", "n/1", "n/2"}) {
    Texts of_topic;
    for (const Record& record : all)
      if (record.topic == topic) of_topic.push_back(record.payload);
    EXPECT_THAT(of_topic, ElementsAreArray(with_marker(sent))) << topic;
  }
}

TEST_F(Delivery, WildcardsReachTheRightHandlers) {
  start(recorder("plus", "home/+/temp") + recorder("hash", "home/#") +
            recorder("rooms", "+/kitchen/#") + recorder("exact", "home/kitchen/temp"),
        {"home/#", "+/kitchen/#"});
  for (const std::string topic : {"home/kitchen/temp", "home", "home/kitchen", "home/attic/temp",
                                  "home/a/b/temp", "office/kitchen/temp", "home//temp"})
    publish(broker_, topic, topic);
  publish(broker_, "home/kitchen/temp", "end");
  EXPECT_THAT(payloads(await_payload("plus", "end")),
              ElementsAre("home/kitchen/temp", "home/attic/temp", "home//temp", "end"));
  EXPECT_THAT(payloads(await_payload("hash", "end")),
              ElementsAre("home/kitchen/temp", "home", "home/kitchen", "home/attic/temp",
                          "home/a/b/temp", "home//temp", "end"));
  EXPECT_THAT(payloads(await_payload("rooms", "end")),
              ElementsAre("home/kitchen/temp", "home/kitchen", "office/kitchen/temp", "end"));
  EXPECT_THAT(payloads(await_payload("exact", "end")), ElementsAre("home/kitchen/temp", "end"));
}

TEST_F(Delivery, RetryComesAgain) {
  start(recorder("flaky", "a", "answer: 'retry:2'", "retry: {delay: 20ms}"), {"a"});
  publish(broker_, "a", "x");
  const Records all = await_records("flaky", 3);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(all[i].payload, "x");
    EXPECT_EQ(all[i].attempt, static_cast<int>(i) + 1);
  }
}

TEST_F(Delivery, RetryHoldsBackItsOwnTopicOnly) {
  start(recorder("flaky", "t/#", "answer: 'retry:3', only: bad", "retry: {delay: 300ms}"), {"t/#"});
  publish_all(broker_, "t/1", {"bad", "after bad"});
  publish_all(broker_, "t/2", {"1", "2"});
  const Texts all = payloads(await_payload("flaky", "after bad"));
  Texts first_topic;
  for (const std::string& text : all)
    if (text.ends_with("bad")) first_topic.push_back(text);
  EXPECT_THAT(first_topic, ElementsAre("bad", "bad", "bad", "bad", "after bad"));
  EXPECT_LT(std::ranges::find(all, "2"), std::ranges::find(all, "after bad"));
  EXPECT_LT(std::ranges::find(all, "1"), std::ranges::find(all, "2"));
}

TEST_F(Delivery, AttemptsEnd) {
  start(recorder("never", "a", "answer: retry, only: bad", "retry: {attempts: 3, delay: 10ms}"),
        {"a"});
  publish_all(broker_, "a", {"bad", "good"});
  EXPECT_THAT(payloads(await_payload("never", "good")), ElementsAre("bad", "bad", "bad", "good"));
  await_log("never.*(gave|given) up");
}

TEST_F(Delivery, RejectIsLoggedAndStopsNothing) {
  start(
      recorder("picky", "orders/#", "answer: reject, only: poison") + recorder("other", "orders/#"),
      {"orders/#"});
  publish_all(broker_, "orders/7", {"poison", "good"});
  EXPECT_THAT(payloads(await_payload("picky", "good")), ElementsAre("poison", "good"));
  EXPECT_THAT(payloads(await_payload("other", "good")), ElementsAre("poison", "good"));
  await_log("(picky.*orders/7|orders/7.*picky)");
}

TEST_F(Delivery, PendingIsAnsweredLater) {
  start(recorder("later", "a/#", "answer: pending, delay_ms: 50"), {"a/#"});
  publish_all(broker_, "a/1", {"1", "2", "3"});
  EXPECT_THAT(payloads(await_records("later", 3)), ElementsAre("1", "2", "3"));
  EXPECT_EQ(daemon_.stop(), Exit{});
}

TEST_F(Delivery, HungHandlerDelaysNoOther) {
  start(recorder("hung", "a/#") + recorder("quick", "a/#"), {"a/#"});
  hold("hung");
  const Texts sent = numbers(100);
  publish_all(broker_, "a/b", sent);
  EXPECT_THAT(payloads(await_payload("quick", "100")), ElementsAreArray(sent));
  EXPECT_THAT(records("hung"), IsEmpty());
  release("hung");
  EXPECT_THAT(payloads(await_payload("hung", "100")), ElementsAreArray(sent));
}

TEST_F(Delivery, FullQueueDropsTheOldestOfQos0AndSaysSo) {
  start(recorder("held", "n", "", "queue: {messages: 10, when_full: drop_oldest}"), {"n"});
  hold("held");
  publish(broker_, "n", "first", {.qos = 0});
  await_held("held");
  publish_all(broker_, "n", with_marker(numbers(100)), {.qos = 0});
  await_log("held.*drop|drop.*held");
  release("held");
  const Texts all = payloads(await_payload("held", "end"));
  EXPECT_THAT(all, Contains("100"));
  EXPECT_THAT(all, Not(Contains("50")));
  EXPECT_THAT(all, SizeIs(::testing::Le(12)));
}

TEST_F(Delivery, FullQueueDropsTheNewestOfQos0WhenToldTo) {
  start(recorder("held", "n", "", "queue: {messages: 10, when_full: drop_newest}"), {"n"});
  hold("held");
  publish(broker_, "n", "first", {.qos = 0});
  await_held("held");
  publish_all(broker_, "n", numbers(100), {.qos = 0});
  await_log("held.*drop|drop.*held");
  release("held");
  const Texts all = payloads(await_payload("held", "9"));
  EXPECT_THAT(all, Contains("1"));
  EXPECT_THAT(all, Not(Contains("50")));
}

TEST_F(Delivery, FullQueueOfOneHandlerDelaysNoOther) {
  start(recorder("hung", "n", "", "queue: {messages: 10}") + recorder("quick", "n"), {"n"});
  hold("hung");
  const Texts sent = numbers(100);
  publish_all(broker_, "n", sent, {.qos = 0});
  EXPECT_THAT(payloads(await_payload("quick", "100")), ElementsAreArray(sent));
  release("hung");
}

TEST_P(VersionedDelivery, RetainedMessagesAreMarkedAndMayBeSkipped) {
  broker_.start();
  publish(broker_, "kept/a", "old", {.retain = true});
  configure(recorder("all", "kept/#") + recorder("live", "kept/#", "", "skip_retained: true"),
            version());
  daemon_.start_ready();
  const Records old = await_payload("all", "old");
  EXPECT_TRUE(old[0].retain) << old[0];
  publish(broker_, "kept/a", "new", {.retain = true});
  const Records all = await_payload("all", "new");
  EXPECT_THAT(payloads(all), ElementsAre("old", "new"));
  EXPECT_FALSE(all[1].retain) << all[1];
  EXPECT_THAT(payloads(await_payload("live", "new")), ElementsAre("new"));
}

TEST_P(VersionedDelivery, RetainedMessageReachesOverlappingFiltersOnce) {
  broker_.start();
  publish(broker_, "kept/a", "old", {.retain = true});
  configure(recorder("wide", "kept/#, kept/+, kept/a") + recorder("narrow", "kept/a"), version());
  daemon_.start_ready();
  await_payload("wide", "old");
  await_payload("narrow", "old");
  publish_all(broker_, "kept/a", {"new", "end"});
  EXPECT_THAT(payloads(await_payload("wide", "end")), ElementsAre("old", "new", "end"));
  EXPECT_THAT(payloads(await_payload("narrow", "end")), ElementsAre("old", "new", "end"));
}

TEST_F(Delivery, DisabledHandlerDoesNotRun) {
  start(recorder("off", "a/#", "", "enabled: false") + recorder("on", "a/#"), {"a/#"});
  publish(broker_, "a/b", "end");
  await_payload("on", "end");
  EXPECT_THAT(records("off"), IsEmpty());
}

TEST_F(Delivery, DropInPluginRunsWithoutAnEntry) {
  broker_.start();
  daemon_.add_plugin("dropin_recorder");
  daemon_.add_plugin("recorder");  // declares no topics: waits for an entry
  daemon_.set_environment("RECORDER_FILE=" + daemon_.file("dropin.records").string());
  daemon_.configure(daemon_.mqtt_section(broker_));
  daemon_.start_ready();
  await_subscriptions({"dropin/#"});
  publish(broker_, "dropin/a", "hello");
  EXPECT_THAT(payloads(await_records("dropin", 1)), ElementsAre("hello"));
}

TEST_F(Delivery, DropInPluginCanBeKeptOff) {
  daemon_.add_plugin("dropin_recorder");
  daemon_.set_environment("RECORDER_FILE=" + daemon_.file("dropin.records").string());
  start(recorder("on", "dropin/#") + "  dropin_recorder: {enabled: false}\n", {"dropin/#"});
  publish(broker_, "dropin/a", "end");
  await_payload("on", "end");
  EXPECT_THAT(records("dropin"), IsEmpty());
}

TEST_F(Delivery, TwoInstancesOfOnePlugin) {
  start(recorder("left", "l/#") + recorder("right", "r/#"), {"l/#", "r/#"});
  publish(broker_, "l/1", "left");
  publish(broker_, "r/1", "right");
  EXPECT_THAT(payloads(await_records("left", 1)), ElementsAre("left"));
  EXPECT_THAT(payloads(await_records("right", 1)), ElementsAre("right"));
}

}  // namespace
}  // namespace fastmqttd::testing
