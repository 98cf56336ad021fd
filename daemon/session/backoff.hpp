// The pauses between attempts to connect: doubling, spread, bounded.  Pure.
#pragma once

#include <algorithm>

#include "daemon/base/units.hpp"

namespace fastmqttd {

class Backoff {
 public:
  // `first` <= `longest`; equal ones make a constant pause.
  Backoff(Duration first, Duration longest) : first_(first), longest_(longest), next_(first) {}

  // The pause after one more failure.  `random`, in [0, 1), takes up to a fifth off, so that a
  // fleet does not come back in step.
  Duration next(double random) {
    const Duration pause = next_;
    next_ = std::min(next_ * 2, longest_);
    return std::chrono::duration_cast<Duration>(pause * (1 - 0.2 * random));
  }
  // The longest pause, for what will not pass by itself; those of next() go on as they were.
  Duration longest(double random) const {
    return std::chrono::duration_cast<Duration>(longest_ * (1 - 0.2 * random));
  }
  void reset() { next_ = first_; }

 private:
  const Duration first_;
  const Duration longest_;
  Duration next_;
};

}  // namespace fastmqttd
