// Runs a program to its end: its input given, its output taken, its time limited.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastmqtt::exec {

struct Command {
  std::string program;  // its path
  std::vector<std::string> arguments = {};
  std::string directory = {};                                         // "" for the daemon's
  std::vector<std::pair<std::string, std::string>> environment = {};  // besides the daemon's own
  // All of it, there before the program starts: it never sees a part, whatever happens to us.
  // Nothing: a pipe, see Started.
  std::optional<std::string_view> input = {};
  std::chrono::milliseconds timeout{0};
};

struct Ended {
  std::optional<int> status = {};        // nothing: it was ended by a signal, or was not started
  std::string what = {};                 // how it ended, in words
  std::string output = {}, errors = {};  // the first of them, see kMostOutput
  bool output_was_cut = false;
  bool was_too_long = false;  // for the system: its arguments, or its environment
};

inline constexpr std::size_t kMostOutput = 1 << 20;  // bytes; what is beyond is read and dropped

// A program that runs on: what goes in and comes out are pipes of ours, and do not block.
struct Started {
  pid_t pid = 0;                    // of it, and of its process group
  int in = -1, out = -1, err = -1;  // `in` stays -1 with an input
};
// Throws std::system_error.  The caller closes the pipes and waits for the process.
Started start(const Command& command);

// In a process group of its own, which gets TERM at the timeout, and KILL when that does not end
// it. `stop` is asked now and then whether it is to end before.  Any thread.
Ended run(const Command& command, const std::function<bool()>& stop);

// For the calling thread: a write to a program that has ended is an error, and no signal.
void block_broken_pipes();

// The path of a program: itself when it has a '/', else looked for in PATH; empty when there is
// none that may be run.
std::string find_program(const std::string& name);

// "unit-of.x" as "UNIT_OF_X".
std::string variable_name(std::string_view text);

// Without the line ends; empty ones are left out.
std::vector<std::string> lines_of(std::string_view text);

}  // namespace fastmqtt::exec
