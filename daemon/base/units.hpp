// Durations and sizes as people write them in a config: `250ms`, `10s`, `5m`, `1h`, `7d` or a
// number of seconds; `64MiB` or a number of bytes.  Pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fastmqttd {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = std::chrono::milliseconds;

// Of a duration, with its fraction.
inline double seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

inline constexpr std::string_view kDurationForm = "a duration such as 250ms, 10s, 5m, 1h, 7d";
inline constexpr std::string_view kSizeForm = "a size such as 64MiB, 512KiB or a number of bytes";

// Nothing when `text` has no such form, is negative, or does not fit.
std::optional<Duration> parse_duration(std::string_view text);
std::optional<std::uint64_t> parse_size(std::string_view text);

// The shortest text that parses back to the same value: `1h`, `7d`, `1500ms`, `64MiB`, `100`.
std::string format_duration(Duration duration);
std::string format_size(std::uint64_t bytes);
// For people: two or three digits are enough (`840ms`, `4.2s`, `70m`, `3.5h`).
std::string format_roughly(Duration duration);

}  // namespace fastmqttd
