#include "daemon/operate/dead_letter_json.hpp"

#include <openssl/evp.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/base/utf8.hpp"
#include "daemon/base/wall_time.hpp"
#include "daemon/message/view.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // it ends in a null character
  const int length = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                       reinterpret_cast<const unsigned char*>(bytes.data()),
                                       static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

void add_bytes(Json& to, const std::string& key, const std::string& encoding_key,
               std::string_view bytes) {
  const bool text = is_utf8(bytes);
  to[key] = text ? std::string(bytes) : base64(bytes);
  to[encoding_key] = text ? "text" : "base64";
}

Json properties_json(const Message& message) {
  Json all = Json::object();
  for (const fastmqtt_property& p : message.properties()) {
    const std::string text(text_of(p.value));
    switch (p.id) {
      case FASTMQTT_PAYLOAD_FORMAT_INDICATOR: all["payload_format_indicator"] = p.number; break;
      case FASTMQTT_MESSAGE_EXPIRY_INTERVAL: all["message_expiry_interval"] = p.number; break;
      case FASTMQTT_CONTENT_TYPE: all["content_type"] = text; break;
      case FASTMQTT_RESPONSE_TOPIC: all["response_topic"] = text; break;
      case FASTMQTT_CORRELATION_DATA:
        add_bytes(all, "correlation_data", "correlation_data_encoding", text);
        break;
      case FASTMQTT_USER_PROPERTY:
        all["user_properties"].push_back({{"name", text_of(p.name)}, {"value", text}});
        break;
      default: break;  // of the connection it came over
    }
  }
  return all;
}

}  // namespace

Json to_json(const DeadLetter& letter) {
  const Message& message = *letter.message;
  return {{"id", letter.id},
          {"handler", letter.handler},
          {"topic", message.topic()},
          {"qos", message.qos()},
          {"retain", message.retain()},
          {"reason", letter.reason},
          {"attempts", letter.attempts},
          {"received", local_time(message.received_ns())},
          {"died", local_time(letter.died_ns)},
          {"payload_bytes", letter.payload_bytes}};
}

Json to_json_with_content(const DeadLetter& letter) {
  Json json = to_json(letter);
  json["properties"] = properties_json(*letter.message);
  add_bytes(json, "payload", "encoding", letter.message->payload());
  return json;
}

}  // namespace fastmqttd
