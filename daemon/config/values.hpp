// One configured value: from the tree into its type, or a problem with its place.
//
// `read` leaves the value alone and reports when it does not fit; true when it was taken.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/schema.hpp"
#include "daemon/config/tree.hpp"
#include "daemon/config/words.hpp"

namespace fastmqttd {

// One pass over a tree.
struct Reading {
  std::vector<Problem>* problems;
  // Off while each file is checked by itself: what a later file replaces need not be readable.
  bool expand_references = true;
  // Rules between keys hold for all files together.
  bool check_combinations = true;
};

struct Given {
  Reading& reading;
  const Tree& tree;
  std::string key;  // its path: "mqtt.port"

  void report(std::string what, std::string expected) const;
  // "cannot be 'x': ..."
  void refuse(std::string expected) const;
  // The same without the text, where that could be a whole section whose colons were forgotten,
  // a password among it.
  void refuse_kind(std::string expected) const;
};

bool read(const Given& given, bool& value, Any);
bool read(const Given& given, int& value, Range range);
bool read(const Given& given, int& value, Workers workers);
bool read(const Given& given, std::uint16_t& value, Range range);
bool read(const Given& given, std::uint64_t& value, Range range);
bool read(const Given& given, std::optional<std::uint16_t>& value, Range range);
bool read(const Given& given, std::optional<std::uint32_t>& value, Range range);
bool read(const Given& given, std::uint64_t& value, Bytes bytes);
bool read(const Given& given, std::optional<std::uint32_t>& value, Attempts);
bool read(const Given& given, std::chrono::seconds& value, Range range);
bool read(const Given& given, std::optional<std::chrono::seconds>& value, Never);
bool read(const Given& given, Duration& value, Between between);
bool read(const Given& given, std::optional<Duration>& value, Between between);
bool read(const Given& given, std::optional<Text>& value, String rule);
bool read(const Given& given, std::optional<Text>& value, Path);
bool read(const Given& given, std::optional<ListenAddress>& value, Listen);
bool read(const Given& given, std::vector<Text>& value, Hosts);
bool read(const Given& given, std::vector<Text>& value, Names);
bool read(const Given& given, std::vector<std::string>& value, Directories);
bool read(const Given& given, std::string& value, PluginName);
bool read(const Given& given, TopicFilter& value, Filter filter);
bool read(const Given& given, HandlerOptions& value, Any);  // options.cpp

// Of an instance or a plugin.
bool is_name(std::string_view text);

// The text of a scalar with its references; nothing (and a report) when it has none to give.
// Without expand_references a text that has any comes back as written.
std::optional<Text> read_text(const Given& given, std::string_view expected);

template <class E>
requires requires { Words<E>::kAll; }
bool read(const Given& given, E& value, Any) {
  std::vector<std::string> offered;
  for (const Word<E>& word : Words<E>::kAll) {
    const bool given_word = given.tree.kind == Tree::Kind::scalar && given.tree.text == word.text;
    if (given_word && word.refused.empty()) {
      value = word.value;
      return true;
    }
    const bool first = &word == std::ranges::find(Words<E>::kAll, word.value, &Word<E>::value);
    if (first) offered.emplace_back(word.text);
  }
  std::string expected = "expected " + one_of(offered);
  for (const Word<E>& word : Words<E>::kAll)
    if (given.tree.text == word.text && !word.refused.empty())
      expected = std::string(word.refused) + ": " + expected;
  given.refuse(std::move(expected));
  return false;
}

template <class E>
requires requires { Words<E>::kAll; }
bool read(const Given& given, std::optional<E>& value, Any any) {
  E read_value{};
  if (!read(given, read_value, any)) return false;
  value = read_value;
  return true;
}

}  // namespace fastmqttd
