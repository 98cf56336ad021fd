// The service manager's end of sd_notify(3): a real datagram socket for NOTIFY_SOCKET.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/base/unique_fd.hpp"
#include "tests/support/files.hpp"
#include "tests/support/wait.hpp"

namespace fastmqttd::testing {

// Read by a thread of its own: the kernel queues few datagrams, and the sender of one more waits.
class NotifySocket {
 public:
  struct Line {
    std::string text;  // NAME=VALUE
    std::chrono::steady_clock::time_point arrived;
  };
  using Lines = std::vector<Line>;

  NotifySocket();

  std::string path() const { return directory_ / "notify"; }

  Lines lines();
  void clear();
  // How many lines start so.
  int count(std::string_view start);
  // The text of the last line that starts so, "" without one.
  std::string last(std::string_view start);

  // For a line that starts so, `times` times since the last clear().
  [[nodiscard]] bool wait_for(std::string_view start, int times = 1,
                              Milliseconds within = kPatience);
  // All lines, for a failure's message.
  std::string text();

 private:
  void read(const std::stop_token& stop);

  TempDir directory_;
  UniqueFd socket_;
  UniqueFd stop_event_;
  std::mutex mutex_;
  Lines lines_;  // under mutex_
  std::jthread reader_;
};

}  // namespace fastmqttd::testing
