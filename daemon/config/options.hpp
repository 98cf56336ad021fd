// The `options` of one handler: a YAML tree of its own, looked up by "a.b" paths.
//
// The plugin decides which names exist; what it says about one is given its file and line here.
// Scalars are expanded as Text is.  Built by the reader; not for use by several threads at once.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/error.hpp"

namespace fastmqttd {

class HandlerOptions {
 public:
  struct Entry {
    std::string path;   // "a.b"; "" is the whole tree
    Place place;        // of the value
    std::string text;   // scalar: its expanded text; else the subtree as YAML, expanded
    std::string shown;  // the same with references as written and secrets masked
    bool scalar = false;
    bool null = false;     // `file: ~`: named, but without a value
    Place key_place = {};  // of its name; of the value when it has none: an item, the whole tree
    bool list = false;
    std::vector<std::string> members = {};  // names of a map's values, "0", "1" ... of a list's

    // As a plugin sees them.
    bool operator==(const Entry& other) const {
      return path == other.path && text == other.text && scalar == other.scalar &&
             null == other.null && list == other.list && members == other.members;
    }
  };

  HandlerOptions() = default;  // no options
  explicit HandlerOptions(std::vector<Entry> entries) : entries_(std::move(entries)) {}

  bool empty() const { return entries_.empty(); }
  // Nothing when absent or null.  The entry lives as long as this object.
  const Entry* find(std::string_view path) const;
  // The names at the top, with their places, for a check against what the plugin knows.
  std::vector<const Entry*> top() const;
  const std::vector<Entry>& entries() const { return entries_; }

  bool operator==(const HandlerOptions&) const = default;

 private:
  std::vector<Entry> entries_;  // every node of the tree, in file order
};

}  // namespace fastmqttd
