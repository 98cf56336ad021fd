#include "daemon/delivery/retry_policy.hpp"

#include <algorithm>

namespace fastmqttd {

Duration RetryPolicy::pause(std::uint32_t attempt, double random) const {
  Duration pause = config_.delay;
  for (std::uint32_t i = 1; i < attempt && pause < config_.delay_max; ++i) pause *= 2;
  pause = std::min(pause, config_.delay_max);
  return std::chrono::duration_cast<Duration>(pause * (0.8 + 0.4 * random));
}

const char* RetryPolicy::give_up(std::uint32_t attempt, Duration age) const {
  if (config_.attempts && attempt >= *config_.attempts) return "retries used up";
  if (config_.max_age && age >= *config_.max_age) return "too old";
  return nullptr;
}

}  // namespace fastmqttd
