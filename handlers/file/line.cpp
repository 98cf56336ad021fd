#include "handlers/file/line.hpp"

#include <nlohmann/json.hpp>

namespace fastmqtt::file {
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

// The object as it is with everything taken for text, or with each byte looked at.
Json object(const Message& message, bool look) {
  Json line;
  const auto add = [&](const std::string& name, std::string_view bytes) {
    if (!look || is_utf8(bytes))
      line[name] = bytes;
    else
      line[name + "_base64"] = base64(bytes);
  };
  line["topic"] = message.topic();
  add("payload", message.payload());
  line["qos"] = message.qos();
  line["retain"] = message.retained();
  line["message_id"] = message.message_id();
  const auto received = message.received().time_since_epoch();
  line["received_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(received).count();
  if (const auto type = message.content_type()) add("content_type", *type);
  if (const auto topic = message.response_topic()) add("response_topic", *topic);
  if (const auto data = message.correlation_data()) add("correlation_data", *data);
  for (const fastmqtt_property& p : message.properties())
    if (p.id == FASTMQTT_USER_PROPERTY)
      line["user_properties"].push_back({to_string_view(p.name), to_string_view(p.value)});
  return line;
}

}  // namespace

std::string json_line(const Message& message) {
  try {
    return object(message, /*look=*/false).dump();
  } catch (const Json::type_error&) {  // some of it is no UTF-8
    return object(message, /*look=*/true).dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

std::string in_line(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      line += "\\n";
    } else if (c == '\r') {
      line += "\\r";
    } else if ((byte < 0x20 && c != '\t') || byte == 0x7F) {
      line += "\\x";
      line += kDigits[byte >> 4];
      line += kDigits[byte & 15];
    } else {
      line += c;
    }
  }
  return line;
}

}  // namespace fastmqtt::file
