// fastmqtt/option_types.hpp - how the text of an option becomes a value; part of
// fastmqtt/handler.hpp.
#pragma once

#include <charconv>
#include <chrono>
#include <cmath>
#include <compare>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace fastmqtt {

// An option that is wrong; thrown from a handler's constructor, the daemon reports it with the
// option's file and line.
class OptionError : public std::runtime_error {
 public:
  OptionError(std::string path, const std::string& what)
      : std::runtime_error(what), path_(std::move(path)) {}
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// An option that is a size, written as 64MiB, 512KiB or a number of bytes.
struct Bytes {
  std::uint64_t count = 0;
  auto operator<=>(const Bytes&) const = default;
};

namespace detail {

inline std::optional<double> to_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
// As in the rest of the configuration; the last one needs no name.
inline constexpr Unit kTimeUnits[] = {
    {"ms", 1}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}, {"s", 1'000}};
inline constexpr Unit kSizeUnits[] = {
    {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"", 1}};

// A whole number and one of the units.
inline std::optional<std::uint64_t> to_amount(std::string_view text, std::span<const Unit> units) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  for (const Unit& unit : units)
    if (name == unit.name || (name.empty() && &unit == &units.back()))
      return number > kMost / unit.factor ? std::nullopt : std::optional(number * unit.factor);
  return std::nullopt;
}

// In the largest unit that leaves no rest.
inline std::string to_text(std::uint64_t amount, std::span<const Unit> units) {
  const Unit* best = nullptr;
  for (const Unit& unit : units)
    if (amount % unit.factor == 0 && (!best || unit.factor > best->factor)) best = &unit;
  if (!best || amount == 0) return "0";
  return std::to_string(amount / best->factor) + std::string(best->name);
}

template <class T>
inline constexpr bool kIsDuration = false;
template <class Rep, class Period>
inline constexpr bool kIsDuration<std::chrono::duration<Rep, Period>> = true;

// How an option's text becomes a T: read() gives nothing for what is none, text() writes one.
template <class T>
struct OptionType;

template <>
struct OptionType<std::string> {
  static constexpr const char* kExpected = "expected text";
  static std::optional<std::string> read(std::string_view text) { return std::string(text); }
};

template <>
struct OptionType<bool> {  // nothing else turns into a bool by itself
  static constexpr const char* kExpected = "expected true or false";
  static std::optional<bool> read(std::string_view text) {
    if (text == "true") return true;
    return text == "false" ? std::optional(false) : std::nullopt;
  }
};

template <std::integral T>
struct OptionType<T> {
  static constexpr const char* kExpected = "expected a whole number";
  static constexpr T kLeast = std::numeric_limits<T>::min();
  static constexpr T kMost = std::numeric_limits<T>::max();
  static constexpr bool kAlwaysBounded = true;
  static std::optional<T> read(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
  }
  static std::string text(T value) { return std::to_string(value); }
};

template <std::floating_point T>
struct OptionType<T> {
  static constexpr const char* kExpected = "expected a number";
  static constexpr T kLeast = std::numeric_limits<T>::lowest();
  static constexpr T kMost = std::numeric_limits<T>::max();
  static constexpr bool kAlwaysBounded = false;
  static std::optional<T> read(std::string_view text) {
    const std::optional<double> value = to_number(text);
    return value ? std::optional(static_cast<T>(*value)) : std::nullopt;
  }
  static std::string text(T value) {
    char digits[32];
    return std::string(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }
};

template <class T>
requires kIsDuration<T>
struct OptionType<T> {
  static constexpr const char* kExpected =
      T(1) <= std::chrono::milliseconds(1) ? "expected a duration such as 250ms, 10s, 5m, 1h, 7d"
      : T(1) == std::chrono::seconds(1)
          ? "expected a duration in whole seconds such as 10s, 5m, 1h, 7d"
      : T(1) == std::chrono::minutes(1) ? "expected a duration in whole minutes such as 5m, 1h, 7d"
                                        : "expected a duration in whole hours such as 1h, 7d";
  static constexpr T kLeast = T::zero();
  static constexpr T kMost = T::max();
  static constexpr bool kAlwaysBounded = false;
  // Nothing where T is too coarse to hold it, or too fine to hold so much.
  static std::optional<T> read(std::string_view text) {
    const auto ms = to_amount(text, kTimeUnits);
    constexpr auto kFits = std::chrono::duration<double, std::milli>(T::max()).count();
    if (!ms || static_cast<double>(*ms) >= kFits) return std::nullopt;
    const std::chrono::milliseconds exact(static_cast<std::int64_t>(*ms));
    const T value = std::chrono::duration_cast<T>(exact);
    return value == exact ? std::optional(value) : std::nullopt;
  }
  static std::string text(T value) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(value);
    return to_text(static_cast<std::uint64_t>(ms.count()), kTimeUnits);
  }
};

template <>
struct OptionType<Bytes> {
  static constexpr const char* kExpected =
      "expected a size such as 64MiB, 512KiB or a number of bytes";
  static constexpr Bytes kLeast{0};
  static constexpr Bytes kMost{std::numeric_limits<std::uint64_t>::max()};
  static constexpr bool kAlwaysBounded = false;
  static std::optional<Bytes> read(std::string_view text) {
    const auto count = to_amount(text, kSizeUnits);
    return count ? std::optional(Bytes{*count}) : std::nullopt;
  }
  static std::string text(Bytes value) { return to_text(value.count, kSizeUnits); }
};

// Types of which some values are less than others, and can be out of range.
template <class T>
concept Ranged = requires {
  OptionType<T>::kLeast;
};
template <class T>
concept Option = requires {
  OptionType<T>::kExpected;
};

template <Option T>
T read_option(const std::string& path, std::string_view text) {
  if (auto value = OptionType<T>::read(text)) return *std::move(value);
  throw OptionError(path, OptionType<T>::kExpected);
}

template <Ranged T>
T read_option(const std::string& path, std::string_view text, T least, T most) {
  using Type = OptionType<T>;
  const std::optional<T> value = Type::read(text);
  if (value && *value >= least && *value <= most) return *value;
  std::string expected = Type::kExpected;
  const bool upper = most != Type::kMost || Type::kAlwaysBounded;
  const bool lower = least != Type::kLeast || (upper && !kIsDuration<T>);
  if (lower && upper)
    expected += " from " + Type::text(least) + " to " + Type::text(most);
  else if (lower)
    expected += ", at least " + Type::text(least);
  else if (upper)
    expected += ", at most " + Type::text(most);
  throw OptionError(path, expected);
}

}  // namespace detail

}  // namespace fastmqtt
