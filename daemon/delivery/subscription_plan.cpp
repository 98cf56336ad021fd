#include "daemon/delivery/subscription_plan.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <string_view>
#include <tuple>

#include "daemon/delivery/filter_tree.hpp"

namespace fastmqttd {
namespace {

// MQTT 5.0 section 3.8.2.1.2.
constexpr unsigned kIdentifierBits = 28;
// However many filters there are, so many bits tell plans apart.
constexpr unsigned kLeastTagBits = 12;

SubscriptionConfig strictest(const SubscriptionConfig& a, const SubscriptionConfig& b) {
  const bool agree = a.subscription_identifier == b.subscription_identifier;
  return {a.topic,
          std::max(a.qos, b.qos),
          a.no_local || b.no_local,
          a.retain_as_published || b.retain_as_published,
          std::max(a.retain_handling_options, b.retain_handling_options),
          agree ? a.subscription_identifier : std::nullopt};
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
    const std::uint32_t id = s.subscription_identifier.value_or(0);
    for (unsigned shift = 0; shift < 32; shift += 8) add(static_cast<unsigned char>(id >> shift));
  }
  return h ^ h >> 15;
}

// Whether a wider one may stand for a narrower one where copies can be told apart.  What is asked
// for with QoS 0 is not worth a handshake, nor a place on the disk, for the sake of a few.
bool alike(const SubscriptionConfig& wide, const SubscriptionConfig& narrow) {
  constexpr int kOnlyIfNew = 1;  // of retained messages: MQTT 5.0 section 3.8.3.1
  return wide.no_local == narrow.no_local &&
         wide.retain_as_published == narrow.retain_as_published &&
         wide.retain_handling_options == narrow.retain_handling_options &&
         wide.retain_handling_options != kOnlyIfNew && wide.qos >= std::min(narrow.qos, 1);
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
  find_covers();
  choose_identifiers();
}

void SubscriptionPlan::find_covers() {
  FilterTree tree;
  for (std::uint32_t i = 0; i < subscriptions_.size(); ++i)
    if (!subscriptions_[i].topic.shared()) tree.add(subscriptions_[i].topic.pattern(), i);
  for (Covers* covers : {&all_, &alike_}) {
    covers->by.resize(subscriptions_.size());
    for (const SubscriptionConfig& s : subscriptions_) covers->qos.push_back(s.qos);
  }
  std::vector<std::uint32_t> found;
  for (std::uint32_t narrow = 0; narrow < subscriptions_.size(); ++narrow) {
    const SubscriptionConfig& s = subscriptions_[narrow];
    if (s.topic.shared()) continue;
    found.clear();
    tree.find(s.topic.pattern(), found);
    const auto cover = [&](Covers& covers, std::uint32_t wide) {
      covers.by[narrow].push_back(wide);
      covers.qos[wide] = std::max(covers.qos[wide], s.qos);
    };
    for (const std::uint32_t wide : found) {
      if (wide == narrow) continue;
      cover(all_, wide);
      if (alike(subscriptions_[wide], s)) cover(alike_, wide);
    }
  }
}

void SubscriptionPlan::choose_identifiers() {
  const auto overlaps_any = [this](std::uint32_t place) {
    for (std::uint32_t other = 0; other < subscriptions_.size(); ++other)
      if (other != place && subscriptions_[place].topic.overlaps(subscriptions_[other].topic))
        return true;
    return false;
  };
  for (std::uint32_t place = 0; place < subscriptions_.size(); ++place)
    if (const auto& id = subscriptions_[place].subscription_identifier; id && !overlaps_any(place))
      asked_.emplace(*id, place);
  // 0 is no identifier, so places count from 1.
  place_bits_ = std::min<unsigned>(kIdentifierBits - kLeastTagBits,
                                   static_cast<unsigned>(std::bit_width(subscriptions_.size())));
  const std::uint32_t last_tag = (1u << (kIdentifierBits - place_bits_)) - 1;
  tag_ = hash(subscriptions_) & last_tag;
  const auto taken = [this](const auto& asked) { return asked.first >> place_bits_ == tag_; };
  while (std::ranges::any_of(asked_, taken)) tag_ = (tag_ + 1) & last_tag;
}

std::uint32_t SubscriptionPlan::identifier(std::uint32_t place) const {
  if (const auto& id = subscriptions_[place].subscription_identifier)
    if (const auto asked = asked_.find(*id); asked != asked_.end() && asked->second == place)
      return *id;
  return place + 1 < 1u << place_bits_ ? tag_ << place_bits_ | (place + 1) : 0;
}

std::optional<std::uint32_t> SubscriptionPlan::place(std::uint32_t identifier) const {
  if (const auto asked = asked_.find(identifier); asked != asked_.end()) return asked->second;
  const std::uint32_t number = identifier & ((1u << place_bits_) - 1);
  if (identifier >> place_bits_ != tag_ || number == 0 || number > subscriptions_.size())
    return std::nullopt;
  return number - 1;
}

std::vector<std::uint32_t> SubscriptionPlan::carriers(const std::vector<bool>& refused,
                                                      bool identifiers) const {
  const auto& by = covers(identifiers).by;
  const auto is_covered = [&](std::uint32_t place) {
    return std::ranges::any_of(by[place], [&](std::uint32_t wide) { return !refused[wide]; });
  };
  std::vector<std::uint32_t> carriers;
  for (std::uint32_t place = 0; place < subscriptions_.size(); ++place) {
    // One is the widest: what covers it would cover this one too.
    const auto widest = std::ranges::find_if(
        by[place], [&](std::uint32_t wide) { return !refused[wide] && !is_covered(wide); });
    carriers.push_back(widest == by[place].end() ? place : *widest);
  }
  return carriers;
}

}  // namespace fastmqttd
