// The files that the daemon keeps for itself in its state directory, which is the one place where
// the unit lets handlers write too.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace fastmqtt::common {

// Whether a file or directory of that name, without its path, may be one of them.  Of directories
// too: SQLite takes one that is called spool.db-journal for a file of its own.
inline bool is_state_file(std::string_view name) {
  constexpr std::array kStateFiles{"spool.db", "spool.lock", "spool.crash", "session.json",
                                   "parked-"};
  return std::ranges::any_of(kStateFiles, [&](const char* own) { return name.starts_with(own); });
}

}  // namespace fastmqtt::common
