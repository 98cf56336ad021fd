// What one attempt to connect says of us: made anew for each, so that a password or a certificate
// that was changed on disk is taken up without a restart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/config/config.hpp"
#include "daemon/session/tls.hpp"

namespace fastmqttd {

// MQTT 5.0 sections 3.1.2.5 and 3.1.3.2.
struct Will {
  std::string topic;
  std::string payload;
  int qos = 0;
  bool retain = false;
  std::uint32_t delay = 0;  // seconds, MQTT 5
};

struct Login {
  std::optional<std::string> username;
  std::optional<std::string> password;
  std::optional<Will> will;
  std::optional<TlsSettings> tls;
};

// The payloads at the status topic.
inline constexpr const char* kOnline = "online";
inline constexpr const char* kOffline = "offline";

// Throws std::runtime_error that names the key which cannot be had at this moment.
Login fresh_login(const MqttConfig& config);

}  // namespace fastmqttd
