// The visitor that reads: one map of the tree into one struct of the configuration.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/values.hpp"

namespace fastmqttd {

class SectionReader;

// Rules between the keys of one section; none unless there is an overload (reader.cpp).
void check(const SectionReader& s, const MqttConfig& c);
void check(const SectionReader& s, const TlsConfig& c);
void check(const SectionReader& s, const RetryConfig& c);
void check(const SectionReader& s, const SubscriptionConfig& c);
void check(const SectionReader& s, const ControlConfig& c);
void check(const SectionReader& s, const HandlerConfig& c);
template <class T>
void check(const SectionReader&, const T&) {}

class SectionReader {
 public:
  // `given` is a map or empty.
  explicit SectionReader(const Given& given) : given_(given) {}

  template <class T, class Rule>
  void key(std::string_view name, T& value, Rule rule) {
    take(name, [&](const Given& given) { return read(given, value, rule); });
  }
  template <class T>
  void section(std::string_view name, T& value) {
    take(name, [&](const Given& given) { return read_section(given, value); });
  }

  // The value of a key that was given and fits, else null.
  const Tree* good(std::string_view name) const {
    const auto found = good_.find(name);
    return found == good_.end() ? nullptr : found->second;
  }
  // Whether a key was given and does not fit; its default then says nothing.
  bool bad(std::string_view name) const {
    const TreeMember* member = given_.tree.find(name);
    return member != nullptr && !member->value.null() && good(name) == nullptr;
  }
  void report(const Place& place, std::string_view name, std::string what,
              std::string expected) const;
  bool check_combinations() const { return given_.reading.check_combinations; }
  const Given& given() const { return given_; }

  void report_unknown_keys() const;

  // Reads a whole section; false when it is none.  What is wrong inside is reported, yet the
  // section itself counts as read.
  template <class T>
  static bool read_section(const Given& given, T& value) {
    if (given.tree.kind != Tree::Kind::map && !given.tree.null()) {
      given.refuse_kind("expected keys, each with a value");
      return false;
    }
    SectionReader reader(given);
    describe(reader, value);
    reader.report_unknown_keys();
    check(reader, value);
    return true;
  }

 private:
  template <class F>
  void take(std::string_view name, F read_value) {
    known_.emplace_back(name);
    const TreeMember* member = given_.tree.find(name);
    if (member == nullptr || member->value.null()) return;
    const Given value{given_.reading, member->value, join_path(given_.key, name)};
    if (read_value(value)) good_.emplace(name, &member->value);
  }

  const Given& given_;
  std::vector<std::string> known_;
  std::map<std::string, const Tree*, std::less<>> good_;
};

bool read(const Given& given, std::optional<TlsConfig>& value, Any);
bool read(const Given& given, std::optional<std::vector<SubscriptionConfig>>& value, Any);
bool read(const Given& given, std::vector<HandlerConfig>& value, Any);

}  // namespace fastmqttd
