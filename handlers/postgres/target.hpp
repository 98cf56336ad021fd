// The option `connection`: where the server is.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::postgres {

struct Target {
  std::string text;                // for libpq; it may hold the password
  std::chrono::seconds timeout;    // for one attempt to connect, at all of its hosts
  std::vector<std::string> names;  // of hosts, that have to be looked up
};

// Throws OptionError when there is none, else std::runtime_error: beside an OptionError the daemon
// would show what stands there, and the password with it.
Target target_option(const Host& host);

}  // namespace fastmqtt::postgres
