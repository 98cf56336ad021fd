// fastmqttctl dead-letters and forget: what was given up, and what nobody waits for any more.  All
// throw Failure, print to standard output and return the exit status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/ctl/connection.hpp"

namespace fastmqttd {

// Which ones; either ids or all.
struct DeadLetters {
  std::vector<std::int64_t> ids;
  bool all = false;
  std::string handler;  // of all; empty: of every handler
};

int list_dead_letters(const Connection& daemon, const std::string& handler, bool json);
int show_dead_letter(const Connection& daemon, std::int64_t id, bool json);
int replay_dead_letters(const Connection& daemon, const DeadLetters& which);
int drop_dead_letters(const Connection& daemon, const DeadLetters& which);

int forget_messages(const Connection& daemon, const std::string& handler);

}  // namespace fastmqttd
