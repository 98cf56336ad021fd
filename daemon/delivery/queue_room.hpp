// How much may wait in memory, by number and by bytes.  Any thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "daemon/config/config.hpp"

namespace fastmqttd {

class QueueRoom {
 public:
  // One of `shares` equal parts of the limits.
  explicit QueueRoom(const QueueConfig& limits, int shares = 1)
      : max_messages_(std::max<std::size_t>(limits.messages / static_cast<unsigned>(shares), 1)),
        max_bytes_(std::max<std::size_t>(limits.size / static_cast<unsigned>(shares), 1)) {}

  // From now on.
  void set_limits(const QueueConfig& limits) {
    max_messages_ = std::max<std::size_t>(limits.messages, 1);
    max_bytes_ = std::max<std::size_t>(limits.size, 1);
  }
  // Whether one more message fits, if so much were gone.  When nothing waits one of any size does.
  bool fits(std::size_t bytes, std::size_t less_messages = 0, std::size_t less_bytes = 0) const {
    const std::size_t messages = messages_ - less_messages;
    return messages == 0 || (messages < max_messages_ && bytes_ - less_bytes + bytes <= max_bytes_);
  }
  std::size_t max_messages() const { return max_messages_; }
  std::size_t max_bytes() const { return max_bytes_; }
  std::size_t messages() const { return messages_; }
  std::size_t bytes() const { return bytes_; }
  // Whether so much is within the limits.
  bool would_hold(std::size_t messages, std::size_t bytes) const {
    return messages <= max_messages_ && bytes <= max_bytes_;
  }
  void add(std::size_t bytes) {
    ++messages_;
    bytes_ += bytes;
  }
  void remove(std::size_t bytes) {
    --messages_;
    bytes_ -= bytes;
  }

 private:
  std::atomic<std::size_t> max_messages_;
  std::atomic<std::size_t> max_bytes_;
  std::atomic<std::size_t> messages_{0};
  std::atomic<std::size_t> bytes_{0};
};

}  // namespace fastmqttd
