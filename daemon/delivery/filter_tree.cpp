#include "daemon/delivery/filter_tree.hpp"

#include <functional>
#include <unordered_map>

#include "daemon/message/topic_filter.hpp"

namespace fastmqttd {
namespace {

struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};

}  // namespace

struct FilterTree::Node {
  std::unordered_map<std::string, std::unique_ptr<Node>, Hash, std::equal_to<>> children;
  std::unique_ptr<Node> any;             // below '+'
  std::vector<std::uint32_t> here;       // patterns that end at this level
  std::vector<std::uint32_t> and_below;  // patterns that end with '#' at the next

  Node& child(std::string_view level) {
    std::unique_ptr<Node>& next = level == "+" ? any : children[std::string(level)];
    if (!next) next = std::make_unique<Node>();
    return *next;
  }

  // As deep as the longest pattern.
  void find(TopicLevels levels, bool wildcards, std::vector<std::uint32_t>& found) const {
    if (wildcards) found.insert(found.end(), and_below.begin(), and_below.end());
    if (levels.done()) {
      found.insert(found.end(), here.begin(), here.end());
      return;
    }
    const std::string_view level = levels.next();
    if (level == "#") return;  // of a pattern: covered by a '#' alone
    if (any && wildcards) any->find(levels, true, found);
    if (const auto next = children.find(level); next != children.end())
      next->second->find(levels, true, found);
  }
};

FilterTree::FilterTree() : root_(std::make_unique<Node>()) {}
FilterTree::~FilterTree() = default;
FilterTree::FilterTree(FilterTree&&) noexcept = default;
FilterTree& FilterTree::operator=(FilterTree&&) noexcept = default;

void FilterTree::add(std::string_view pattern, std::uint32_t value) {
  Node* node = root_.get();
  for (TopicLevels levels(pattern); !levels.done();) {
    const std::string_view level = levels.next();
    if (level == "#") {
      node->and_below.push_back(value);
      return;
    }
    node = &node->child(level);
  }
  node->here.push_back(value);
}

void FilterTree::find(std::string_view topic, std::vector<std::uint32_t>& found) const {
  // Wildcards at the first level leave $-topics alone [MQTT-4.7.2-1].
  root_->find(TopicLevels(topic), !topic.starts_with('$'), found);
}

}  // namespace fastmqttd
