// The columns in which a message stands, the same in several tables, and what says for whom it
// waits.
#pragma once

#include <cstdint>

#include "daemon/message/message.hpp"
#include "daemon/spool/sqlite.hpp"

namespace fastmqttd {

inline constexpr const char* kMessageColumns =
    "received_ns, qos, retain, topic, properties, payload";
// Of a row of `messages`: that it waits for the handler ?1.
inline constexpr const char* kWaits =
    "recipients IN (SELECT id FROM recipients WHERE handler=?1) AND NOT EXISTS(SELECT 1 FROM "
    "settled WHERE settled.message=messages.id AND settled.handler=?1)";

// Runs a statement whose parameters from `first` on are these columns; the others are bound.
void step_with(sqlite::Statement& statement, int first, const Message& message);

// The message whose columns begin at `first` of the row at hand.  Throws std::runtime_error when
// its properties cannot be read.
MessagePtr stored_message(const sqlite::Statement& row, int first, std::uint64_t id, bool dup);

}  // namespace fastmqttd
