#include "daemon/config/yaml.hpp"

#include <yaml-cpp/yaml.h>
// Not in yaml.h: the parser's events, which come before any alias is unfolded.
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <sstream>
#include <unordered_map>

#include "daemon/base/units.hpp"
#include "daemon/config/words.hpp"

namespace fastmqttd {
namespace {

// Stops the parser; never leaves this file.
struct Stop {
  Problem problem;
};

// A collection that is still open, or (at the bottom) the document itself.
struct Frame {
  Tree value;
  YAML::anchor_t anchor = 0;
  bool flow = false;
  bool has_key = false;
  std::string key;
  Place key_place;
  std::unordered_map<std::string, std::size_t> seen;  // key to index of its member
};

struct Weight {
  std::size_t nodes = 0;
  std::size_t bytes = 0;
  int depth = 0;
};

Weight weigh(const Tree& tree) {
  Weight sum{1, tree.text.size(), 0};
  const auto add = [&](const Tree& child, std::size_t key_bytes) {
    const Weight w = weigh(child);
    sum.nodes += w.nodes;
    sum.bytes += w.bytes + key_bytes;
    sum.depth = std::max(sum.depth, w.depth);
  };
  for (const Tree& item : tree.items) add(item, 0);
  for (const TreeMember& member : tree.members) add(member.value, member.key.size());
  if (tree.kind == Tree::Kind::list || tree.kind == Tree::Kind::map) ++sum.depth;
  return sum;
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string file, std::vector<Problem>& problems)
      : file_(std::move(file)), problems_(problems), frames_(1) {}

  Tree take() {
    Tree& tree = frames_.front().value;
    if (tree.place.line == 0) tree.place = {file_, 1, 1};
    return std::move(tree);
  }

  // The innermost `[` or `{` that is still open; the parser does not say which one it misses.
  const Place* open_flow() const {
    return frames_.back().flow ? &frames_.back().value.place : nullptr;
  }

  // The last text in quotes.
  const Place& last_quoted() const { return last_quoted_; }

  Place place(const YAML::Mark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0)
      throw Stop{
          {place(mark), "", "a second document begins here", "expected one document in a file"}};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (expects_key()) stop(place(mark), "a key is empty", "expected a name before the ':'");
    if (anchor != 0)
      stop(place(mark), "is an anchor without a value",
           "put quotes around text that begins with '&'");
    spend({1, 0, 0}, place(mark));
    // The parser's mark for nothing is that of whatever follows.
    const Frame& frame = frames_.back();
    Tree tree;
    tree.place = frame.has_key ? frame.key_place : frame.value.place;
    put(std::move(tree), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (tag != "?" && tag != "!" && tag != "tag:yaml.org,2002:str") refuse_tag(mark);
    if (tag == "!") last_quoted_ = place(mark);
    if (expects_key()) return take_key(text, place(mark));
    spend({1, text.size(), 0}, place(mark));
    Tree tree = Tree::scalar(text, tag == "?");
    tree.place = place(mark);
    put(std::move(tree), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (expects_key()) stop(place(mark), "a key is an alias", "expected plain text");
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end())
      stop(place(mark), "an alias stands inside its own anchor", "expected a finished value");
    spend(weigh(found->second), place(mark));
    Tree copy = found->second;
    copy.place = place(mark);
    put(std::move(copy), 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(Tree::list(), mark, tag, anchor, style);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(Tree::map(), mark, tag, anchor, style);
  }
  void OnMapEnd() override { close(); }

 private:
  [[noreturn]] void stop(Place at, std::string what, std::string expected) const {
    throw Stop{{std::move(at), path(), std::move(what), std::move(expected)}};
  }

  // The tag is not shown: it may be a password that nobody quoted.
  [[noreturn]] void refuse_tag(const YAML::Mark& mark) const {
    stop(place(mark), "has a YAML tag", "put quotes around text that begins with '!'");
  }

  bool expects_key() const {
    return frames_.back().value.kind == Tree::Kind::map && !frames_.back().has_key;
  }

  // Where the parser is: "mqtt.port".
  std::string path() const {
    std::string text;
    for (const Frame& frame : frames_) {
      if (frame.has_key) text = join_path(text, frame.key);
      if (frame.value.kind == Tree::Kind::list)
        text = join_path(text, std::to_string(frame.value.items.size()));
    }
    return text;
  }

  void take_key(const std::string& key, Place at) {
    if (key.size() > kMaxYamlKeyBytes)
      stop(std::move(at), "a key is longer than " + std::to_string(kMaxYamlKeyBytes) + " bytes",
           "expected a shorter one");
    spend({0, key.size(), 0}, at);
    Frame& frame = frames_.back();
    const auto first = frame.seen.find(key);
    if (first != frame.seen.end())
      problems_.push_back(
          {at, join_path(path(), key), "duplicate key",
           "first given at " + to_string(frame.value.members[first->second].place)});
    frame.key = key;
    frame.key_place = std::move(at);
    frame.has_key = true;
  }

  void open(Tree tree, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YAML::EmitterStyle::value style) {
    tree.place = place(mark);
    if (tag != "?" && tag != "!" && !tag.empty()) refuse_tag(mark);
    if (expects_key())
      stop(tree.place, "a key is a list or a map",
           "expected plain text before the ':' (is a ']' or '}' missing?)");
    spend({1, 0, 1}, tree.place);
    Frame frame;
    frame.value = std::move(tree);
    frame.anchor = anchor;
    frame.flow = style == YAML::EmitterStyle::Flow;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    put(std::move(frame.value), frame.anchor);
  }

  int depth() const { return static_cast<int>(frames_.size()) - 1; }

  // Gives a finished value to the collection it belongs to.
  void put(Tree tree, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = tree;
    Frame& frame = frames_.back();
    if (frame.value.kind == Tree::Kind::list) {
      frame.value.items.push_back(std::move(tree));
    } else if (frame.value.kind != Tree::Kind::map) {
      frame.value = std::move(tree);
    } else {
      const auto [found, fresh] = frame.seen.emplace(frame.key, frame.value.members.size());
      if (fresh)
        frame.value.members.push_back({frame.key, frame.key_place, std::move(tree)});
      else  // reported already; what the second holds is still checked
        merge(frame.value.members[found->second].value, std::move(tree));
      frame.has_key = false;
    }
  }

  // Bounds what the file unfolds to, wherever it comes from.
  void spend(const Weight& weight, const Place& at) {
    nodes_ += weight.nodes;
    bytes_ += weight.bytes;
    if (depth() + weight.depth > kMaxYamlDepth)
      throw Stop{{at, "", "lists and maps are nested too deeply",
                  "expected at most " + std::to_string(kMaxYamlDepth) + " levels"}};
    if (nodes_ > kMaxYamlNodes || bytes_ > kMaxYamlUnfolded)
      throw Stop{{at, "", "the file unfolds to too much",
                  "expected at most " + std::to_string(kMaxYamlNodes) + " values and " +
                      format_size(kMaxYamlUnfolded) + " of text, aliases followed"}};
  }

  std::string file_;
  std::vector<Problem>& problems_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Tree> anchors_;
  std::size_t nodes_ = 0;
  std::size_t bytes_ = 0;
  int documents_ = 0;
  Place last_quoted_;
};

struct Hint {
  std::string_view message;  // of the library
  std::string_view text;
};

// What an operator most likely did.
const std::array kHints{
    Hint{YAML::ErrorMsg::MAP_VALUE, "a ':' cannot stand here; put quotes around text that has one"},
    Hint{YAML::ErrorMsg::END_OF_MAP, "the line does not fit the keys above it; check its indent"},
    Hint{YAML::ErrorMsg::END_OF_SEQ, "the line does not fit the list above it; check its indent"},
    Hint{YAML::ErrorMsg::END_OF_MAP_FLOW,
         "the '{' is not closed; within braces put quotes around ${...}"},
    Hint{YAML::ErrorMsg::END_OF_SEQ_FLOW, "the '[' is not closed"},
    Hint{YAML::ErrorMsg::FLOW_END, "it closes what is not open"},
    Hint{YAML::ErrorMsg::EOF_IN_SCALAR, "a quote is not closed"},
    Hint{YAML::ErrorMsg::TAB_IN_INDENTATION, "indent with spaces"},
    Hint{YAML::ErrorMsg::UNKNOWN_TOKEN, "put quotes around text that begins with @, ` or %"},
    Hint{YAML::ErrorMsg::UNKNOWN_ANCHOR, "put quotes around text that begins with '*'"},
};

bool tab_indents(const std::string& text, int line) {
  std::istringstream lines(text);
  std::string at;
  for (int i = 0; i <= line && std::getline(lines, at); ++i) continue;
  return at.find('\t') < at.find_first_not_of(" \t");
}

Problem syntax_problem(const YAML::Exception& error, const TreeBuilder& builder,
                       const std::string& text) {
  Problem problem{builder.place(error.mark), "", "is not valid YAML: " + printable(error.msg), ""};
  for (const Hint& hint : kHints)
    if (error.msg == hint.message) problem.expected = hint.text;
  if (tab_indents(text, error.mark.line)) problem.expected = "a tab cannot indent; use spaces";
  // At the end of the file the parser has no mark of its own.
  const bool unclosed =
      error.msg == YAML::ErrorMsg::END_OF_MAP_FLOW || error.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW;
  if (const Place* opened = builder.open_flow(); unclosed && opened != nullptr)
    problem.place = *opened;
  return problem;
}

// yaml-cpp 0.7 takes a quote that is never closed for one that ends with the last line, and so all
// that follows for text; without that line's end it does not.
bool ends_in_quotes(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == text.npos) return false;
  std::vector<Problem> none;
  TreeBuilder builder("", none);
  std::istringstream stream(text.substr(0, end + 1));
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) continue;
  } catch (const Stop&) {
  } catch (const YAML::Exception& error) {
    return error.msg == YAML::ErrorMsg::EOF_IN_SCALAR;
  }
  return false;
}

// What YAML readers, this one or another, might take for something else than text.
bool needs_quotes(const std::string& text) {
  static constexpr std::array<std::string_view, 8> kSpecial{"true", "false", "yes", "no",
                                                            "on",   "off",   "y",   "n"};
  std::string lower = text;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (text.empty() || std::ranges::find(kSpecial, lower) != kSpecial.end()) return true;
  const auto first = static_cast<unsigned char>(text.front());
  return std::isdigit(first) || first == '-' || first == '+' || first == '.' || lower == "null";
}

void emit_key(YAML::Emitter& out, const std::string& key) {
  if (needs_quotes(key)) out << YAML::DoubleQuoted;
  out << YAML::Key << key << YAML::Value;
}

void emit(YAML::Emitter& out, const Tree& tree) {
  switch (tree.kind) {
    case Tree::Kind::null: out << YAML::_Null(); break;
    case Tree::Kind::scalar:
      if (!tree.plain) out << YAML::DoubleQuoted;
      out << tree.text;
      break;
    case Tree::Kind::list:
      if (tree.items.empty()) out << YAML::Flow;
      out << YAML::BeginSeq;
      for (const Tree& item : tree.items) emit(out, item);
      out << YAML::EndSeq;
      break;
    case Tree::Kind::map:
      if (tree.members.empty()) out << YAML::Flow;
      out << YAML::BeginMap;
      for (const TreeMember& member : tree.members) {
        emit_key(out, member.key);
        emit(out, member.value);
      }
      out << YAML::EndMap;
      break;
  }
}

}  // namespace

Tree parse_yaml(const std::string& text, const std::string& file, std::vector<Problem>& problems) {
  TreeBuilder builder(file, problems);
  std::istringstream stream(text);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) continue;
    if (!ends_in_quotes(text)) return builder.take();
    problems.push_back({builder.last_quoted(), "", "is not valid YAML: a quote is not closed",
                        "expected one at the end of the text that begins here"});
  } catch (const Stop& stop) {
    problems.push_back(stop.problem);
  } catch (const YAML::Exception& error) {
    problems.push_back(syntax_problem(error, builder, text));
  }
  Tree empty;
  empty.place = {file, 1, 1};
  return empty;
}

std::string to_yaml(const Tree& tree) {
  YAML::Emitter out;
  out.SetNullFormat(YAML::TildeNull);
  emit(out, tree);
  return std::string(out.c_str(), out.size());
}

}  // namespace fastmqttd
