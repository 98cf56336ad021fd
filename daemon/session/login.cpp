#include "daemon/session/login.hpp"

#include <stdexcept>

#include "daemon/base/utf8.hpp"
#include "daemon/session/fresh_text.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kMost = 65535;  // [MQTT-1.5.4], and binary data [MQTT-1.5.6]

std::optional<std::string> bounded(std::string_view key, const std::optional<Text>& text) {
  auto value = fresh_text(key, text);
  if (value && value->size() > kMost)
    throw std::runtime_error(std::string(key) + ": has more than 65535 bytes");
  return value;
}

std::optional<Will> fresh_will(const MqttConfig& config) {
  const auto delay = static_cast<std::uint32_t>(config.will_delay_interval.count());
  if (config.status_topic)
    return Will{*fresh_text("mqtt.status_topic", config.status_topic), kOffline, 1, true, delay};
  if (!config.will_message_topic) return std::nullopt;
  return Will{*fresh_text("mqtt.will_message_topic", config.will_message_topic),
              bounded("mqtt.will_message_payload", config.will_message_payload).value_or(""),
              config.will_message_qos, config.will_message_retain, delay};
}

}  // namespace

Login fresh_login(const MqttConfig& config) {
  Login login;
  login.username = bounded("mqtt.username", config.username);
  if (login.username && mqtt_string_error(*login.username))
    throw std::runtime_error("mqtt.username: is not UTF-8 text without null characters");
  login.password = bounded("mqtt.password", config.password);
  login.will = fresh_will(config);
  if (config.ssl) login.tls = expand(*config.ssl);
  return login;
}

}  // namespace fastmqttd
