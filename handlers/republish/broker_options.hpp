// The option `broker`: another broker, in the words of the daemon's own section `mqtt`.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "fastmqtt/handler.hpp"
#include "handlers/republish/tls.hpp"

namespace fastmqtt::republish {

// What the length of a packet can say [MQTT 5.0 section 2.1.4], with its own five bytes.
inline constexpr std::size_t kLargestPacket = (1u << 28) + 4;

struct BrokerOptions {
  std::string host;
  std::uint16_t port = 1883;
  std::optional<TlsOptions> tls;
  std::optional<std::string> username, password;
  std::string client_id;
  bool mqtt5 = true;
  std::chrono::seconds keepalive{60};
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds reconnect_delay{1'000};       // doubles up to
  std::chrono::milliseconds reconnect_delay_max{60'000};  // this
  std::size_t max_inflight = 16;
  std::size_t max_packet_size = kLargestPacket;  // bytes; the broker may say less

  std::string name() const;  // "host:port"
};

bool is_given(const Host& host, const std::string& path);

// Throws OptionError.
BrokerOptions read_broker_options(const Host& host);

}  // namespace fastmqtt::republish
