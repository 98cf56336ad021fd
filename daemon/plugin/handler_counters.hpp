// What a handler counts itself, by name.  It outlives the instances: the workers of a handler share
// it, and so do those that follow one another.
//
// Any thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/guarded.hpp"

namespace fastmqttd {

class HandlerCounters {
 public:
  static constexpr std::size_t kMost = 64;

  // The number of that name, a new one if need be; nothing when there are too many.
  std::optional<std::uint32_t> add(std::string_view name) {
    auto names = names_.lock();
    const auto found = std::ranges::find(*names, name);
    const auto number = static_cast<std::uint32_t>(found - names->begin());
    if (found != names->end()) return number;
    if (number == kMost) return std::nullopt;
    names->emplace_back(name);
    return number;
  }
  // Of a number that there is not nothing is counted.
  void count(std::uint32_t number, std::uint64_t by) {
    if (number < kMost) counts_[number].fetch_add(by, std::memory_order_relaxed);
  }

  std::map<std::string, std::uint64_t> values() const {
    std::map<std::string, std::uint64_t> values;
    const auto names = names_.lock();
    for (std::size_t i = 0; i < names->size(); ++i) values[(*names)[i]] = counts_[i];
    return values;
  }

 private:
  mutable Guarded<std::vector<std::string>> names_;
  std::array<std::atomic<std::uint64_t>, kMost> counts_{};
};

}  // namespace fastmqttd
