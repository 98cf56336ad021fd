// The configuration as plain values, with every default in one place.  Reading: reader.hpp;
// printing: print.hpp; the keys: schema.hpp.  No locks: built once, then only read.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/base/log.hpp"
#include "daemon/base/units.hpp"
#include "daemon/config/options.hpp"
#include "daemon/config/text.hpp"
#include "daemon/message/topic_filter.hpp"

namespace fastmqttd {

using namespace std::chrono_literals;

// MQTT protocol versions, by the number in CONNECT [MQTT-3.1.2-2].
enum class MqttVersion { v3_1 = 3, v3_1_1 = 4, v5 = 5 };

struct MqttConfig {
  std::vector<Text> host{Text("localhost")};  // tried in order
  std::uint16_t port = 1883;
  std::chrono::seconds keepalive = 60s;  // 0 to 65535; 0 turns it off
  std::optional<Text> username;
  std::optional<Text> password;
  MqttVersion version = MqttVersion::v5;
  Duration connect_timeout = 10s;
  Duration reconnect_delay = 1s;
  Duration reconnect_delay_max = 60s;
  std::optional<Text> will_message_topic;
  std::optional<Text> will_message_payload;
  int will_message_qos = 0;
  bool will_message_retain = false;
  std::optional<Text> client_id;  // default: from the machine id, see session/client_id.hpp
  bool clean_session = false;
};

// One filter that a handler asks for, with the options of MQTT 5.0 section 3.8.3.1.
struct SubscriptionConfig {
  TopicFilter topic;
  int qos = 1;
  bool no_local = false;
  bool retain_as_published = false;
  int retain_handling_options = 0;
  std::string written = {};  // the topic with its references, for printing; "" when it has none
};

// What becomes of a QoS 0 message when the queue is full.
enum class WhenFull { drop_oldest, drop_newest };

struct QueueConfig {
  std::uint64_t messages = 10'000;
  std::uint64_t size = 64ull << 20;  // bytes
  WhenFull when_full = WhenFull::drop_oldest;
};

struct RetryConfig {
  std::optional<std::uint32_t> attempts = 12;  // nothing: unlimited
  Duration delay = 1s;                         // before the second attempt; doubles up to
  Duration delay_max = 5min;
  std::optional<Duration> max_age;  // since arrival
};

struct HandlerConfig {
  std::string name;  // of the instance
  Place place;       // of its entry; no file for a drop-in plugin without one
  std::string plugin;
  std::optional<std::vector<SubscriptionConfig>> subscribe;  // nothing: what the plugin declares
  HandlerOptions options;
  bool enabled = true;
  int workers = 1;  // instances, the topics spread over them
  Place workers_place = {};
  QueueConfig queue;
  RetryConfig retry;
  Duration timeout = 30s;  // of one call, or one pending answer
  bool skip_retained = false;
};

enum class LogTarget { automatic, journal, standard_error };

struct LogConfig {
  log::Level level = log::Level::info;
  LogTarget target = LogTarget::automatic;
};

struct Config {
  MqttConfig mqtt;
  std::vector<HandlerConfig> handlers;  // in the order of the files
  std::vector<std::string> plugin_directories;
  bool default_plugin_directories = true;  // they may be absent
  LogConfig log;
  Duration shutdown_timeout = 20s;
};

}  // namespace fastmqttd
