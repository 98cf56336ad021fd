// Whether code from a file may run here: only when nobody but root and the daemon's own user could
// have put it there.
#pragma once

#include <string>

#include "daemon/base/unique_fd.hpp"

namespace fastmqttd {

// Why files in `directory` are not to be trusted; empty when they are.  The directory and all its
// parents, as named and with symbolic links resolved, must belong to root or the daemon's user and
// be writable by nobody else.  Among the parents a sticky directory such as /tmp will do.
std::string unsafe_directory(const std::string& directory);

// The opened file, checked on its descriptor: a regular file (no symbolic link) of root's or the
// daemon's user, writable by nobody else.  Else no descriptor, `why` says so, and `unsafe` whether
// it is a matter of owner or mode.
UniqueFd open_safe_file(const std::string& path, std::string& why, bool& unsafe);

}  // namespace fastmqttd
