// The time of day, for people and for scripts.  Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace fastmqttd {

// ISO 8601 in local time: 2026-10-17T09:30:00.250+02:00.  Nanoseconds of CLOCK_REALTIME.
std::string local_time(std::int64_t realtime_ns);

}  // namespace fastmqttd
