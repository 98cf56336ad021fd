// How long a handler may still take over a message.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::common {

// Until `slack` before the daemon takes the message back, or a quarter of what is left, if that is
// less; nothing when there is no limit.
inline std::optional<std::chrono::nanoseconds> time_left(const Host& host, const Message& message,
                                                         std::chrono::nanoseconds slack) {
  if (message.deadline().count() == 0) return std::nullopt;
  const std::chrono::nanoseconds left = message.deadline() - host.now();
  return left - std::min(slack, left / 4);
}

}  // namespace fastmqtt::common
