// A PUBLISH packet as it is on the wire (MQTT 3.1.1 and 5.0, section 3.3), but for properties.
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
std::optional<PublishPacket> parse_publish(std::string_view packet, bool mqtt5 = false);

}  // namespace fastmqttd
