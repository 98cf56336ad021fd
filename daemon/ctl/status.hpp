// fastmqttctl status: the daemon on one screen.
#pragma once

#include "daemon/ctl/connection.hpp"

namespace fastmqttd {

// Throws Failure; prints to standard output; the exit status.
int show_status(const Connection& daemon, bool json);

}  // namespace fastmqttd
