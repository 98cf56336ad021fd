#include "tests/chaos/wire_watch.hpp"

namespace fastmqttd::testing {

WireWatch::WireWatch(std::uint16_t broker_port, const std::string& version)
    : mqtt5_(version == "5"),
      relay_(broker_port, [this](const WirePacket& packet) { look(packet); }) {}

Arrivals WireWatch::sent() const {
  const std::lock_guard lock(mutex_);
  return sent_;
}

Arrivals WireWatch::acknowledged() const {
  const std::lock_guard lock(mutex_);
  return acknowledged_;
}

void WireWatch::look(const WirePacket& packet) {
  const std::lock_guard lock(mutex_);
  if (!packet.from_client && packet.type() == kPublish) note_publish(packet);
  if (packet.from_client && (packet.type() == kPuback || packet.type() == kPubrec))
    note_acknowledgement(packet);
}

void WireWatch::note_publish(const WirePacket& packet) {
  PublishPacket publish = read_publish(packet.bytes, mqtt5_);
  sent_[publish.topic].push_back(publish.payload);
  if (publish.qos > 0) open_[{packet.connection, publish.id}] = std::move(publish);
}

void WireWatch::note_acknowledgement(const WirePacket& packet) {
  const std::string& bytes = packet.bytes;
  if (bytes.size() > 4 && static_cast<unsigned char>(bytes[4]) >= 0x80) return;
  const auto found = open_.find({packet.connection, bytes.substr(2, 2)});
  if (found == open_.end()) return;
  acknowledged_[found->second.topic].push_back(found->second.payload);
  open_.erase(found);
}

}  // namespace fastmqttd::testing
