// The configuration as plain values, with every default in one place.  Reading: reader.hpp;
// printing: print.hpp; the keys: schema.hpp.  No locks: built once, then only read.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/base/log.hpp"
#include "daemon/base/units.hpp"
#include "daemon/config/options.hpp"
#include "daemon/config/text.hpp"
#include "daemon/message/topic_filter.hpp"

namespace fastmqttd {

using namespace std::chrono_literals;

// Where something stands in the files: two configurations that differ in that alone are the same.
struct Whereabouts : Place {
  Whereabouts() = default;
  Whereabouts(Place place) : Place(std::move(place)) {}  // NOLINT(google-explicit-constructor)
  bool operator==(const Whereabouts&) const { return true; }
};

// MQTT protocol versions, by the number in CONNECT [MQTT-3.1.2-2].
enum class MqttVersion { v3_1 = 3, v3_1_1 = 4, v5 = 5 };

// The oldest version of TLS to speak.  Those before 1.2 have had their day (RFC 8996).
enum class TlsVersion { v1_2, v1_3 };

// How to speak TLS; the names are those of the YAML.
struct TlsConfig {
  std::optional<Text> ca_file;    // PEM; nothing, and no ca_path: the system's trust store
  std::optional<Text> ca_path;    // a directory as openssl-rehash(1) makes it
  std::optional<Text> cert_file;  // PEM, the chain of the client's certificate
  std::optional<Text> key_file;   // PEM; nothing: it is in cert_file
  std::optional<Text> key_password;
  std::optional<Text> ciphers;  // of TLS 1.2, in the form of openssl-ciphers(1)
  TlsVersion min_version = TlsVersion::v1_2;
  std::vector<Text> alpn;  // protocols, the most wanted first
  bool verify = true;      // the broker's certificate and its name
  Whereabouts place = {};  // of the section

  bool operator==(const TlsConfig&) const = default;
};

struct MqttConfig {
  std::vector<Text> host{Text("localhost")};  // tried in order
  std::uint16_t port = 0;                     // once read: 8883 with ssl, 1883 without
  std::optional<TlsConfig> ssl;
  std::chrono::seconds keepalive = 60s;  // 0 to 65535; 0 turns it off
  std::optional<Text> username;
  std::optional<Text> password;
  MqttVersion version = MqttVersion::v5;
  bool version_fallback = true;  // from 5 to 3.1.1
  Duration connect_timeout = 10s;
  std::optional<std::uint32_t> reconnect_retries;  // attempts in a row; nothing: unlimited
  Duration reconnect_delay = 1s;
  Duration reconnect_delay_max = 60s;
  std::optional<Text> will_message_topic;
  std::optional<Text> will_message_payload;
  int will_message_qos = 0;
  bool will_message_retain = false;
  std::chrono::seconds will_delay_interval = 0s;  // MQTT 5; of the status too
  std::optional<Text> status_topic;               // birth and will instead of will_message_topic
  std::optional<Text> client_id;  // default: from the machine id, see session/client_id.hpp
  bool clean_session = false;
  std::optional<std::chrono::seconds> session_expiry_interval;  // MQTT 5; nothing: never
  bool optimistic_acknowledgement = false;
  std::optional<std::uint16_t> receive_maximum;  // MQTT 5

  bool operator==(const MqttConfig&) const = default;
};

// What an acknowledged message survives.
enum class Durability {
  process,  // a crash or kill -9 of the daemon
  power,    // and of the machine
};

struct SpoolConfig {
  std::optional<Text> directory;  // default: see spool/state_directory.hpp
  Durability durability = Durability::process;
  std::uint64_t max_size = 1ull << 30;  // bytes

  bool operator==(const SpoolConfig&) const = default;
};

// One filter that a handler asks for, with the options of MQTT 5.0 section 3.8.3.1.
struct SubscriptionConfig {
  TopicFilter topic;
  int qos = 1;
  bool no_local = false;
  bool retain_as_published = false;
  int retain_handling_options = 0;
  std::optional<std::uint32_t> subscription_identifier = {};  // its messages carry it
  std::string written = {};  // the topic with its references, for printing; "" when it has none

  bool operator==(const SubscriptionConfig&) const = default;
};

// What becomes of a QoS 0 message when the queue is full.
enum class WhenFull { spool, drop_oldest, drop_newest };

struct QueueConfig {
  std::uint64_t messages = 10'000;
  std::uint64_t size = 64ull << 20;  // bytes
  WhenFull when_full = WhenFull::spool;

  bool operator==(const QueueConfig&) const = default;
};

struct RetryConfig {
  std::optional<std::uint32_t> attempts = 12;  // nothing: unlimited
  Duration delay = 1s;                         // before the second attempt; doubles up to
  Duration delay_max = 5min;
  std::optional<Duration> max_age;  // since arrival

  bool operator==(const RetryConfig&) const = default;
};

struct HandlerConfig {
  std::string name;   // of the instance
  Whereabouts place;  // of its entry; no file for a drop-in plugin without one
  std::string plugin;
  std::optional<std::vector<SubscriptionConfig>> subscribe;  // nothing: what the plugin declares
  HandlerOptions options;
  bool enabled = true;
  int workers = 1;  // instances, the topics spread over them
  Whereabouts workers_place = {};
  QueueConfig queue;
  RetryConfig retry;
  Duration timeout = 30s;               // of one call, or one pending answer
  std::optional<Duration> abort_after;  // of one call: then the daemon ends, to be restarted
  std::optional<log::Level> log_level;  // of lines about it; nothing: log.level
  bool skip_retained = false;

  bool operator==(const HandlerConfig&) const = default;
};

enum class LogTarget { automatic, journal, standard_error };

struct LogConfig {
  log::Level level = log::Level::info;
  LogTarget target = LogTarget::automatic;

  bool operator==(const LogConfig&) const = default;
};

// A path of a socket has no room for more bytes, see unix(7).
inline constexpr std::size_t kMostSocketPath = 107;

// Where something listens for TCP connections.
struct ListenAddress {
  std::string host;  // a name or an address
  std::uint16_t port = 0;

  bool operator==(const ListenAddress&) const = default;
};

// What is shown to browsers and scraped, to be read only.
struct HttpConfig {
  std::optional<ListenAddress> listen;
  Whereabouts place = {};  // of it

  bool operator==(const HttpConfig&) const = default;
};

// Where fastmqttctl finds the daemon.
struct ControlConfig {
  std::optional<Text> socket;  // default: see operate/control_socket.hpp
  Whereabouts place = {};      // of the socket

  bool operator==(const ControlConfig&) const = default;
};

struct Config {
  MqttConfig mqtt;
  SpoolConfig spool;
  std::vector<HandlerConfig> handlers;  // in the order of the files
  std::vector<std::string> plugin_directories;
  bool default_plugin_directories = true;  // they may be absent
  LogConfig log;
  HttpConfig http;
  ControlConfig control;
  Duration shutdown_timeout = 20s;
};

}  // namespace fastmqttd
