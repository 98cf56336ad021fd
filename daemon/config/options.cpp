#include "daemon/config/options.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <stdexcept>

#include "daemon/config/values.hpp"
#include "daemon/config/yaml.hpp"

namespace fastmqttd {
namespace {

constexpr std::string_view kMask = "********";

bool names_secret(std::string_view key) {
  static constexpr std::array<std::string_view, 6> kWords{"password", "passwd",  "secret",
                                                          "token",    "api_key", "authorization"};
  std::string lower(key);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::ranges::any_of(
      kWords, [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

// A node of the options, its two faces and its way from the top.
struct Node {
  const Tree& tree;
  std::string path;
  Place key_place;
  bool secret = false;  // it, or what it stands in, has a secret's name
};

struct Faces {
  Tree text;   // expanded
  Tree shown;  // as written, secrets masked
};

class Builder {
 public:
  explicit Builder(const Given& options) : options_(options) {}

  Faces build(const Node& node) {
    const std::size_t index = entries_.size();
    if (!paths_.insert(node.path).second) report_ambiguous(node);
    entries_.push_back({node.path, node.tree.place, "", "", node.tree.kind == Tree::Kind::scalar,
                        node.tree.null(), node.key_place, node.tree.kind == Tree::Kind::list,
                        member_names(node.tree)});
    Faces faces{Tree::of_kind(node.tree.kind), Tree::of_kind(node.tree.kind)};
    if (node.tree.kind == Tree::Kind::scalar) faces = scalar(node);
    for (std::size_t i = 0; i < node.tree.items.size(); ++i) {
      const Tree& item = node.tree.items[i];
      Faces inner = build({item, below(node, std::to_string(i)), item.place, node.secret});
      faces.text.items.push_back(std::move(inner.text));
      faces.shown.items.push_back(std::move(inner.shown));
    }
    for (const TreeMember& member : node.tree.members) {
      Faces inner = build({member.value, below(node, member.key), member.place,
                           node.secret || names_secret(member.key)});
      faces.text.add(member.key, std::move(inner.text));
      faces.shown.add(member.key, std::move(inner.shown));
    }
    fill(entries_[index], faces);
    return faces;
  }

  std::vector<HandlerOptions::Entry> take() { return std::move(entries_); }
  bool good() const { return good_; }

 private:
  // {"a.b": 1, a: {b: 2}}
  void report_ambiguous(const Node& node) {
    good_ = false;
    options_.reading.problems->push_back({node.key_place, join_path(options_.key, node.path),
                                          "stands there twice, since \"a.b\" is b within a too",
                                          "expected another name for one of the two"});
  }

  static std::vector<std::string> member_names(const Tree& tree) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < tree.items.size(); ++i) names.push_back(std::to_string(i));
    for (const TreeMember& member : tree.members) names.push_back(member.key);
    return names;
  }

  static std::string below(const Node& node, const std::string& key) {
    return node.path.empty() ? key : node.path + "." + key;
  }

  Faces scalar(const Node& node) {
    const std::string& source = node.tree.text;
    const Given given{options_.reading, node.tree, join_path(options_.key, node.path)};
    const auto text = read_text(given, "");
    good_ = good_ && text;
    const std::string value = text ? text->value() : std::string();
    const bool mask = node.secret && !only_references(source);
    // What a reference stands for is text, even when it looks like a number.
    return {Tree::scalar(value, node.tree.plain && value == source),
            mask ? Tree::scalar(std::string(kMask), false) : Tree::scalar(source, node.tree.plain)};
  }

  static void fill(HandlerOptions::Entry& entry, const Faces& faces) {
    if (entry.null) return;
    entry.text = entry.scalar ? faces.text.text : to_yaml(faces.text);
    entry.shown = entry.scalar ? faces.shown.text : to_yaml(faces.shown);
  }

  const Given& options_;
  std::vector<HandlerOptions::Entry> entries_;
  std::set<std::string> paths_;
  bool good_ = true;
};

// Names at the top are looked up by the plugin, and "a.b" is b within a.
bool check_names(const Given& given) {
  bool good = true;
  for (const TreeMember& member : given.tree.members) {
    if (!member.key.empty() && member.key.find('.') == std::string::npos) continue;
    given.reading.problems->push_back({member.place, join_path(given.key, member.key),
                                       "is not the name of an option",
                                       "expected at least one character and no '.'"});
    good = false;
  }
  return good;
}

}  // namespace

const HandlerOptions::Entry* HandlerOptions::find(std::string_view path) const {
  const auto found = std::ranges::find(entries_, path, &Entry::path);
  return found == entries_.end() || found->null ? nullptr : &*found;
}

std::vector<const HandlerOptions::Entry*> HandlerOptions::top() const {
  std::vector<const Entry*> found;
  for (const Entry& entry : entries_)
    if (!entry.path.empty() && entry.path.find('.') == std::string::npos) found.push_back(&entry);
  return found;
}

bool read(const Given& given, HandlerOptions& value, Any) {
  if (given.tree.kind != Tree::Kind::map) {
    given.refuse_kind("expected the plugin's options, each with a value");
    return false;
  }
  if (!check_names(given)) return false;
  if (given.tree.members.empty()) {
    value = HandlerOptions();
    return true;
  }
  Builder builder(given);
  builder.build({given.tree, "", given.tree.place, false});
  if (builder.good()) value = HandlerOptions(builder.take());
  return builder.good();
}

}  // namespace fastmqttd
