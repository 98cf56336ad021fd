#include "daemon/delivery/routing.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fastmqttd {
namespace {

using Filters = std::vector<SubscriptionConfig>;
using Lanes = std::vector<std::uint32_t>;

SubscriptionConfig filter(const char* topic, int qos = 1) {
  return SubscriptionConfig{.topic = TopicFilter(topic), .qos = qos};
}

class RoutingTest : public ::testing::Test {
 protected:
  std::uint32_t place(const std::string& filter) { return routing_->plan()->place(filter).value(); }
  // The lanes that take a copy which names these.
  Lanes taking(const std::string& topic, const std::vector<std::string>& filters) {
    std::vector<std::uint32_t> identifiers;
    for (const std::string& filter : filters)
      identifiers.push_back(routing_->plan()->identifier(place(filter)));
    return taking_identifiers(topic, identifiers);
  }
  Lanes taking_identifiers(const std::string& topic, std::vector<std::uint32_t> identifiers) {
    Lanes lanes;
    routing_->find(
        Message({.topic = topic, .payload = {}, .qos = 1, .subscription_ids = identifiers}), lanes);
    return lanes;
  }
  void forget_all() { routing_->expect({}); }

  std::optional<Routing> routing_;
};

TEST_F(RoutingTest, WithoutIdentifiersAllThatMatchTakeIt) {
  routing_.emplace(
      std::vector<Filters>{{filter("a/#"), filter("a/b")}, {filter("a/+")}, {filter("c")}});
  EXPECT_EQ(taking("a/b", {}), (Lanes{0, 1}));
  Lanes lanes;
  EXPECT_FALSE(routing_->find(Message({.topic = "x", .payload = {}}), lanes));
}

TEST_F(RoutingTest, TheCopyOfTheOldestIsForAll) {
  routing_.emplace(std::vector<Filters>{{filter("+/b")}, {filter("a/+")}});
  forget_all();
  routing_->set_granted("a/+", 1);
  routing_->set_granted("+/b", 1);
  EXPECT_EQ(taking("a/b", {"+/b"}), (Lanes{}));
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{0, 1}));
  EXPECT_EQ(taking("a/b", {"a/+", "+/b"}), (Lanes{0, 1}));
  EXPECT_EQ(taking("x/b", {"+/b"}), (Lanes{0})) << "the older one does not match";
}

// A message that was published before the younger one was made has one copy only.
TEST_F(RoutingTest, AYoungerOneTakesNothingFromWhatWaited) {
  routing_.emplace(std::vector<Filters>{{filter("+/b"), filter("a/+")}});
  routing_->expect({{"a/+", {1, 5}}});
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{0}));
  routing_->set_granted("a/+", 1);
  routing_->set_granted("+/b", 1);
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{0}));
  EXPECT_EQ(taking("a/b", {"+/b"}), (Lanes{}));
  EXPECT_GT(routing_->standing("+/b").since, 5u);
  EXPECT_EQ(routing_->standing("a/+"), (Routing::Standing{1, 5}));
}

TEST_F(RoutingTest, OneThatTakesANarrowerOnesPlaceIsTheYounger) {
  routing_.emplace(std::vector<Filters>{{filter("a/b")}, {filter("a/#")}});
  routing_->expect({{"a/b", {1, 1}}});
  routing_->set_granted("a/#", 1);
  EXPECT_EQ(taking("a/b", {"a/b"}), (Lanes{0, 1}));
  EXPECT_EQ(taking("a/b", {"a/#"}), (Lanes{}));
  EXPECT_EQ(taking("a/c", {"a/#"}), (Lanes{1}));
  routing_->set_granted("a/b", Routing::kNone);  // unsubscribed
  EXPECT_EQ(taking("a/b", {"a/#"}), (Lanes{0, 1}));
}

TEST_F(RoutingTest, WhatIsNotSubscribedIsTakenByAll) {
  routing_.emplace(std::vector<Filters>{{filter("+/b")}, {filter("a/+")}});
  routing_->set_granted("+/b", Routing::kNone);
  EXPECT_EQ(taking("a/b", {"+/b"}), (Lanes{0, 1}));
  EXPECT_EQ(taking_identifiers("a/b", {1}), (Lanes{0, 1})) << "of another configuration";
}

TEST_F(RoutingTest, OfAGrantedQosThatIsLessTheOthersCount) {
  routing_.emplace(std::vector<Filters>{{filter("+/b", 2)}, {filter("a/+", 1)}});
  forget_all();
  routing_->set_granted("a/+", 1);
  routing_->set_granted("+/b", 2);
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{0, 1})) << "it may have been there before the other";
  EXPECT_EQ(taking("a/b", {"+/b"}), (Lanes{}));
  routing_->expect({{"a/+", {1, 1}}, {"+/b", {2, 2}}});
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{1}));
  EXPECT_EQ(taking("a/b", {"+/b"}), (Lanes{0})) << "it asked for QoS 2, and gets it";
  routing_->set_granted("+/b", 0);  // of which nothing is kept for who is away
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{0, 1}));
  EXPECT_EQ(taking("a/b", {"+/b"}), (Lanes{}));
}

TEST_F(RoutingTest, OtherOptionsAreAnotherMatter) {
  SubscriptionConfig deaf = filter("a/+");
  deaf.no_local = true;
  routing_.emplace(std::vector<Filters>{{filter("+/b")}, {deaf}});
  EXPECT_EQ(taking("a/b", {"+/b"}), (Lanes{0}));
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{1}));
}

// ---- other filters while messages come ---------------------------------------------------------

TEST_F(RoutingTest, WhatLeavesCountsUntilItHasGone) {
  routing_.emplace(std::vector<Filters>{{filter("a/#")}});
  routing_->change({{filter("a/+")}}, {std::nullopt});
  EXPECT_EQ(taking("a/b", {"a/#"}), (Lanes{0}));
  routing_->set_granted("a/+", 1);
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{})) << "there is a copy for a/# too";
  EXPECT_EQ(taking("a/b", {"a/#"}), (Lanes{0}));
  EXPECT_EQ(taking("a/b/c", {"a/#"}), (Lanes{})) << "nobody wants it any more";
  routing_->set_granted("a/#", Routing::kNone);
  EXPECT_EQ(taking("a/b", {"a/+"}), (Lanes{0}));
}

// Otherwise what was published before the other was made would be nobody's.
TEST_F(RoutingTest, WhatLeavesCountsHoweverItWasSubscribed) {
  SubscriptionConfig deaf = filter("t/a"), keeping = filter("t/a"), exact = filter("t/a", 2);
  deaf.no_local = keeping.retain_as_published = true;
  for (const SubscriptionConfig& next : {deaf, keeping, exact, filter("$share/g/t/a")}) {
    routing_.emplace(std::vector<Filters>{{filter("t/+")}});
    routing_->change({{next}}, {std::nullopt});
    const std::string name = next.topic.text();
    EXPECT_EQ(taking("t/a", {"t/+"}), (Lanes{0}));
    routing_->set_granted(name, next.qos);
    EXPECT_EQ(taking("t/a", {"t/+"}), (Lanes{0}));
    EXPECT_EQ(taking("t/a", {name}), (Lanes{})) << name;
    routing_->set_granted("t/+", Routing::kNone);
    EXPECT_EQ(taking("t/a", {name}), (Lanes{0})) << name;
  }
}

// Of one that need not bring everything each copy counts.
TEST_F(RoutingTest, WhatLeavesAndIsNotSureTakesNothingFromWhatComes) {
  routing_.emplace(std::vector<Filters>{{filter("$share/g/t/a")}});
  routing_->change({{filter("t/a")}}, {std::nullopt});
  routing_->set_granted("t/a", 1);
  EXPECT_EQ(taking("t/a", {"$share/g/t/a"}), (Lanes{0}));
  EXPECT_EQ(taking("t/a", {"t/a"}), (Lanes{0}));
}

TEST_F(RoutingTest, WhatWasThereBeforeNeedsNothingThatLeaves) {
  routing_.emplace(std::vector<Filters>{{filter("+/b")}, {filter("#", 0)}});
  routing_->change({{filter("+/b")}}, {0});
  EXPECT_EQ(taking("a/b", {"#"}), (Lanes{}));
  EXPECT_EQ(taking("a/b", {"+/b"}), (Lanes{0}));
}

TEST_F(RoutingTest, WhatHasGoneIsForgotten) {
  routing_.emplace(std::vector<Filters>{{filter("a")}});
  for (const char* next : {"b", "c", "d"}) {
    routing_->change({{filter(next)}}, {std::nullopt});
    routing_->set_granted(next, 1);
    for (const auto& leaving : routing_->plan()->leaving())
      routing_->set_granted(leaving.subscription.topic.text(), Routing::kNone);
  }
  EXPECT_EQ(routing_->plan()->leaving().size(), 1u);
}

// A second change before the first has been followed.
TEST_F(RoutingTest, ALaneStaysNewUntilItsFiltersAreSubscribed) {
  routing_.emplace(std::vector<Filters>{{filter("a")}});
  routing_->is_subscribed(routing_->plan());
  routing_->change({{filter("a")}, {filter("b")}}, {0, std::nullopt});
  routing_->change({{filter("b")}, {filter("a")}}, {1, 0});
  EXPECT_EQ(routing_->wanted().retained, (std::set<std::uint32_t>{place("b")}));
}

TEST_F(RoutingTest, WhatLeavesIsNoMessageThatNobodyWants) {
  routing_.emplace(std::vector<Filters>{{filter("a/#")}});
  routing_->change({{filter("b")}}, {std::nullopt});
  Lanes lanes;
  EXPECT_TRUE(routing_->find(Message({.topic = "a/b", .payload = {}}), lanes));
  EXPECT_FALSE(routing_->find(Message({.topic = "c", .payload = {}}), lanes));
}

TEST_F(RoutingTest, AFilterKnowsItsEarlierIdentifier) {
  routing_.emplace(std::vector<Filters>{{filter("+/b")}, {filter("a/+", 1)}});
  const std::uint32_t earlier = routing_->plan()->identifier(place("a/+"));
  routing_->change({{filter("+/b")}, {filter("a/+", 2)}}, {0, std::nullopt});
  EXPECT_NE(routing_->plan()->identifier(place("a/+")), earlier);
  EXPECT_EQ(taking_identifiers("a/b", {earlier}), taking("a/b", {"a/+"}));
}

TEST_F(RoutingTest, ALaneThatStaysGetsNoRetainedMessagesAgain) {
  routing_.emplace(std::vector<Filters>{{filter("a/#")}});
  routing_->is_subscribed(routing_->plan());
  routing_->change({{filter("a/#")}, {filter("a/+")}}, {0, std::nullopt});
  const auto retained = [&] {
    Lanes lanes;
    routing_->find(Message({.topic = "a/b", .payload = {}, .qos = 1, .retain = true}), lanes);
    return lanes;
  };
  EXPECT_EQ(retained(), (Lanes{1}));
  EXPECT_EQ(routing_->wanted().retained, (std::set<std::uint32_t>{place("a/+")}));
  EXPECT_EQ(taking("a/b", {}), (Lanes{0, 1}));
  routing_->all_are_new();
  EXPECT_EQ(retained(), (Lanes{0, 1}));
}

TEST_F(RoutingTest, WhereTheFlagSaysNothingAllGetIt) {
  SubscriptionConfig keeping = filter("a/#");
  keeping.retain_as_published = true;
  routing_.emplace(std::vector<Filters>{{keeping}});
  routing_->is_subscribed(routing_->plan());
  routing_->change({{keeping}}, {0});
  Lanes lanes;
  routing_->find(Message({.topic = "a/b", .payload = {}, .qos = 1, .retain = true}), lanes);
  EXPECT_EQ(lanes, (Lanes{0}));
}

}  // namespace
}  // namespace fastmqttd
