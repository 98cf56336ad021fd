#include "daemon/delivery/subscription_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace fastmqttd {
namespace {

SubscriptionConfig filter(const char* topic, int qos = 1) {
  return SubscriptionConfig{.topic = TopicFilter(topic), .qos = qos};
}

std::vector<std::string> texts(const std::vector<SubscriptionConfig>& subscriptions) {
  std::vector<std::string> texts;
  for (const SubscriptionConfig& s : subscriptions)
    texts.push_back(s.topic.text() + " " + std::to_string(s.qos));
  return texts;
}

using Texts = std::vector<std::string>;

TEST(SubscriptionPlan, MergesEqualFiltersWithTheStrictestOptions) {
  SubscriptionConfig strict = filter("a", 2);
  strict.no_local = true;
  strict.retain_handling_options = 2;
  SubscriptionConfig keeping = filter("a", 0);
  keeping.retain_as_published = true;
  const SubscriptionPlan plan({{strict}, {keeping}});
  ASSERT_EQ(plan.subscriptions().size(), 1u);
  const SubscriptionConfig& merged = plan.subscriptions()[0];
  EXPECT_EQ(merged.qos, 2);
  EXPECT_TRUE(merged.no_local);
  EXPECT_TRUE(merged.retain_as_published);
  EXPECT_EQ(merged.retain_handling_options, 2);
}

TEST(SubscriptionPlan, PutsPlainBeforeSharedAndHigherQosFirst) {
  const SubscriptionPlan plan(
      {{filter("$share/g/a", 2), filter("low", 0), filter("high", 2), filter("mid", 1)}});
  EXPECT_EQ(texts(plan.subscriptions()), (Texts{"high 2", "mid 1", "low 0", "$share/g/a 2"}));
  EXPECT_EQ(plan.lane_filters()[0], (std::vector<std::uint32_t>{3, 2, 0, 1}));
}

TEST(SubscriptionPlan, IdentifiersNameTheirPlace) {
  const SubscriptionPlan plan({{filter("a"), filter("b")}});
  for (std::uint32_t place : {0u, 1u}) {
    EXPECT_GE(plan.identifier(place), 1u);
    EXPECT_LE(plan.identifier(place), 268'435'455u) << "MQTT 5.0 section 3.8.2.1.2";
    EXPECT_EQ(plan.place(plan.identifier(place)), place);
  }
  EXPECT_EQ(plan.place(0), std::nullopt);
  EXPECT_EQ(plan.place(plan.identifier(1) + 1), std::nullopt);
}

SubscriptionConfig marked(const char* topic, std::uint32_t identifier) {
  SubscriptionConfig subscription = filter(topic);
  subscription.subscription_identifier = identifier;
  return subscription;
}

std::uint32_t identifier_of(const SubscriptionPlan& plan, std::string_view topic) {
  for (std::uint32_t i = 0; i < plan.subscriptions().size(); ++i)
    if (plan.subscriptions()[i].topic.text() == topic) return plan.identifier(i);
  return 0;
}

TEST(SubscriptionPlan, AnIdentifierThatIsAskedForIsUsedWhereNothingOverlaps) {
  const SubscriptionPlan plan({{marked("a/#", 7), marked("b/+", 8)}, {filter("b/c"), filter("d")}});
  EXPECT_EQ(identifier_of(plan, "a/#"), 7u);
  EXPECT_NE(identifier_of(plan, "b/+"), 8u);  // a message on b/c comes twice, to be told apart
  for (std::uint32_t i = 0; i < plan.subscriptions().size(); ++i)
    EXPECT_EQ(plan.place(plan.identifier(i)), i);
}

TEST(SubscriptionPlan, AnIdentifierThatTwoAskForIsUsedForNeither) {
  const SubscriptionPlan differ({{marked("a", 7)}, {marked("a", 8)}});
  EXPECT_GT(identifier_of(differ, "a"), 8u);
  const SubscriptionPlan same({{marked("a", 7)}, {marked("a", 7)}});
  EXPECT_EQ(identifier_of(same, "a"), 7u);
  const SubscriptionPlan twice({{marked("a", 7), marked("b", 7)}});
  EXPECT_NE(identifier_of(twice, "a"), identifier_of(twice, "b"));
}

TEST(SubscriptionPlan, AnIdentifierThatIsAskedForIsNotTakenForOneOfOurs) {
  const SubscriptionPlan plain({{filter("a"), filter("b")}});
  // What the other filter would have had.
  for (std::uint32_t taken : {plain.identifier(0), plain.identifier(1)}) {
    const SubscriptionPlan plan({{marked("a", taken), filter("b")}});
    EXPECT_EQ(identifier_of(plan, "a"), taken);
    EXPECT_NE(identifier_of(plan, "b"), taken);
    EXPECT_NE(identifier_of(plan, "b"), 0u);
  }
}

TEST(SubscriptionPlan, IdentifiersFollowFromFilterAndOptions) {
  const SubscriptionPlan plan({{filter("a"), filter("b")}});
  const SubscriptionPlan more({{filter("c")}, {filter("b")}, {filter("0"), filter("a")}});
  for (const char* topic : {"a", "b"})
    EXPECT_EQ(identifier_of(plan, topic), identifier_of(more, topic)) << topic;
  const SubscriptionPlan other_qos({{filter("a", 2), filter("b")}});
  EXPECT_NE(identifier_of(plan, "a"), identifier_of(other_qos, "a"));
  EXPECT_EQ(other_qos.place(identifier_of(plan, "a")), std::nullopt);
}

TEST(SubscriptionPlan, HasIdentifiersForAll) {
  constexpr std::uint32_t kFilters = 100'000;
  std::vector<SubscriptionConfig> many;
  for (std::uint32_t i = 0; i < kFilters; ++i)
    many.push_back(filter(("t/" + std::to_string(i)).c_str()));
  const SubscriptionPlan plan({many});
  for (std::uint32_t place = 0; place < kFilters; ++place)
    ASSERT_EQ(plan.place(plan.identifier(place)), place);
}

// Each filter with what is subscribed to have its messages.
Texts carried(const SubscriptionPlan& plan, bool identifiers, const Texts& refused_filters = {}) {
  const auto& subscriptions = plan.subscriptions();
  std::vector<bool> refused;
  for (const SubscriptionConfig& s : subscriptions)
    refused.push_back(std::ranges::find(refused_filters, s.topic.text()) != refused_filters.end());
  const std::vector<std::uint32_t> carriers = plan.carriers(refused, identifiers);
  Texts texts;
  for (std::uint32_t place = 0; place < carriers.size(); ++place)
    texts.push_back(subscriptions[place].topic.text() + ": " +
                    subscriptions[carriers[place]].topic.text() + " " +
                    std::to_string(plan.request(carriers[place], identifiers).qos));
  std::ranges::sort(texts);
  return texts;
}

class Covered : public ::testing::Test {
 protected:
  const SubscriptionPlan plan_{{{filter("a/#", 0), filter("a/b", 2)},
                                {filter("a/+", 1), filter("c/+"), filter("+/d")},
                                {filter("$share/g/a/b", 1)}}};
};

TEST_F(Covered, AreCarriedByTheWidest) {
  EXPECT_EQ(carried(plan_, false), (Texts{"$share/g/a/b: $share/g/a/b 1", "+/d: +/d 1",
                                          "a/#: a/# 2", "a/+: a/# 2", "a/b: a/# 2", "c/+: c/+ 1"}));
}

TEST_F(Covered, AreSubscribedWhenWhatCoversThemIsRefused) {
  EXPECT_EQ(carried(plan_, false, {"a/#"}),
            (Texts{"$share/g/a/b: $share/g/a/b 1", "+/d: +/d 1", "a/#: a/# 2", "a/+: a/+ 2",
                   "a/b: a/+ 2", "c/+: c/+ 1"}));
  EXPECT_EQ(carried(plan_, false, {"a/#", "a/+"}),
            (Texts{"$share/g/a/b: $share/g/a/b 1", "+/d: +/d 1", "a/#: a/# 2", "a/+: a/+ 2",
                   "a/b: a/b 2", "c/+: c/+ 1"}));
}

// QoS 0 goes on its own: not all that comes is to be stored for the sake of some.
TEST_F(Covered, WithIdentifiersAreCarriedByWhatPromisesAsMuch) {
  EXPECT_EQ(carried(plan_, true), (Texts{"$share/g/a/b: $share/g/a/b 1", "+/d: +/d 1", "a/#: a/# 0",
                                         "a/+: a/+ 2", "a/b: a/+ 2", "c/+: c/+ 1"}));
}

TEST(SubscriptionPlan, WithIdentifiersOtherOptionsAreSubscribedForThemselves) {
  const auto with = [](const auto& change) {
    SubscriptionConfig narrow = filter("a/b");
    change(narrow);
    return SubscriptionPlan({{filter("a/#"), narrow}});
  };
  const Texts both{"a/#: a/# 1", "a/b: a/b 1"};
  EXPECT_EQ(carried(with([](auto& s) { s.no_local = true; }), true), both);
  EXPECT_EQ(carried(with([](auto& s) { s.retain_as_published = true; }), true), both);
  EXPECT_EQ(carried(with([](auto& s) { s.retain_handling_options = 2; }), true), both);
  EXPECT_EQ(carried(with([](auto&) {}), true), (Texts{"a/#: a/# 1", "a/b: a/# 1"}));
  // Without identifiers one brings what both want.
  const SubscriptionPlan deaf = with([](auto& s) { s.no_local = s.retain_as_published = true; });
  EXPECT_TRUE(deaf.mixes_options());
  EXPECT_FALSE(with([](auto&) {}).mixes_options());
  SubscriptionConfig quiet = filter("c/#");
  quiet.no_local = quiet.retain_as_published = true;
  quiet.retain_handling_options = 2;
  const SubscriptionPlan mixed({{quiet, filter("c/d", 2)}});
  const std::uint32_t place = mixed.place("c/#").value();
  const SubscriptionConfig& request = mixed.request(place, /*identifiers=*/false);
  EXPECT_EQ(request.qos, 2);
  EXPECT_FALSE(request.no_local || request.retain_as_published);
  EXPECT_EQ(request.retain_handling_options, 0);
  EXPECT_TRUE(mixed.request(place, /*identifiers=*/true).no_local);
  // Retained messages for new subscriptions only: a new handler is to have them.
  SubscriptionConfig wide = filter("a/#"), narrow = filter("a/b");
  wide.retain_handling_options = narrow.retain_handling_options = 1;
  EXPECT_EQ(carried(SubscriptionPlan({{wide, narrow}}), true), both);
}

}  // namespace
}  // namespace fastmqttd
