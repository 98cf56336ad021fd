// What becomes, at a start, of the messages at which the last run crashed.
#pragma once

#include "daemon/delivery/lane.hpp"
#include "daemon/spool/crash_note.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

// So many crashes at one message, or as many as it has attempts if that is less, and it is given
// up: each one stops all handlers.
inline constexpr std::uint32_t kMostCrashes = 3;

// Each that still waits has failed once more, and is tried again alone, or is a dead letter.
// Before the lane starts.
void blame(const CrashNote& note, const Lane& lane, Spool& spool);

}  // namespace fastmqttd
