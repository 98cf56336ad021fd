// Handlers side by side in one daemon, whoever built them, with whatever is in them.
#include <algorithm>
#include <map>

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class Company : public IntegrationTest {
 protected:
  void show(const std::string& name, const std::string& payload, const std::string& line) {
    publish(broker_, "paint/" + name, payload);
    await_log(name + ": " + line);
  }
};

// g++ and clang++, and two versions of one header-only library, whose singletons, vague symbols and
// exception types have the same names.
TEST_F(Company, HandlersOfTwoCompilersAndTwoVersionsOfALibraryDoNotDisturbEachOther) {
  broker_.start();
  const std::vector<std::string> names{"paint_v1", "paint_v2", "paint_gxx", "paint_clangxx"};
  std::vector<std::string> filters;
  for (const std::string& name : names) {
    daemon_.add_plugin(name);
    filters.push_back("paint/" + name);
  }
  configure("");
  daemon_.start_ready();
  await_subscriptions(filters);
  show("paint_v1", "show", "red 1 light 1 v1: spilled");
  for (const char* name : {"paint_v2", "paint_gxx", "paint_clangxx"})
    show(name, "show", "blue 2 dark 2 v2: spilled");
  show("paint_gxx", "mix green", "green 20 dark 3 v2: spilled");
  show("paint_v1", "mix pink", "pink 10 light 2 v1: spilled");
  show("paint_clangxx", "show", "blue 2 dark 2 v2: spilled");
  show("paint_v2", "show", "blue 2 dark 2 v2: spilled");
}

// In plain C, with the header of the first release.
TEST_F(Company, AHandlerBuiltWithTheFirstReleaseUsesEveryService) {
  broker_.start();
  daemon_.add_plugin("built_with_v1");
  configure("  old: {plugin: built_with_v1, options: {word: told, list: [a, b]}}\n");
  daemon_.start_ready();
  await_subscriptions({"v1/in"});
  const Subscriber subscriber(broker_, "v1/out");
  publish(broker_, "v1/in", "use 1");
  EXPECT_EQ(subscriber.wait_for("v1/out"), "use 1");
  await_log("old: v1/in: attempt 1, in time");
  publish(broker_, "v1/in", "else");
  await_log("old: gave up on a message: v1/in: rejected");
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log(
      "old: 1 ok, 0 retry, 1 reject, 1 given up, 0 dropped, 0 expired, 1 published, 0 not, used 1");
}

TEST_F(Company, WhatAnotherCxxRuntimeThrowsIsContained) {
  broker_.start();
  daemon_.add_plugin("foreign_throw");
  configure(
      "  foreign: {plugin: foreign_throw, options: {where: on_messages},\n"
      "    retry: {attempts: 2, delay: 10ms}}\n" +
      recorder("all", "foreign"));
  daemon_.start_ready();
  await_subscriptions({"foreign"});
  publish(broker_, "foreign", "x");
  await_log("foreign: foreign: exception: thrown by another runtime");
  await_log("foreign: gave up on a message: foreign: retries used up .attempt 2.");
  await_records("all", 1);
  EXPECT_EQ(daemon_.stop(), Exit{});
}

TEST_F(Company, WhatAnotherCxxRuntimeThrowsFromCreateIsTheReasonOfAFailedStart) {
  daemon_.add_plugin("foreign_throw");
  configure("  foreign: {plugin: foreign_throw, options: {where: create}}\n");
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_THAT(done.errors,
              HasSubstr("handlers.foreign: the handler does not start: thrown by another runtime"));
}

TEST_F(Company, WhatAnotherCxxRuntimeThrowsFromDestroyIsSurvived) {
  broker_.start();
  daemon_.add_plugin("foreign_throw");
  configure("  foreign: {plugin: foreign_throw, options: {where: destroy}}\n");
  daemon_.start_ready();
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("foreign: exception: thrown by another runtime");
}

TEST_F(Company, SeveralWorkersKeepTheOrderOfEachTopic) {
  daemon_.add_plugin("shard_recorder");
  start(recorder_of("shard_recorder", "many", "n/#", "delay_ms: 1", "workers: 4"), {"n/#"});
  constexpr int kTopics = 8, kMessages = 50;
  for (int topic = 0; topic < kTopics; ++topic)
    publish_all(broker_, "n/" + std::to_string(topic), numbers(kMessages));
  std::map<std::string, std::vector<std::string>> by_topic;
  for (const Record& record : await_records("many", kTopics * kMessages))
    by_topic[record.topic].push_back(record.payload);
  EXPECT_EQ(by_topic.size(), static_cast<std::size_t>(kTopics));
  for (const auto& [topic, payloads] : by_topic)
    EXPECT_THAT(payloads, ElementsAreArray(numbers(kMessages))) << topic;
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("many: 400 ok");
}

TEST_F(Company, SeveralWorkersNeedThePluginsConsent) {
  configure(recorder("all", "a", "", "workers: 2"));
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_THAT(done.errors, HasSubstr("handlers.all.workers: cannot be 2: expected 1: the plugin "
                                     "'recorder' does not set FASTMQTT_SHARDABLE"));
  EXPECT_THAT(done.errors, ::testing::ContainsRegex("fastmqttd.yaml:[0-9]+:14: handlers.all"));
}

}  // namespace
}  // namespace fastmqttd::testing
