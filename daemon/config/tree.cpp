#include "daemon/config/tree.hpp"

#include <unordered_map>
#include <utility>

namespace fastmqttd {

Tree Tree::of_kind(Kind kind) {
  Tree tree;
  tree.kind = kind;
  return tree;
}

Tree Tree::map() { return of_kind(Kind::map); }

Tree Tree::list() { return of_kind(Kind::list); }

Tree Tree::scalar(std::string text, bool plain) {
  Tree tree = of_kind(Kind::scalar);
  tree.text = std::move(text);
  tree.plain = plain;
  return tree;
}

const TreeMember* Tree::find(std::string_view key) const {
  for (const TreeMember& member : members)
    if (member.key == key) return &member;
  return nullptr;
}

Tree& Tree::add(std::string key, Tree value) {
  members.push_back({std::move(key), {}, std::move(value)});
  return members.back().value;
}

void merge(Tree& into, Tree&& from) {
  if (into.kind != Tree::Kind::map || from.kind != Tree::Kind::map) {
    const bool keeps_map = into.kind == Tree::Kind::map && from.null();
    if (!keeps_map) into = std::move(from);
    return;
  }
  std::unordered_map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < into.members.size(); ++i) known.emplace(into.members[i].key, i);
  for (TreeMember& member : from.members) {
    const auto found = known.find(member.key);
    if (found == known.end())
      into.members.push_back(std::move(member));
    else
      merge(into.members[found->second].value, std::move(member.value));
  }
}

}  // namespace fastmqttd
