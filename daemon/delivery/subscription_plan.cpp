#include "daemon/delivery/subscription_plan.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <string_view>
#include <tuple>

namespace fastmqttd {
namespace {

// MQTT 5.0 section 3.8.2.1.2.
constexpr unsigned kIdentifierBits = 28;
// However many filters there are, so many bits tell plans apart.
constexpr unsigned kLeastTagBits = 12;

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
  return h ^ h >> 15;
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
  // 0 is no identifier, so places count from 1.
  place_bits_ = std::min<unsigned>(kIdentifierBits - kLeastTagBits,
                                   static_cast<unsigned>(std::bit_width(subscriptions_.size())));
  tag_ = hash(subscriptions_) & ((1u << (kIdentifierBits - place_bits_)) - 1);
}

std::uint32_t SubscriptionPlan::identifier(std::uint32_t place) const {
  return place + 1 < 1u << place_bits_ ? tag_ << place_bits_ | (place + 1) : 0;
}

std::optional<std::uint32_t> SubscriptionPlan::place(std::uint32_t identifier) const {
  const std::uint32_t number = identifier & ((1u << place_bits_) - 1);
  if (identifier >> place_bits_ != tag_ || number == 0 || number > subscriptions_.size())
    return std::nullopt;
  return number - 1;
}

std::vector<std::uint32_t> SubscriptionPlan::uncovered(const std::vector<bool>& refused) const {
  const auto covers = [&](std::uint32_t wide, std::uint32_t narrow) {
    const TopicFilter &w = subscriptions_[wide].topic, &n = subscriptions_[narrow].topic;
    return wide != narrow && !refused[wide] && !w.shared() && !n.shared() && w.covers(n);
  };
  std::vector<std::uint32_t> places;
  for (std::uint32_t place = 0; place < subscriptions_.size(); ++place) {
    bool covered = refused[place];
    for (std::uint32_t other = 0; !covered && other < subscriptions_.size(); ++other)
      covered = covers(other, place);
    if (!covered) places.push_back(place);
  }
  return places;
}

int SubscriptionPlan::covering_qos(std::uint32_t place) const {
  const SubscriptionConfig& wide = subscriptions_[place];
  int qos = wide.qos;
  for (const SubscriptionConfig& narrow : subscriptions_)
    if (!wide.topic.shared() && !narrow.topic.shared() && wide.topic.covers(narrow.topic))
      qos = std::max(qos, narrow.qos);
  return qos;
}

}  // namespace fastmqttd
