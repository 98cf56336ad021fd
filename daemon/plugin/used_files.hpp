// The files that a handler has read when it started: what is in them is part of its configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fastmqttd {

class UsedFiles {
 public:
  // Remembers what is in it now.
  void add(const std::string& path);
  // Whether one of them holds anything else by now, is gone or has come.  The time that it bears
  // does not matter.
  bool have_changed() const;

 private:
  struct File {
    std::string path;
    std::uint64_t contents;  // a sum of them
  };
  std::vector<File> files_;
};

}  // namespace fastmqttd
