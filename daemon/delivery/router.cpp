#include "daemon/delivery/router.hpp"

#include <algorithm>
#include <map>

namespace fastmqttd {
namespace {

// Bounds of the cache.  When it is full it starts afresh: with topics that repeat it fills again in
// no time, and with topics that do not, nothing would help.
constexpr std::size_t kMaxCachedTopics = 16'384;
constexpr std::size_t kMaxCachedTopicBytes = 512;

}  // namespace

struct Router::Node {
  struct Entry {
    std::uint32_t lane;
    std::uint32_t filter;
  };

  std::unordered_map<std::string, std::unique_ptr<Node>, Hash, std::equal_to<>> children;
  std::unique_ptr<Node> any;     // below '+'
  std::vector<Entry> here;       // filters that end at this level
  std::vector<Entry> and_below;  // filters that end with '#' at the next

  Node& child(std::string_view level) {
    std::unique_ptr<Node>& next = level == "+" ? any : children[std::string(level)];
    if (!next) next = std::make_unique<Node>();
    return *next;
  }

  void add(TopicLevels levels, Entry entry) {
    Node* node = this;
    while (!levels.done()) {
      const std::string_view level = levels.next();
      if (level == "#") {
        node->and_below.push_back(entry);
        return;
      }
      node = &node->child(level);
    }
    node->here.push_back(entry);
  }

  // Collects the entries that match what is left of a topic.  As deep as the longest filter.
  void collect(TopicLevels levels, bool wildcards, std::vector<Entry>& found) const {
    if (wildcards) found.insert(found.end(), and_below.begin(), and_below.end());
    if (levels.done()) {
      found.insert(found.end(), here.begin(), here.end());
      return;
    }
    const std::string_view level = levels.next();
    if (any && wildcards) any->collect(levels, true, found);
    if (const auto next = children.find(level); next != children.end())
      next->second->collect(levels, true, found);
  }
};

Router::Router(const SubscriptionPlan& plan) : root_(std::make_unique<Node>()) {
  for (std::uint32_t lane = 0; lane < plan.lane_filters().size(); ++lane)
    for (const std::uint32_t filter : plan.lane_filters()[lane])
      root_->add(TopicLevels(plan.subscriptions()[filter].topic.pattern()), {lane, filter});
}

Router::~Router() = default;

const std::vector<Route>& Router::match(std::string_view topic) {
  if (const auto hit = cache_.find(topic); hit != cache_.end()) return hit->second;
  uncached_ = walk(topic);
  if (topic.size() > kMaxCachedTopicBytes) return uncached_;
  if (cache_.size() >= kMaxCachedTopics) cache_.clear();
  return cache_.emplace(topic, uncached_).first->second;
}

std::vector<Route> Router::walk(std::string_view topic) const {
  std::vector<Node::Entry> found;
  // Wildcards at the first level leave $-topics alone [MQTT-4.7.2-1].
  root_->collect(TopicLevels(topic), !topic.starts_with('$'), found);

  std::map<std::uint32_t, std::vector<std::uint32_t>> by_lane;
  for (const Node::Entry& entry : found) by_lane[entry.lane].push_back(entry.filter);
  std::vector<Route> routes;
  for (auto& [lane, filters] : by_lane) {
    std::ranges::sort(filters);
    routes.push_back({lane, std::move(filters)});
  }
  return routes;
}

}  // namespace fastmqttd
