// The columns in which a message stands, the same in several tables:
// received_ns, qos, retain, topic, properties, payload.
#pragma once

#include <cstdint>

#include "daemon/message/message.hpp"
#include "daemon/spool/sqlite.hpp"

namespace fastmqttd {

inline constexpr const char* kMessageColumns =
    "received_ns, qos, retain, topic, properties, payload";

// The message whose columns begin at `first` of the row at hand.  Throws std::runtime_error when
// its properties cannot be read.
MessagePtr stored_message(const sqlite::Statement& row, int first, std::uint64_t id, bool dup);

}  // namespace fastmqttd
