// Small regular files, read whole: the config itself and what `${file:...}` names.
//
// Blocking I/O: for start-up and reload only.  Every function throws std::runtime_error in words
// that go after the file's name ("cannot be opened: No such file or directory").
#pragma once

#include <sys/stat.h>

#include <string>

#include "daemon/base/unique_fd.hpp"

namespace fastmqttd {

struct RegularFile {
  UniqueFd fd;
  struct stat status {};
};

// Follows symbolic links; refuses whatever is not a regular file, and never waits for a writer of
// a FIFO.
RegularFile open_regular(const std::string& path);

std::string read_all(const RegularFile& file, std::size_t limit);

// Why others could have written the file; empty when only root and the daemon's own user could.
std::string unsafe_reason(const struct stat& status);

}  // namespace fastmqttd
