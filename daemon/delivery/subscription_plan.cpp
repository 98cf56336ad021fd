#include "daemon/delivery/subscription_plan.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

namespace fastmqttd {
namespace {

// An identifier has 28 bits (MQTT 5.0 section 3.8.2.1.2): 12 for the tag, 16 for the place + 1.
constexpr unsigned kPlaceBits = 16;
constexpr std::uint32_t kPlaceMask = (1u << kPlaceBits) - 1;
constexpr std::uint32_t kTagMask = (1u << 12) - 1;

SubscriptionConfig strictest(const SubscriptionConfig& a, const SubscriptionConfig& b) {
  return {a.topic, std::max(a.qos, b.qos), a.no_local || b.no_local,
          a.retain_as_published || b.retain_as_published,
          std::max(a.retain_handling_options, b.retain_handling_options)};
}

// FNV-1a: the tag must be the same in every run of the same configuration.
std::uint32_t hash(const std::vector<SubscriptionConfig>& subscriptions) {
  std::uint32_t h = 2166136261u;
  const auto add = [&h](unsigned char byte) { h = (h ^ byte) * 16777619u; };
  for (const SubscriptionConfig& s : subscriptions) {
    for (const char c : s.topic.text()) add(static_cast<unsigned char>(c));
    add(0);
    add(static_cast<unsigned char>(s.qos | s.no_local << 2 | s.retain_as_published << 3 |
                                   s.retain_handling_options << 4));
  }
  return h ^ h >> 16;
}

}  // namespace

SubscriptionPlan::SubscriptionPlan(const std::vector<std::vector<SubscriptionConfig>>& by_lane) {
  std::map<std::string, SubscriptionConfig> distinct;
  for (const auto& lane : by_lane)
    for (const SubscriptionConfig& s : lane) {
      const auto [at, is_new] = distinct.emplace(s.topic.text(), s);
      if (!is_new) at->second = strictest(at->second, s);
    }
  for (const auto& [text, subscription] : distinct) subscriptions_.push_back(subscription);
  std::ranges::stable_sort(subscriptions_, {}, [](const SubscriptionConfig& s) {
    return std::tuple(s.topic.shared(), -s.qos, s.no_local, s.retain_handling_options);
  });

  std::map<std::string_view, std::uint32_t> places;
  for (std::uint32_t i = 0; i < subscriptions_.size(); ++i)
    places[subscriptions_[i].topic.text()] = i;
  for (const auto& lane : by_lane) {
    auto& filters = lane_filters_.emplace_back();
    for (const SubscriptionConfig& s : lane) filters.push_back(places.at(s.topic.text()));
  }
  tag_ = hash(subscriptions_) & kTagMask;
}

std::uint32_t SubscriptionPlan::identifier(std::uint32_t place) const {
  return place < kPlaceMask ? tag_ << kPlaceBits | (place + 1) : 0;
}

std::optional<std::uint32_t> SubscriptionPlan::place(std::uint32_t identifier) const {
  const std::uint32_t number = identifier & kPlaceMask;
  if (identifier >> kPlaceBits != tag_ || number == 0 || number > subscriptions_.size())
    return std::nullopt;
  return number - 1;
}

std::vector<SubscriptionConfig> SubscriptionPlan::without_covered() const {
  std::vector<SubscriptionConfig> kept;
  for (const SubscriptionConfig& s : subscriptions_) {
    if (s.topic.shared()) {
      kept.push_back(s);
      continue;
    }
    const auto covers_s = [&](const SubscriptionConfig& other) {
      return !other.topic.shared() && !(other.topic == s.topic) && other.topic.covers(s.topic);
    };
    if (std::ranges::any_of(subscriptions_, covers_s)) continue;
    SubscriptionConfig widest = s;
    for (const SubscriptionConfig& other : subscriptions_)
      if (!other.topic.shared() && s.topic.covers(other.topic))
        widest.qos = std::max(widest.qos, other.qos);
    kept.push_back(widest);
  }
  return kept;
}

}  // namespace fastmqttd
