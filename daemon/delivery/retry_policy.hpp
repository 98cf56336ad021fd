// When a delivery that was answered with retry is tried again, and when no more.  Pure.
#pragma once

#include <optional>

#include "daemon/base/units.hpp"
#include "daemon/config/config.hpp"

namespace fastmqttd {

class RetryPolicy {
 public:
  explicit RetryPolicy(const RetryConfig& config) : config_(config) {}

  // The pause after `attempt` attempts, doubling from `delay` up to `delay_max`, spread by a fifth
  // either way; `random` lies in [0, 1).
  Duration pause(std::uint32_t attempt, double random) const;
  Duration longest_pause() const { return config_.delay_max; }
  // Why a delivery is given up after `attempt` attempts at this age; null to go on.
  const char* give_up(std::uint32_t attempt, Duration age) const;

 private:
  RetryConfig config_;
};

}  // namespace fastmqttd
