// A PUBLISH packet as it came over the wire before MQTT 5 (MQTT 3.1.1 section 3.3).
#pragma once

#include <optional>
#include <string_view>

namespace fastmqttd {

// Views into the packet.
struct PublishPacket {
  std::string_view topic;
  std::string_view payload;
  int qos = 0;
  bool retain = false;
  bool dup = false;
};

// Nothing when `packet` is no whole PUBLISH.
std::optional<PublishPacket> parse_publish(std::string_view packet);

}  // namespace fastmqttd
