#include "daemon/config/reader.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <tuple>

#include "daemon/base/nearest.hpp"
#include "daemon/config/file.hpp"
#include "daemon/config/section.hpp"
#include "daemon/config/yaml.hpp"

namespace fastmqttd {

// ---- sections ----------------------------------------------------------------------------------

void SectionReader::report(const Place& place, std::string_view name, std::string what,
                           std::string expected) const {
  given_.reading.problems->push_back(
      {place, join_path(given_.key, name), std::move(what), std::move(expected)});
}

void SectionReader::report_unknown_keys() const {
  for (const TreeMember& member : given_.tree.members) {
    if (std::ranges::find(known_, member.key) != known_.end()) continue;
    // `password=xyz` without a colon is a key to YAML; xyz is not for a report.
    const std::string key = member.key.substr(0, member.key.find_first_of("= \t\n"));
    const std::string close = nearest(key, known_);
    report(member.place, key, "unknown key",
           (close.empty() ? "" : "did you mean '" + close + "'? ") +
               "(known: " + comma_list(known_) + ")");
  }
}

namespace {

// For two delays of which the second is the bound of the first.
void check_order(const SectionReader& s, std::string_view delay_name, Duration delay,
                 std::string_view max_name, Duration max) {
  if (!s.check_combinations() || s.bad(delay_name) || s.bad(max_name) || max >= delay) return;
  const bool max_given = s.good(max_name) != nullptr;
  const std::string_view name = max_given ? max_name : delay_name;
  s.report(s.good(name)->place, name,
           std::string(max_name) + " (" + format_duration(max) + ") is less than " +
               std::string(delay_name) + " (" + format_duration(delay) + ")",
           "expected it to be at least as long");
}

void check_will(const SectionReader& s, const MqttConfig& c) {
  const auto report_if = [&](std::string_view name, bool wrong, std::string what,
                             std::string expected) {
    if (const Tree* value = s.good(name); value != nullptr && wrong)
      s.report(value->place, name, std::move(what), std::move(expected));
  };
  const std::string what = c.status_topic ? "cannot be had together with status_topic"
                                          : "has no effect without will_message_topic";
  const std::string expected = c.status_topic ? "expected one of the two: the status is a will too"
                                              : "expected will_message_topic too";
  if (c.status_topic) report_if("will_message_topic", true, what, expected);
  if (c.will_message_topic || s.bad("will_message_topic") || s.bad("status_topic")) return;
  report_if("will_message_payload", c.will_message_payload.has_value(), what, expected);
  report_if("will_message_qos", c.will_message_qos != 0, what, expected);
  report_if("will_message_retain", c.will_message_retain, what, expected);
  if (c.status_topic) return;
  report_if("will_delay_interval", c.will_delay_interval > 0s, "has no effect without a will",
            "expected will_message_topic or status_topic too");
}

}  // namespace

void check(const SectionReader& s, const TlsConfig& c) {
  if (!s.check_combinations()) return;
  const auto needs = [&](std::string_view name, bool set, std::string_view other, bool other_set) {
    if (const Tree* value = s.good(name); value != nullptr && set && !other_set && !s.bad(other))
      s.report(value->place, name, "has no effect without " + std::string(other),
               "expected " + std::string(other) + " too");
  };
  needs("key_file", c.key_file.has_value(), "cert_file", c.cert_file.has_value());
  needs("key_password", c.key_password.has_value(), "cert_file", c.cert_file.has_value());
  if (c.ciphers && c.min_version == TlsVersion::v1_3)
    s.report(s.good("ciphers")->place, "ciphers",
             "are those of TLS 1.2, which min_version \"1.3\" rules out",
             "expected one of the two");
}

void check(const SectionReader& s, const MqttConfig& c) {
  if (!s.check_combinations()) return;
  check_order(s, "reconnect_delay", c.reconnect_delay, "reconnect_delay_max",
              c.reconnect_delay_max);
  check_will(s, c);
  for (const Text& host : c.host)
    if (const Tree* given = s.good("host");
        given && c.ssl && c.ssl->verify && host.value().find(':') != std::string::npos)
      s.report(
          given->place, "host",
          "has the IPv6 address " + host.value() + ", which cannot be compared with a certificate",
          "expected a name, or an IPv4 address");
  const bool sure = !s.bad("version") && !s.bad("username");
  if (sure && c.version != MqttVersion::v5 && c.password && !c.username)
    s.report(s.good("password")->place, "password",
             "needs a username in MQTT versions before 5 [MQTT-3.1.2-22]",
             "expected username too, or version: 5");
}

void check(const SectionReader& s, const RetryConfig& c) {
  check_order(s, "delay", c.delay, "delay_max", c.delay_max);
}

void check(const SectionReader& s, const SubscriptionConfig& c) {
  if (s.good("topic") == nullptr && !s.bad("topic"))
    s.report(s.given().tree.place, "topic", "is missing", "expected a topic filter");
  if (c.no_local && s.good("topic") != nullptr && c.topic.shared())
    s.report(s.good("no_local")->place, "no_local",
             "cannot be true for a shared subscription [MQTT-3.8.3-4]", "expected false");
}

void check(const SectionReader& s, const HandlerConfig& c) {
  if (c.abort_after) check_order(s, "timeout", c.timeout, "abort_after", *c.abort_after);
}

void check(const SectionReader& s, const ControlConfig& c) {
  if (c.socket && c.socket->value().size() > kMostSocketPath)
    s.report(c.place, "socket",
             "is too long for a socket (" + std::to_string(c.socket->value().size()) + " bytes)",
             "expected at most " + std::to_string(kMostSocketPath));
}

// ---- values that hold sections -----------------------------------------------------------------

namespace {

std::optional<SubscriptionConfig> read_subscription(const Given& given) {
  SubscriptionConfig subscription{TopicFilter("#")};
  if (given.tree.kind == Tree::Kind::map) {
    SectionReader::read_section(given, subscription);
  } else if (!read(given, subscription.topic, Filter{&subscription.written})) {
    return std::nullopt;
  }
  return subscription;
}

std::optional<HandlerConfig> read_handler(Reading& reading, const TreeMember& member,
                                          const std::string& path) {
  HandlerConfig handler;
  handler.name = handler.plugin = member.key;
  handler.place = member.place;
  const std::string key = join_path(path, member.key);
  if (!is_name(member.key)) {
    reading.problems->push_back({member.place, key, "is not a name for a handler",
                                 "expected small letters, digits, '_' and '-'"});
    return std::nullopt;
  }
  SectionReader::read_section({reading, member.value, key}, handler);
  return handler;
}

}  // namespace

bool read(const Given& given, std::optional<TlsConfig>& value, Any) {
  if (given.tree.kind == Tree::Kind::map) {
    value.emplace().place = given.tree.place;
    return SectionReader::read_section(given, *value);
  }
  constexpr const char* kExpected =
      "expected true, false, or keys such as ca_file, each with a value";
  if (given.tree.kind != Tree::Kind::scalar || !given.tree.plain) {
    given.refuse_kind(kExpected);
    return false;
  }
  bool on = false;
  std::vector<Problem> ignored;  // it is said better here
  Reading reading{&ignored};
  if (!read(Given{reading, given.tree, given.key}, on, Any{})) {
    given.refuse(kExpected);
    return false;
  }
  value.reset();
  if (on) value.emplace().place = given.tree.place;
  return true;
}

bool read(const Given& given, std::optional<std::vector<SubscriptionConfig>>& value, Any) {
  std::vector<SubscriptionConfig> subscriptions;
  const auto add = [&](const Given& item) {
    auto subscription = read_subscription(item);
    if (subscription) subscriptions.push_back(std::move(*subscription));
    return subscription.has_value();
  };
  bool good = true;
  if (given.tree.kind != Tree::Kind::list) good = add(given);
  for (std::size_t i = 0; i < given.tree.items.size(); ++i)
    good =
        add({given.reading, given.tree.items[i], join_path(given.key, std::to_string(i))}) && good;
  if (given.tree.kind == Tree::Kind::list && given.tree.items.empty()) {
    given.report("is an empty list",
                 "expected a topic filter; leave the key out for those of the plugin");
    return false;
  }
  if (good) value = std::move(subscriptions);
  return good;
}

bool read(const Given& given, std::vector<HandlerConfig>& value, Any) {
  if (given.tree.kind != Tree::Kind::map) {
    given.refuse_kind("expected names of handlers, each with its keys");
    return false;
  }
  value.clear();
  for (const TreeMember& member : given.tree.members)
    if (auto handler = read_handler(given.reading, member, given.key))
      value.push_back(std::move(*handler));
  return true;
}

// ---- files -------------------------------------------------------------------------------------

namespace {

namespace fs = std::filesystem;

// The main file and those of conf.d, as far as they are there.
std::vector<std::string> config_files(const fs::path& file, std::vector<Problem>& problems) {
  std::vector<std::string> parts;
  const fs::path directory = file.parent_path() / "conf.d";
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.ends_with(".yaml") && !name.starts_with('.')) parts.push_back(entry->path().string());
  }
  if (error && error != std::errc::no_such_file_or_directory)
    problems.push_back({{directory.string()},
                        "",
                        "cannot be listed: " + error.message(),
                        "expected a directory, or none"});
  std::ranges::sort(parts);
  parts.insert(parts.begin(), file.string());
  return parts;
}

std::optional<Tree> read_file(const std::string& file, std::vector<Problem>& problems) {
  try {
    const RegularFile opened = open_regular(file);
    if (const std::string reason = unsafe_reason(opened.status); !reason.empty()) {
      problems.push_back({{file},
                          "",
                          reason,
                          "expected a file of root or of the daemon's user that only its owner "
                          "and group may write",
                          true});
      return std::nullopt;
    }
    return parse_yaml(read_all(opened, kMaxYamlBytes), file, problems);
  } catch (const std::runtime_error& error) {
    problems.push_back({{file}, "", error.what(), "expected a YAML file"});
    return std::nullopt;
  }
}

// An entry may stand in several files, but with one plugin: of two it is a name that was taken
// twice, and what runs would have the options of both.
void report_other_plugins(const Tree& earlier, const Tree& later, std::vector<Problem>& problems) {
  const TreeMember* const before = earlier.find("handlers");
  const TreeMember* const after = later.find("handlers");
  if (!before || !after) return;
  for (const TreeMember& entry : after->value.members) {
    const TreeMember* const known = before->value.find(entry.key);
    const TreeMember* const old = known ? known->value.find("plugin") : nullptr;
    const TreeMember* const other = entry.value.find("plugin");
    if (!old || !other || old->value.null() || other->value.null()) continue;
    if (old->value.text == other->value.text) continue;
    problems.push_back({other->value.place, join_path(join_path("handlers", entry.key), "plugin"),
                        "is another one than at " + to_string(old->value.place),
                        "expected one plugin for an entry, or another name for one of the two"});
  }
}

Config read_tree(const Tree& tree, Reading reading) {
  Config config;
  config.plugin_directories = default_plugin_directories();
  SectionReader::read_section({reading, tree, ""}, config);
  if (config.mqtt.port == 0) config.mqtt.port = config.mqtt.ssl ? 8883 : 1883;
  // Written out they are still the defaults, so that a printed config means the same.
  config.default_plugin_directories = config.plugin_directories == default_plugin_directories();
  return config;
}

// In the order of the files and their lines, each problem once: what stands in one file and holds
// for all of them was found twice.
void put_in_order(std::vector<Problem>& problems, const std::vector<std::string>& files) {
  const auto rank = [&](const Problem& p) {
    return std::tuple(std::ranges::find(files, p.place.file) - files.begin(), p.place.line,
                      p.place.column);
  };
  std::ranges::stable_sort(problems, {}, rank);
  std::vector<Problem> once;
  for (Problem& problem : problems) {
    const auto other_place = [&](const Problem& p) { return p.place != problem.place; };
    const auto here = std::find_if(once.rbegin(), once.rend(), other_place);
    const auto same = [&](const Problem& p) { return to_string(p) == to_string(problem); };
    if (std::none_of(once.rbegin(), here, same)) once.push_back(std::move(problem));
  }
  problems = std::move(once);
}

}  // namespace

Config read_config(const fs::path& file, std::vector<Problem>& all_problems) {
  std::vector<Problem> problems;
  const std::vector<std::string> files = config_files(file, problems);
  Tree merged;
  merged.place = {file.string(), 1, 1};
  // Each file by itself first: a mistake is one even where a later file replaces it.
  for (const std::string& name : files) {
    std::optional<Tree> tree = read_file(name, problems);
    if (!tree) continue;
    read_tree(*tree, {&problems, false, false});
    report_other_plugins(merged, *tree, problems);
    merge(merged, std::move(*tree));
  }
  Config config = read_tree(merged, {&problems, true, true});
  put_in_order(problems, files);
  std::ranges::move(problems, std::back_inserter(all_problems));
  return config;
}

Config read_config(const fs::path& file) {
  std::vector<Problem> problems;
  Config config = read_config(file, problems);
  if (!problems.empty()) throw StartError(std::move(problems));
  return config;
}

}  // namespace fastmqttd
