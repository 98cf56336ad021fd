// A configuration as it was written: nested values, each with its place.
//
// What the reader works on, and what the printer fills, so that YAML itself is seen in yaml.cpp
// alone.  Plain values, no locks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/error.hpp"

namespace fastmqttd {

struct TreeMember;

struct Tree {
  enum class Kind { null, scalar, list, map };

  Kind kind = Kind::null;
  Place place;  // of the value; an empty one has that of its key or list
  std::string text;
  bool plain = false;  // a scalar without quotes: may stand for a number or a bool
  std::vector<Tree> items;
  std::vector<TreeMember> members;  // in the order of the files

  static Tree of_kind(Kind kind);
  static Tree map();
  static Tree list();
  static Tree scalar(std::string text, bool plain);

  bool null() const { return kind == Kind::null; }
  const TreeMember* find(std::string_view key) const;
  Tree& add(std::string key, Tree value);
};

struct TreeMember {
  std::string key;
  Place place;
  Tree value;
};

// Lays a later file over an earlier one: maps key by key, while a scalar or list is replaced.
// An empty value takes a scalar or list back to its default and leaves a map as it is.
void merge(Tree& into, Tree&& from);

}  // namespace fastmqttd
