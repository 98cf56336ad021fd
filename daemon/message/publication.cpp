#include "daemon/message/publication.hpp"

#include <span>

#include "daemon/base/utf8.hpp"
#include "daemon/message/topic_filter.hpp"
#include "daemon/message/view.hpp"

namespace fastmqttd {
namespace {

// What the Remaining Length of a packet can hold [MQTT 5.0 section 2.1.4], less some for the rest.
constexpr std::size_t kMaxBytes = (1u << 28) - 1 - 16;
constexpr std::size_t kMaxBinary = 65535;

bool broken(fastmqtt_view view) { return view.data == nullptr && view.size > 0; }

std::string string_error(const char* name, fastmqtt_view view) {
  if (const char* error = mqtt_string_error(text_of(view))) return std::string(name) + " " + error;
  return {};
}

std::string property_error(const fastmqtt_property& p) {
  if (broken(p.name) || broken(p.value)) return "a property has a size without data";
  switch (p.id) {
    case FASTMQTT_PAYLOAD_FORMAT_INDICATOR:
      return p.number > 1 ? "the payload format indicator is 0 or 1" : "";
    case FASTMQTT_MESSAGE_EXPIRY_INTERVAL: return {};
    case FASTMQTT_CONTENT_TYPE: return string_error("a content type", p.value);
    case FASTMQTT_RESPONSE_TOPIC:
      if (const std::string error = topic_name_error(text_of(p.value)); !error.empty())
        return "the response topic: " + error;
      return {};
    case FASTMQTT_CORRELATION_DATA:
      return p.value.size > kMaxBinary ? "correlation data has at most 65535 bytes" : "";
    case FASTMQTT_USER_PROPERTY: {
      std::string error = string_error("a user property's name", p.name);
      return error.empty() ? string_error("a user property's value", p.value) : error;
    }
    case FASTMQTT_SUBSCRIPTION_IDENTIFIER:
      return "a subscription identifier is not for a client to send [MQTT-3.3.4-6]";
    case FASTMQTT_TOPIC_ALIAS: return "topic aliases are the daemon's own";
    default: break;
  }
  return "a PUBLISH has no property " + std::to_string(p.id);
}

}  // namespace

std::string publication_error(const fastmqtt_message& message) {
  if (!FASTMQTT_HAS(fastmqtt_message, &message, property_count))
    return "its size is " + std::to_string(message.size) + ": set it to sizeof(fastmqtt_message)";
  if (message.qos > 2) return "QoS is 0, 1 or 2";
  if (broken(message.topic) || broken(message.payload) ||
      (message.properties == nullptr && message.property_count > 0))
    return "it has a size without data";
  if (std::string error = topic_name_error(text_of(message.topic)); !error.empty()) return error;
  std::size_t bytes = message.topic.size + message.payload.size;
  std::uint64_t seen = 0;  // a bit an identifier; they lie below 64
  for (const fastmqtt_property& p : std::span(message.properties, message.property_count)) {
    if (std::string error = property_error(p); !error.empty()) return error;
    if (p.id != FASTMQTT_USER_PROPERTY && (seen >> p.id & 1) != 0)
      return "property " + std::to_string(p.id) + " stands there twice";
    seen |= 1ull << p.id;
    bytes += 5 + p.name.size + p.value.size;
  }
  if (bytes > kMaxBytes) return "it is larger than any MQTT packet, 256 MiB";
  return {};
}

MessagePtr copy_publication(const fastmqtt_message& message) {
  return std::make_shared<Message>(
      Message::Parts{.topic = text_of(message.topic),
                     .payload = text_of(message.payload),
                     .qos = message.qos,
                     .retain = message.retain != 0,
                     .received_ns = realtime_ns(),
                     .properties = std::span(message.properties, message.property_count)});
}

std::size_t packet_bytes(const Message& message) {
  // Fixed header 5, topic length 2, packet identifier 2, property length 4.
  std::size_t bytes = 13 + message.topic().size() + message.payload().size();
  for (const fastmqtt_property& p : message.properties()) bytes += 5 + p.name.size + p.value.size;
  return bytes;
}

}  // namespace fastmqttd
