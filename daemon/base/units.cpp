#include "daemon/base/units.hpp"

#include <spdlog/fmt/fmt.h>

#include <array>
#include <charconv>
#include <limits>
#include <tuple>

namespace fastmqttd {
namespace {

struct Unit {
  std::string_view suffix;
  std::uint64_t factor;
};

// Largest first: formatting takes the first one that divides.
constexpr std::array kTimeUnits{Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
                                Unit{"s", 1'000}, Unit{"ms", 1}};
constexpr std::array kSizeUnits{Unit{"GiB", 1ull << 30}, Unit{"MiB", 1ull << 20},
                                Unit{"KiB", 1ull << 10}, Unit{"", 1}};

// A whole number and one of `units`; without a suffix `plain` is the factor.
template <std::size_t N>
std::optional<std::uint64_t> parse(std::string_view text, const std::array<Unit, N>& units,
                                   std::uint64_t plain, std::uint64_t limit) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  std::uint64_t factor = suffix.empty() ? plain : 0;
  for (const Unit& unit : units)
    if (!suffix.empty() && suffix == unit.suffix) factor = unit.factor;
  if (factor == 0 || number > limit / factor) return std::nullopt;
  return number * factor;
}

template <std::size_t N>
std::string format(std::uint64_t value, const std::array<Unit, N>& units) {
  for (const Unit& unit : units)
    if (value != 0 && value % unit.factor == 0)
      return std::to_string(value / unit.factor) + std::string(unit.suffix);
  return "0";
}

// A hundred years: far past any sensible setting, and sums of such durations cannot overflow.
constexpr std::uint64_t kLongestMs = 100ull * 366 * 24 * 3'600'000;

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const auto ms = parse(text, kTimeUnits, 1'000, kLongestMs);
  if (!ms) return std::nullopt;
  return Duration(static_cast<Duration::rep>(*ms));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse(text, kSizeUnits, 1, std::numeric_limits<std::int64_t>::max());
}

std::string format_duration(Duration duration) {
  return format(static_cast<std::uint64_t>(duration.count()), kTimeUnits);
}

std::string format_roughly(Duration duration) {
  const auto ms = static_cast<double>(duration.count());
  if (ms < 1'000) return fmt::format("{:.0f}ms", ms);
  for (const auto& [suffix, factor, limit] :
       {std::tuple("s", 1'000.0, 120.0), {"m", 60'000.0, 120.0}, {"h", 3'600'000.0, 1e18}})
    if (ms / factor < limit)
      return fmt::format("{:.{}f}{}", ms / factor, ms / factor < 10 ? 1 : 0, suffix);
  return {};
}

std::string format_size(std::uint64_t bytes) { return format(bytes, kSizeUnits); }

}  // namespace fastmqttd
