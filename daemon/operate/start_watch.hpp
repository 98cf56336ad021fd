// Keeps an eye on the start, before the main loop runs: while plugins are loaded and handlers made,
// a stop signal still ends the process, and what takes long is named.
#pragma once

#include <thread>

#include "daemon/base/unique_fd.hpp"

namespace fastmqttd {

// A thread of its own from construction to destruction.  It ends the process, with status 0, at a
// stop signal that is blocked; one that is not has its own effect.
class StartWatch {
 public:
  StartWatch();
  ~StartWatch();
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;

 private:
  void watch() const;

  UniqueFd done_;
  std::thread thread_;
};

}  // namespace fastmqttd
