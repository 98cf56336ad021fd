// Waiting in tests: for a condition, never for a time.
#pragma once

#include <chrono>
#include <thread>

namespace fastmqttd::testing {

using namespace std::chrono_literals;
using Milliseconds = std::chrono::milliseconds;

// How long a test waits for what must come.  Long, because a loaded machine is slow; a test that
// passes never waits so long.
inline constexpr Milliseconds kPatience = 20s;

// Whether `predicate` becomes true within that time.
template <class Predicate>
[[nodiscard]] bool eventually(Milliseconds within, Predicate&& predicate) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!predicate()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

template <class Predicate>
[[nodiscard]] bool eventually(Predicate&& predicate) {
  return eventually(kPatience, std::forward<Predicate>(predicate));
}

}  // namespace fastmqttd::testing
