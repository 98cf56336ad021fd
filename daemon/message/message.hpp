// One received PUBLISH, owned: the only copy the daemon makes of it.
//
// Immutable once built, so every lane and thread may hold and read it through a MessagePtr.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/units.hpp"
#include "fastmqtt/handler.h"

namespace fastmqttd {

class Message {
 public:
  // What is copied; everything is borrowed for the constructor's call.
  struct Parts {
    std::string_view topic;
    std::string_view payload;
    int qos = 0;
    bool retain = false;
    bool dup = false;
    std::int64_t received_ns = 0;  // CLOCK_REALTIME
    std::uint64_t id = 0;          // stable, the same for every handler and attempt
    std::span<const fastmqtt_property> properties = {};
    std::span<const std::uint32_t> subscription_ids = {};  // MQTT 5.0 section 3.3.2.3.8
  };

  explicit Message(const Parts& parts);
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  std::string_view topic() const { return {bytes_.data(), topic_size_}; }
  std::string_view payload() const { return {bytes_.data() + topic_size_, payload_size_}; }
  int qos() const { return qos_; }
  bool retain() const { return retain_; }
  bool dup() const { return dup_; }
  std::int64_t received_ns() const { return received_ns_; }
  std::uint64_t id() const { return id_; }
  std::span<const fastmqtt_property> properties() const { return properties_; }
  std::span<const std::uint32_t> subscription_ids() const { return subscription_ids_; }
  // What it weighs in a queue that is bounded in bytes.
  std::size_t memory_bytes() const;

  // The message as a handler sees it, pointing into this one; the delivery's own fields are 0.
  fastmqtt_message view() const;

 private:
  std::string bytes_;  // topic, payload, then the texts of the properties
  std::size_t topic_size_;
  std::size_t payload_size_;
  std::vector<fastmqtt_property> properties_;  // their views point into bytes_
  std::vector<std::uint32_t> subscription_ids_;
  std::int64_t received_ns_;
  std::uint64_t id_;
  std::uint8_t qos_;
  bool retain_;
  bool dup_;
};

using MessagePtr = std::shared_ptr<const Message>;

std::int64_t realtime_ns();  // CLOCK_REALTIME
// When it arrived, or was published, on the clock that is not set: as the other one tells it now,
// and never later than now.
TimePoint arrival(const Message& message);
// An id for a message that has just arrived: greater than any before, in this run, in those that
// the clock tells apart, and than what message_ids_beyond() was told.
std::uint64_t next_message_id();
void message_ids_beyond(std::uint64_t id);

}  // namespace fastmqttd
