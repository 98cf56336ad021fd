#include "daemon/delivery/subscription_plan.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

#include "daemon/base/fnv.hpp"
#include "daemon/delivery/filter_tree.hpp"

namespace fastmqttd {
namespace {

// MQTT 5.0 section 3.8.2.1.2.
constexpr std::uint32_t kLastIdentifier = 268'435'455;

SubscriptionConfig strictest(const SubscriptionConfig& a, const SubscriptionConfig& b) {
  const bool agree = a.subscription_identifier == b.subscription_identifier;
  return {a.topic,
          std::max(a.qos, b.qos),
          a.no_local || b.no_local,
          a.retain_as_published || b.retain_as_published,
          std::max(a.retain_handling_options, b.retain_handling_options),
          agree ? a.subscription_identifier : std::nullopt};
}

// The same in every run.
std::uint32_t first_choice(const SubscriptionConfig& s) {
  const char options = static_cast<char>(s.qos | s.no_local << 2 | s.retain_as_published << 3 |
                                         s.retain_handling_options << 4);
  return static_cast<std::uint32_t>(fnv({&options, 1}, fnv(s.topic.text())) % kLastIdentifier) + 1;
}

bool same_options(const SubscriptionConfig& a, const SubscriptionConfig& b) {
  return a.no_local == b.no_local && a.retain_as_published == b.retain_as_published &&
         a.retain_handling_options == b.retain_handling_options;
}

// What one that is carried too asks for.  A message that keeps its retain flag might be skipped.
void add_to(SubscriptionConfig& request, const SubscriptionConfig& carried) {
  request.qos = std::max(request.qos, carried.qos);
  request.no_local = request.no_local && carried.no_local;
  request.retain_as_published = request.retain_as_published && carried.retain_as_published;
  request.retain_handling_options =
      std::min(request.retain_handling_options, carried.retain_handling_options);
}

}  // namespace

bool same_subscription(const SubscriptionConfig& one, const SubscriptionConfig& other) {
  return one.topic.text() == other.topic.text() && one.qos == other.qos && same_options(one, other);
}

bool may_stand_for(const SubscriptionConfig& one, const SubscriptionConfig& other) {
  constexpr int kOnlyIfNew = 1;  // of retained messages: MQTT 5.0 section 3.8.3.1
  return !one.topic.shared() && !other.topic.shared() && same_options(one, other) &&
         one.retain_handling_options != kOnlyIfNew && one.qos >= std::min(other.qos, 1);
}

SubscriptionPlan::SubscriptionPlan(const std::vector<std::vector<SubscriptionConfig>>& by_lane,
                                   std::vector<Earlier> earlier) {
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

  for (std::uint32_t i = 0; i < subscriptions_.size(); ++i)
    by_filter_[subscriptions_[i].topic.text()] = i;
  for (const auto& lane : by_lane) {
    auto& filters = lane_filters_.emplace_back();
    for (const SubscriptionConfig& s : lane) filters.push_back(by_filter_.at(s.topic.text()));
  }
  find_covers();
  choose_identifiers();
  keep_identifiers(std::move(earlier));
}

void SubscriptionPlan::find_covers() {
  FilterTree tree;
  for (std::uint32_t i = 0; i < subscriptions_.size(); ++i)
    if (!subscriptions_[i].topic.shared()) tree.add(subscriptions_[i].topic.pattern(), i);
  for (Covers* covers : {&all_, &alike_}) {
    covers->by.resize(subscriptions_.size());
    covers->requests = subscriptions_;
  }
  std::vector<std::uint32_t> found;
  for (std::uint32_t narrow = 0; narrow < subscriptions_.size(); ++narrow) {
    const SubscriptionConfig& s = subscriptions_[narrow];
    if (s.topic.shared()) continue;
    found.clear();
    tree.find(s.topic.pattern(), found);
    const auto cover = [&](Covers& covers, std::uint32_t wide) {
      covers.by[narrow].push_back(wide);
      add_to(covers.requests[wide], s);
    };
    for (const std::uint32_t wide : found) {
      if (wide == narrow) continue;
      cover(all_, wide);
      mixes_options_ = mixes_options_ || !same_options(subscriptions_[wide], s);
      if (may_stand_for(subscriptions_[wide], s)) cover(alike_, wide);
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
  identifiers_.assign(subscriptions_.size(), 0);
  const auto give = [this](std::uint32_t identifier, std::uint32_t place) {
    const bool is_free = by_identifier_.emplace(identifier, place).second;
    if (is_free) identifiers_[place] = identifier;
    return is_free;
  };
  for (std::uint32_t place = 0; place < subscriptions_.size(); ++place)
    if (const auto& id = subscriptions_[place].subscription_identifier; id && !overlaps_any(place))
      give(*id, place);
  for (std::uint32_t place = 0; place < subscriptions_.size(); ++place) {
    if (identifiers_[place] != 0) continue;
    std::uint32_t identifier = first_choice(subscriptions_[place]);
    while (!give(identifier, place)) identifier = identifier % kLastIdentifier + 1;
  }
}

// One that is taken now names its new owner.
void SubscriptionPlan::keep_identifiers(std::vector<Earlier> earlier) {
  for (Earlier& one : earlier) {
    const auto [at, is_leaving] = by_filter_.emplace(one.subscription.topic.text(), places());
    by_identifier_.emplace(one.identifier, at->second);
    if (!is_leaving) continue;
    identifiers_.push_back(one.identifier);
    leaving_.push_back(std::move(one));
  }
}

std::optional<std::uint32_t> SubscriptionPlan::place(std::uint32_t identifier) const {
  const auto found = by_identifier_.find(identifier);
  if (found == by_identifier_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::uint32_t> SubscriptionPlan::place(const std::string& filter) const {
  const auto found = by_filter_.find(filter);
  if (found == by_filter_.end()) return std::nullopt;
  return found->second;
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
