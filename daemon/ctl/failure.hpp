// How a command of fastmqttctl fails.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace fastmqttd {

// Thrown with what goes to standard error, "what: why: what to do" a line, and the exit status.
struct Failure {
  int status;
  std::vector<std::string> lines;
};

inline int report(const Failure& failure) {
  for (const std::string& line : failure.lines)
    std::fprintf(stderr, "fastmqttctl: %s\n", line.c_str());
  return failure.status;
}

}  // namespace fastmqttd
