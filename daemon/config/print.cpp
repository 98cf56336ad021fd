#include "daemon/config/print.hpp"

#include <algorithm>

#include "daemon/config/schema.hpp"
#include "daemon/config/tree.hpp"
#include "daemon/config/yaml.hpp"

namespace fastmqttd {
namespace {

Tree quoted(std::string text) { return Tree::scalar(std::move(text), false); }
Tree plain(std::string text) { return Tree::scalar(std::move(text), true); }

Tree write(bool value, Any) { return plain(value ? "true" : "false"); }
Tree write(std::chrono::seconds value, Range) { return plain(std::to_string(value.count())); }
Tree write(Duration value, Between) { return plain(format_duration(value)); }
Tree write(std::uint64_t value, Bytes) { return plain(format_size(value)); }
Tree write(const std::string& value, PluginName) { return quoted(value); }

template <class T>
Tree write(const T& value, Range) {
  return plain(std::to_string(value));
}

Tree write(int value, Workers) { return plain(std::to_string(value)); }

template <class E>
requires requires { Words<E>::kAll; }
Tree write(E value, Any) { return plain(word_of(value)); }

template <class E>
requires requires { Words<E>::kAll; }
Tree write(const std::optional<E>& value, Any any) { return value ? write(*value, any) : Tree(); }

Tree write(const std::optional<ListenAddress>& value, Listen) {
  if (!value) return Tree();
  const bool v6 = value->host.find(':') != std::string::npos;
  return quoted((v6 ? "[" + value->host + "]" : value->host) + ":" + std::to_string(value->port));
}

Tree write(const std::optional<std::uint32_t>& value, Attempts) {
  return plain(value ? std::to_string(*value) : "unlimited");
}

template <class T>
Tree write(const std::optional<T>& value, Range) {
  return value ? plain(std::to_string(*value)) : Tree();
}

Tree write(const std::optional<std::chrono::seconds>& value, Never) {
  return plain(value ? format_duration(*value) : "never");
}

Tree write(const std::optional<Text>& value, Path) {
  return value ? quoted(value->source()) : Tree();
}

Tree write(const std::optional<Duration>& value, Between) {
  return value ? plain(format_duration(*value)) : Tree();
}

Tree write(const std::optional<Text>& value, String rule) {
  if (!value) return Tree();
  if (rule.secret && !only_references(value->source())) return quoted("********");
  return quoted(value->source());
}

Tree write(const std::vector<Text>& value, Names) {
  if (value.empty()) return Tree();
  Tree list = Tree::list();
  for (const Text& text : value) list.items.push_back(quoted(text.source()));
  return list;
}

Tree write(const std::vector<Text>& value, Hosts) {
  return value.size() == 1 ? quoted(value.front().source()) : write(value, Names{});
}

Tree write(const std::vector<std::string>& value, Directories) {
  Tree list = Tree::list();
  for (const std::string& path : value) list.items.push_back(quoted(escape_references(path)));
  return list;
}

Tree write(const TopicFilter& value, Filter filter) {
  return quoted(filter.written->empty() ? escape_references(value.text()) : *filter.written);
}

Tree write(const HandlerOptions& value, Any) {
  if (value.entries().empty()) return Tree::map();
  std::vector<Problem> none;  // it was written by to_yaml
  return parse_yaml(value.entries().front().shown, "", none);
}

Tree write(const std::optional<TlsConfig>& value, Any);
Tree write(const std::optional<std::vector<SubscriptionConfig>>& value, Any);
Tree write(const std::vector<HandlerConfig>& value, Any);

// The visitor: fills one map.
class SectionPrinter {
 public:
  template <class T, class Rule>
  void key(std::string_view name, const T& value, Rule rule) {
    map_.add(std::string(name), write(value, rule));
  }
  template <class T>
  void section(std::string_view name, T& value) {
    map_.add(std::string(name), print(value));
  }

  // A copy: `describe` is written for readers, which change what they visit.
  template <class T>
  static Tree print(T value) {
    SectionPrinter printer;
    describe(printer, value);
    return std::move(printer.map_);
  }

 private:
  Tree map_ = Tree::map();
};

Tree write(const std::optional<TlsConfig>& value, Any) {
  return value ? SectionPrinter::print(*value) : plain("false");
}

Tree write(const std::optional<std::vector<SubscriptionConfig>>& value, Any) {
  if (!value) return Tree();
  Tree list = Tree::list();
  for (const SubscriptionConfig& s : *value) list.items.push_back(SectionPrinter::print(s));
  return list;
}

Tree write(const std::vector<HandlerConfig>& value, Any) {
  Tree map = Tree::map();
  for (const HandlerConfig& handler : value) map.add(handler.name, SectionPrinter::print(handler));
  return map;
}

}  // namespace

std::string print_config(const Config& config) {
  return to_yaml(SectionPrinter::print(config)) + "\n";
}

}  // namespace fastmqttd
