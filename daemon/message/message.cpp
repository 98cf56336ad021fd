#include "daemon/message/message.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>

namespace fastmqttd {

Message::Message(const Parts& parts)
    : topic_size_(parts.topic.size()),
      payload_size_(parts.payload.size()),
      properties_(parts.properties.begin(), parts.properties.end()),
      subscription_ids_(parts.subscription_ids.begin(), parts.subscription_ids.end()),
      received_ns_(parts.received_ns),
      id_(parts.id),
      qos_(static_cast<std::uint8_t>(parts.qos)),
      retain_(parts.retain),
      dup_(parts.dup) {
  std::size_t total = topic_size_ + payload_size_;
  for (const fastmqtt_property& p : properties_) total += p.name.size + p.value.size;
  bytes_.reserve(total);  // from here on data() stays where it is
  bytes_.append(parts.topic).append(parts.payload);
  const auto keep = [this](fastmqtt_view& view) {
    if (!view.data) return;
    const std::size_t start = bytes_.size();
    bytes_.append(view.data, view.size);
    view.data = bytes_.data() + start;
  };
  for (fastmqtt_property& p : properties_) {
    keep(p.name);
    keep(p.value);
  }
}

std::size_t Message::memory_bytes() const {
  return sizeof(Message) + bytes_.capacity() + properties_.capacity() * sizeof(fastmqtt_property) +
         subscription_ids_.capacity() * sizeof(std::uint32_t);
}

fastmqtt_message Message::view() const {
  fastmqtt_message view{};
  view.size = sizeof view;
  view.qos = qos_;
  view.retain = retain_;
  view.dup = dup_;
  view.topic = {bytes_.data(), topic_size_};
  view.payload = {bytes_.data() + topic_size_, payload_size_};
  view.properties = properties_.data();
  view.property_count = properties_.size();
  view.message_id = id_;
  view.received_ns = received_ns_;
  return view;
}

std::int64_t realtime_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

TimePoint arrival(const Message& message) {
  const std::int64_t age = std::max<std::int64_t>(realtime_ns() - message.received_ns(), 0);
  return Clock::now() - std::chrono::nanoseconds(age);
}

namespace {

std::atomic<std::uint64_t>& message_ids() {
  static std::atomic<std::uint64_t> next{static_cast<std::uint64_t>(realtime_ns())};
  return next;
}

}  // namespace

std::uint64_t next_message_id() { return message_ids()++; }

void message_ids_beyond(std::uint64_t id) {
  if (message_ids() <= id) message_ids() = id + 1;
}

}  // namespace fastmqttd
