// The commands of fastmqttctl that ask the daemon for one thing: reload, pause, resume, log-level,
// route.
#pragma once

#include <string>

#include "daemon/ctl/connection.hpp"

namespace fastmqttd {

// 0 when all of the configuration is in force; 75 when the rest of it still has to follow; throws
// Failure with 78 and every reason when nothing was changed.
int reload(const Connection& daemon);

int pause_handler(const Connection& daemon, const std::string& handler);
int resume_handler(const Connection& daemon, const std::string& handler);

// Of one handler, or, without one, in general.
int set_log_level(const Connection& daemon, const std::string& handler, const std::string& level);

// 1 when no handler is reached.
int show_route(const Connection& daemon, const std::string& topic, bool json);

}  // namespace fastmqttd
