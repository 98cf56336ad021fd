// `fastmqttctl status`, `handlers` and `top`.
#pragma once

#include "daemon/ctl/connection.hpp"

namespace fastmqttd {

int show_status(const Connection& daemon, bool json);
int show_handlers(const Connection& daemon, bool json);

// The status, again and again, with what happened in between; until it is interrupted.
int show_top(const Connection& daemon);

}  // namespace fastmqttd
