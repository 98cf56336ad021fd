// Loads a plugin in a child process first: what its constructors do there does not end the daemon.
#pragma once

#include <string>

#include "daemon/base/units.hpp"

namespace fastmqttd {

// Why the shared object cannot be loaded: what dlopen(3) says, or how its constructors ended the
// process, with the last line that they wrote; empty when it can.  Kills the child after `limit`.
// To be called before threads of handlers run: the child is a fork(2) of this process.
std::string trial_load(const std::string& path, Duration limit);

}  // namespace fastmqttd
