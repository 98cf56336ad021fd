#include "daemon/delivery/router.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

namespace fastmqttd {
namespace {

using Filters = std::vector<std::vector<const char*>>;

SubscriptionPlan make_plan(const Filters& lanes) {
  std::vector<std::vector<SubscriptionConfig>> by_lane;
  for (const auto& filters : lanes) {
    auto& lane = by_lane.emplace_back();
    for (const char* f : filters) lane.push_back(SubscriptionConfig{.topic = TopicFilter(f)});
  }
  return SubscriptionPlan(by_lane);
}

std::vector<std::uint32_t> lanes_of(Router& router, std::string_view topic) {
  std::vector<std::uint32_t> lanes;
  for (const Route& route : router.match(topic).routes) lanes.push_back(route.lane);
  return lanes;
}

using Lanes = std::vector<std::uint32_t>;

TEST(Router, FindsEachLaneOnce) {
  const SubscriptionPlan plan = make_plan({{"a/#", "a/+", "a/b"}, {"a/b"}, {"c"}, {"#"}});
  Router router(plan);
  EXPECT_EQ(lanes_of(router, "a/b"), (Lanes{0, 1, 3}));
  EXPECT_EQ(lanes_of(router, "a"), (Lanes{0, 3}));
  EXPECT_EQ(lanes_of(router, "x"), (Lanes{3}));
  EXPECT_EQ(lanes_of(router, "a/b"), (Lanes{0, 1, 3})) << "the second time from the cache";
}

TEST(Router, LeavesDollarTopicsToFiltersThatNameThem) {
  const SubscriptionPlan plan = make_plan({{"#"}, {"+/x"}, {"$SYS/#"}, {"$SYS/+"}});
  Router router(plan);
  EXPECT_EQ(lanes_of(router, "$SYS/x"), (Lanes{2, 3}));
}

TEST(Router, NamesTheFiltersThatMatchInTheOrderOfThePlan) {
  const SubscriptionPlan plan = make_plan({{"$share/g/a/b", "a/#", "a/b", "c"}});
  Router router(plan);
  const auto& routes = router.match("a/b").routes;
  ASSERT_EQ(routes.size(), 1u);
  EXPECT_EQ(routes[0].filters, (std::vector<std::uint32_t>{0, 1, 3}));
  EXPECT_TRUE(plan.subscriptions()[3].topic.shared());
}

TEST(Router, StaysRightWhenTheCacheOverflows) {
  const SubscriptionPlan plan = make_plan({{"+"}, {"a/#"}});
  Router router(plan);
  for (int i = 0; i < 40'000; ++i) ASSERT_EQ(lanes_of(router, std::to_string(i)), (Lanes{0})) << i;
  EXPECT_EQ(lanes_of(router, "a/" + std::string(60'000, 'x')), (Lanes{1})) << "too long to cache";
}

// The trie against the plain definition, on random filters and topics.
TEST(Router, AgreesWithTopicFilter) {
  std::minstd_rand random(1);
  const auto text = [&](bool with_wildcards) {
    const char* levels[] = {"a", "b", "", "$x", "+"};
    std::string topic;
    const auto depth = 1 + random() % 4;
    for (unsigned i = 0; i < depth; ++i)
      topic += (i ? "/" : "") + std::string(levels[random() % (with_wildcards ? 5 : 4)]);
    if (with_wildcards && random() % 3 == 0) topic += "/#";
    return topic.empty() ? std::string("a") : topic;
  };
  std::vector<std::vector<SubscriptionConfig>> by_lane;
  for (int i = 0; i < 60; ++i)
    by_lane.push_back({SubscriptionConfig{.topic = TopicFilter(text(true))}});
  const SubscriptionPlan plan(by_lane);
  Router router(plan);
  for (int i = 0; i < 3000; ++i) {
    const std::string topic = text(false);
    Lanes expected;
    for (std::uint32_t lane = 0; lane < by_lane.size(); ++lane)
      if (by_lane[lane][0].topic.matches(topic)) expected.push_back(lane);
    ASSERT_EQ(lanes_of(router, topic), expected) << topic;
  }
}

}  // namespace
}  // namespace fastmqttd
