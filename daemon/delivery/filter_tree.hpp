// Topic filters as a tree of levels: finds those that match a topic, or cover a narrower filter,
// without looking at the others.  Filled first, then only read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fastmqttd {

class FilterTree {
 public:
  FilterTree();
  ~FilterTree();
  FilterTree(FilterTree&&) noexcept;
  FilterTree& operator=(FilterTree&&) noexcept;

  // `pattern` is that of a TopicFilter; `value` is what find() gives for it.
  void add(std::string_view pattern, std::uint32_t value);
  // The values of all patterns that match `topic`.  It may be a pattern too: then of those that
  // match every topic which it matches, itself among them.
  void find(std::string_view topic, std::vector<std::uint32_t>& found) const;

 private:
  struct Node;
  std::unique_ptr<Node> root_;
};

}  // namespace fastmqttd
