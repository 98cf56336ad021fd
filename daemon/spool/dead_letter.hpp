// A message that was given up.  Plain values.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/message/message.hpp"

namespace fastmqttd {

struct DeadLetter {
  std::int64_t id = 0;  // never used again
  std::string handler;
  std::string reason;
  std::uint32_t attempts = 0;  // so often it was handed to the handler
  std::int64_t died_ns = 0;    // CLOCK_REALTIME
  std::size_t payload_bytes = 0;
  MessagePtr message;  // in a list without its payload
};

}  // namespace fastmqttd
