// What becomes, at a start, of the messages that the last run had in its hands when a handler ended
// it.
#pragma once

#include "daemon/delivery/lane.hpp"
#include "daemon/spool/crash_note.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

// So many times, or as many as it has attempts if that is less, may one message end the daemon by a
// crash: each time stops all handlers.  Of several in one call nobody knows which it was: they are
// tried alone before any is given up.
inline constexpr std::uint32_t kMostCrashes = 3;

// Each that still waits, and has not been answered, has failed once more: it is tried again alone,
// or is a dead letter.  Before the lane starts.  False when that could not be written: then it is
// as if nothing had happened.
bool blame(const CrashNote& note, Lane& lane, Spool& spool);

// A handler that has ended several runs, one after the other, gets one message at a time, after a
// pause that doubles with each run, until one succeeds: the others are to have their time.
void suspend_if_it_crashes_often(const CrashNote& note, const Lane& lane);

}  // namespace fastmqttd
