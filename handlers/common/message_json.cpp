#include "handlers/common/message_json.hpp"

#include <nlohmann/json.hpp>

namespace fastmqtt::common {
namespace {

using Json = nlohmann::ordered_json;

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k)
      text += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(Json(std::string(text)).dump());
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

// With everything taken for text, or with each byte looked at.
Json object(const Message& message, bool of_delivery, bool look) {
  Json json;
  const auto add = [&](const std::string& name, std::string_view bytes) {
    if (!look || is_utf8(bytes))
      json[name] = bytes;
    else
      json[name + "_base64"] = base64(bytes);
  };
  if (of_delivery) json["id"] = message.id();
  json["topic"] = message.topic();
  add("payload", message.payload());
  json["qos"] = message.qos();
  json["retain"] = message.retained();
  if (of_delivery) json["attempt"] = message.attempt();
  json["message_id"] = message.message_id();
  const auto received = message.received().time_since_epoch();
  json["received_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(received).count();
  if (const auto type = message.content_type()) add("content_type", *type);
  if (const auto topic = message.response_topic()) add("response_topic", *topic);
  if (const auto data = message.correlation_data()) add("correlation_data", *data);
  for (const fastmqtt_property& p : message.properties())
    if (p.id == FASTMQTT_USER_PROPERTY)
      json["user_properties"].push_back({to_string_view(p.name), to_string_view(p.value)});
  return json;
}

std::string line(const Message& message, bool of_delivery) {
  try {
    return object(message, of_delivery, /*look=*/false).dump();
  } catch (const Json::type_error&) {  // some of it is no UTF-8
    return object(message, of_delivery, /*look=*/true)
        .dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

}  // namespace

std::string message_json(const Message& message) { return line(message, false); }
std::string delivery_json(const Message& message) { return line(message, true); }

}  // namespace fastmqtt::common
