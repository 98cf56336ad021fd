// Lines of one kind that may come by the thousand: the first few of each interval are written, the
// others counted, for whoever tells their number from time to time.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <utility>

#include "daemon/base/units.hpp"

namespace fastmqttd {

class LogLimit {
 public:
  static constexpr int kLines = 5;
  static constexpr Duration kInterval = std::chrono::seconds(10);

  // Whether one more is to be written now; else it is counted, as so many.
  bool admits(TimePoint now, std::uint64_t count = 1) {
    if (now - began_ >= kInterval) {
      began_ = now;
      written_ = 0;
    }
    if (written_ == kLines) {
      left_out_ += count;
      return false;
    }
    ++written_;
    return true;
  }
  // How many were not, once the interval is over; to be told now.
  std::uint64_t take_left_out(TimePoint now) {
    return now - began_ < kInterval ? 0 : std::exchange(left_out_, 0);
  }
  bool has_left_out() const { return left_out_ > 0; }

 private:
  TimePoint began_{};
  int written_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace fastmqttd
