// Every key of the configuration: one line a key, one `describe` a struct.
//
// A visitor S has key(name, value, rule) and section(name, struct); reader.cpp reads with it,
// print.cpp prints with it, KeyNames lists.  A key that is not here does not exist.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/build_info.hpp"
#include "daemon/config/config.hpp"

namespace fastmqttd {

// ---- rules: what a value has to be beyond its type ---------------------------------------------

struct Any {};
struct Range {  // of a whole number, or of a duration in whole seconds
  std::int64_t min;
  std::int64_t max;
};
// Of an interval that MQTT 5 has four bytes for; Paho can send no more of them: 68 years.
inline constexpr std::int64_t kMostSeconds = 2'147'483'647;
struct Between {  // of a duration
  Duration min;
  Duration max;
};
struct Bytes {  // of a size
  std::uint64_t min;
  std::uint64_t max;
};
struct String {
  bool secret = false;
  bool topic = false;  // a topic name
  bool bytes = false;  // null characters will do
  std::size_t min = 0;
  std::size_t max = 65535;  // an MQTT string counts its bytes in 16 bits [MQTT-1.5.4]
};
struct Filter {
  std::string* written;  // the filter's text with its references
};
struct Workers {
  std::int64_t min;
  std::int64_t max;
  Place* place;  // where it stands: whether it can be had is the plugin's to say
};
struct Hosts {};
struct Names {};           // a list of text
struct Path {              // absolute
  Place* place = nullptr;  // where it stands: whether it can be had shows later
};
struct Listen {  // host:port
  Place* place;
};
struct Never {};        // a duration in whole seconds, or `never`
struct Attempts {};     // 1 or more, or `unlimited`
struct PluginName {};   // also of an instance
struct Directories {};  // absolute paths

inline constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789_-";

// ---- words: the texts of the enumerations ------------------------------------------------------

template <class E>
struct Word {
  std::string_view text;
  E value;
  std::string_view refused = {};  // why a word that exists elsewhere cannot be had here
};

// For each value the first word is the one that is printed and offered.
template <class E>
struct Words;

template <>
struct Words<MqttVersion> {
  using enum MqttVersion;
  static constexpr std::array<Word<MqttVersion>, 9> kAll{{{"5", v5},
                                                          {"5.0", v5},
                                                          {"MQTTv50", v5},
                                                          {"3.1.1", v3_1_1},
                                                          {"MQTTv311", v3_1_1},
                                                          {"4", v3_1_1},
                                                          {"3.1", v3_1},
                                                          {"MQTTv31", v3_1},
                                                          {"3", v3_1}}};
};

template <>
struct Words<TlsVersion> {
  using enum TlsVersion;
  static constexpr std::string_view kOld = "OpenSSL 3 does not speak it safely any more";
  static constexpr std::array<Word<TlsVersion>, 4> kAll{
      {{"1.2", v1_2}, {"1.3", v1_3}, {"1.0", v1_2, kOld}, {"1.1", v1_2, kOld}}};
};

template <>
struct Words<Durability> {
  static constexpr std::array<Word<Durability>, 2> kAll{
      {{"process", Durability::process}, {"power", Durability::power}}};
};

template <>
struct Words<WhenFull> {
  static constexpr std::array<Word<WhenFull>, 3> kAll{{{"spool", WhenFull::spool},
                                                       {"drop_oldest", WhenFull::drop_oldest},
                                                       {"drop_newest", WhenFull::drop_newest}}};
};

template <>
struct Words<log::Level> {
  using enum log::Level;
  static constexpr std::array<Word<log::Level>, 4> kAll{
      {{"debug", debug}, {"info", info}, {"warning", warning}, {"error", error}}};
};

template <>
struct Words<LogTarget> {
  static constexpr std::array<Word<LogTarget>, 3> kAll{{{"auto", LogTarget::automatic},
                                                        {"journal", LogTarget::journal},
                                                        {"stderr", LogTarget::standard_error}}};
};

template <class E>
std::string word_of(E value) {
  return std::string(std::ranges::find(Words<E>::kAll, value, &Word<E>::value)->text);
}

enum class Isolation { none };

template <>
struct Words<Isolation> {
  static constexpr std::array<Word<Isolation>, 2> kAll{
      {{"none", Isolation::none},
       {"process", Isolation::none, "it is reserved and not built yet"}}};
};

// ---- the keys ----------------------------------------------------------------------------------

template <class S>
void describe(S& s, TlsConfig& c) {
  s.key("ca_file", c.ca_file, Path{});
  s.key("ca_path", c.ca_path, Path{});
  s.key("cert_file", c.cert_file, Path{});
  s.key("key_file", c.key_file, Path{});
  s.key("key_password", c.key_password, String{.secret = true});
  s.key("ciphers", c.ciphers, String{.min = 1});
  s.key("min_version", c.min_version, Any{});
  s.key("alpn", c.alpn, Names{});
  s.key("verify", c.verify, Any{});
}

template <class S>
void describe(S& s, MqttConfig& c) {
  s.key("host", c.host, Hosts{});
  s.key("port", c.port, Range{1, 65535});
  s.key("ssl", c.ssl, Any{});
  s.key("keepalive", c.keepalive, Range{0, 65535});
  s.key("username", c.username, String{});
  s.key("password", c.password, String{.secret = true, .bytes = true});
  s.key("version", c.version, Any{});
  s.key("version_fallback", c.version_fallback, Any{});
  s.key("connect_timeout", c.connect_timeout, Between{1s, 10min});
  s.key("reconnect_retries", c.reconnect_retries, Attempts{});
  s.key("reconnect_delay", c.reconnect_delay, Between{1ms, 24h});
  s.key("reconnect_delay_max", c.reconnect_delay_max, Between{1ms, 24h});
  s.key("will_message_topic", c.will_message_topic, String{.topic = true});
  s.key("will_message_payload", c.will_message_payload, String{.bytes = true});
  s.key("will_message_qos", c.will_message_qos, Range{0, 2});
  s.key("will_message_retain", c.will_message_retain, Any{});
  s.key("will_delay_interval", c.will_delay_interval, Range{0, kMostSeconds});
  s.key("status_topic", c.status_topic, String{.topic = true});
  s.key("client_id", c.client_id, String{.min = 1});
  s.key("clean_session", c.clean_session, Any{});
  s.key("session_expiry_interval", c.session_expiry_interval, Never{});
  s.key("optimistic_acknowledgement", c.optimistic_acknowledgement, Any{});
  s.key("receive_maximum", c.receive_maximum, Range{1, 65535});
}

template <class S>
void describe(S& s, SpoolConfig& c) {
  s.key("directory", c.directory, Path{});
  s.key("durability", c.durability, Any{});
  s.key("max_size", c.max_size, Bytes{1 << 20, 1ull << 50});
}

template <class S>
void describe(S& s, SubscriptionConfig& c) {
  s.key("topic", c.topic, Filter{&c.written});
  s.key("qos", c.qos, Range{0, 2});
  s.key("no_local", c.no_local, Any{});
  s.key("retain_as_published", c.retain_as_published, Any{});
  s.key("retain_handling_options", c.retain_handling_options, Range{0, 2});
  s.key("subscription_identifier", c.subscription_identifier, Range{1, 268'435'455});
}

template <class S>
void describe(S& s, QueueConfig& c) {
  s.key("messages", c.messages, Range{1, 100'000'000});
  s.key("size", c.size, Bytes{1 << 10, 1ull << 40});
  s.key("when_full", c.when_full, Any{});
}

template <class S>
void describe(S& s, RetryConfig& c) {
  s.key("attempts", c.attempts, Attempts{});
  s.key("delay", c.delay, Between{1ms, 24h});
  s.key("delay_max", c.delay_max, Between{1ms, 7 * 24h});
  s.key("max_age", c.max_age, Between{1ms, 10 * 366 * 24h});
}

template <class S>
void describe(S& s, HandlerConfig& c) {
  Isolation isolation = Isolation::none;
  s.key("plugin", c.plugin, PluginName{});
  s.key("subscribe", c.subscribe, Any{});
  s.key("options", c.options, Any{});
  s.key("enabled", c.enabled, Any{});
  s.key("workers", c.workers, Workers{1, 64, &c.workers_place});
  s.section("queue", c.queue);
  s.section("retry", c.retry);
  s.key("timeout", c.timeout, Between{1ms, 24h});
  s.key("abort_after", c.abort_after, Between{1ms, 24h});
  s.key("log_level", c.log_level, Any{});
  s.key("skip_retained", c.skip_retained, Any{});
  s.key("isolation", isolation, Any{});
}

template <class S>
void describe(S& s, LogConfig& c) {
  s.key("level", c.level, Any{});
  s.key("target", c.target, Any{});
}

template <class S>
void describe(S& s, HttpConfig& c) {
  s.key("listen", c.listen, Listen{&c.place});
}

template <class S>
void describe(S& s, ControlConfig& c) {
  s.key("socket", c.socket, Path{&c.place});
}

template <class S>
void describe(S& s, Config& c) {
  s.section("mqtt", c.mqtt);
  s.section("spool", c.spool);
  s.key("handlers", c.handlers, Any{});
  s.key("plugin_directories", c.plugin_directories, Directories{});
  s.section("log", c.log);
  s.section("http", c.http);
  s.section("control", c.control);
  s.key("shutdown_timeout", c.shutdown_timeout, Between{0ms, 1h});
}

inline std::vector<std::string> default_plugin_directories() {
  return {build::kHandlerDirectory, build::kSiteHandlerDirectory};
}

// ---- the visitor that lists --------------------------------------------------------------------

// "mqtt.host", "handlers.*.plugin", "handlers.*.subscribe.*.topic"; sections themselves too.
class KeyNames {
 public:
  template <class T, class Rule>
  void key(std::string_view name, T& value, Rule) {
    add(name);
    within(name, value);
  }
  template <class T>
  void section(std::string_view name, T& value) {
    add(name);
    nested(std::string(name) + ".", value);
  }

  const std::vector<std::string>& names() const { return names_; }

  static std::vector<std::string> all() {
    KeyNames keys;
    Config config;
    describe(keys, config);
    return keys.names();
  }

 private:
  void add(std::string_view name) { names_.push_back(prefix_ + std::string(name)); }

  template <class T>
  void nested(const std::string& prefix, T& value) {
    const std::string before = prefix_;
    prefix_ += prefix;
    describe(*this, value);
    prefix_ = before;
  }
  template <class T>
  void within(std::string_view, T&) {}
  void within(std::string_view name, std::optional<TlsConfig>&) {
    TlsConfig tls;
    nested(std::string(name) + ".", tls);
  }
  void within(std::string_view name, std::vector<HandlerConfig>&) {
    HandlerConfig handler;
    nested(std::string(name) + ".*.", handler);
  }
  void within(std::string_view name, std::optional<std::vector<SubscriptionConfig>>&) {
    SubscriptionConfig subscription{TopicFilter("#")};
    nested(std::string(name) + ".*.", subscription);
  }

  std::string prefix_;
  std::vector<std::string> names_;
};

}  // namespace fastmqttd
