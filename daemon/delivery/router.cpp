#include "daemon/delivery/router.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace fastmqttd {
namespace {

// Bounds of the cache.  When it is full it starts afresh: with topics that repeat it fills again in
// no time, and with topics that do not, nothing would help.
constexpr std::size_t kMaxCachedTopics = 16'384;
constexpr std::size_t kMaxCachedTopicBytes = 512;

}  // namespace

Router::Router(const SubscriptionPlan& plan) {
  for (std::uint32_t lane = 0; lane < plan.lane_filters().size(); ++lane)
    for (const std::uint32_t filter : plan.lane_filters()[lane]) add(plan, {lane, filter});
  for (auto place = plan.subscriptions().size(); place < plan.places(); ++place)
    add(plan, {std::nullopt, static_cast<std::uint32_t>(place)});
}

void Router::add(const SubscriptionPlan& plan, Entry entry) {
  tree_.add(plan.at(entry.filter).topic.pattern(), static_cast<std::uint32_t>(entries_.size()));
  entries_.push_back(entry);
}

const Router::Match& Router::match(std::string_view topic) {
  if (const auto hit = cache_.find(topic); hit != cache_.end()) return hit->second;
  uncached_ = walk(topic);
  if (topic.size() > kMaxCachedTopicBytes) return uncached_;
  if (cache_.size() >= kMaxCachedTopics) cache_.clear();
  return cache_.emplace(topic, uncached_).first->second;
}

Router::Match Router::walk(std::string_view topic) const {
  std::vector<std::uint32_t> found;
  tree_.find(topic, found);

  std::map<std::uint32_t, std::vector<std::uint32_t>> by_lane;
  std::set<std::uint32_t> subscriptions;
  for (const std::uint32_t entry : found) {
    const auto& [lane, filter] = entries_[entry];
    if (lane) by_lane[*lane].push_back(filter);
    subscriptions.insert(filter);
  }
  Match match;
  for (auto& [lane, filters] : by_lane) {
    std::ranges::sort(filters);
    match.routes.push_back({lane, std::move(filters)});
  }
  match.subscriptions.assign(subscriptions.begin(), subscriptions.end());
  return match;
}

}  // namespace fastmqttd
