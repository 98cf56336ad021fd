// A name lookup that may take its time, in a thread of its own that nobody has to wait for.
#pragma once

#include <condition_variable>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/session/socket.hpp"

namespace fastmqttd {

class AddressLookup {
 public:
  struct Answer {
    std::vector<Endpoint> endpoints;  // empty: it failed
    std::string why;
  };

  // Begins it.
  AddressLookup(const std::string& host, std::uint16_t port);

  // Waits until `deadline` at most; the answer, null when there is none yet.
  const Answer* wait_until(TimePoint deadline);

 private:
  struct Shared {
    Guarded<std::shared_ptr<Answer>> answer;
    std::condition_variable answered;
  };
  std::shared_ptr<Shared> shared_;
};

}  // namespace fastmqttd
