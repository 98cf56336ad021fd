// A child process that cannot outlive its test.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/wait.hpp"

namespace fastmqttd::testing {

struct Command {
  std::vector<std::string> argv;              // argv[0] is looked up in PATH
  std::vector<std::string> environment = {};  // NAME=VALUE sets, NAME alone removes
  std::filesystem::path input = "/dev/null";
  std::filesystem::path output = "/dev/null";  // appended to
  std::filesystem::path errors = "/dev/null";  // appended to
};

// How a process ended: one of the two is not 0, or both are and it succeeded.
struct Exit {
  int status = 0;
  int signal = 0;

  bool operator==(const Exit&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Exit& exit);

// Killed and reaped by its destructor, and by the kernel when the test dies.  Start and wait for it
// from one thread.
class Process {
 public:
  explicit Process(const Command& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number);
  // Nothing when it still runs then.
  std::optional<Exit> wait(Milliseconds within = kPatience);

 private:
  pid_t pid_ = -1;
  std::optional<Exit> exit_;
};

struct Finished {
  Exit exit;
  std::string output;
  std::string errors;
};

// Runs it to its end; its output and errors are caught.  Throws when it does not end.
Finished run(Command command, Milliseconds within = kPatience);

}  // namespace fastmqttd::testing
