// A TCP port of the loopback interface for one test.
#pragma once

#include <cstdint>

#include "daemon/base/unique_fd.hpp"

namespace fastmqttd::testing {

// Free when chosen, and not given to another test while this object lives, even when nothing
// listens on it.  It lies outside the range from which the kernel serves outgoing connections,
// which could take it while a broker is down.
class Port {
 public:
  Port();
  std::uint16_t number() const { return number_; }

 private:
  std::uint16_t number_ = 0;
  UniqueFd reservation_;
};

}  // namespace fastmqttd::testing
