// Where the daemon keeps what is to outlive a run.
#pragma once

#include <filesystem>
#include <string>

#include "daemon/base/unique_fd.hpp"
#include "daemon/config/config.hpp"

namespace fastmqttd {

// The configured directory, else $STATE_DIRECTORY of systemd.exec(5), else that of the packages.
std::filesystem::path state_directory(const SpoolConfig& config);

// Makes it if need be, and keeps other daemons out of it while the descriptor is open: two would
// deliver everything twice.  Throws StartError: with status 77 for a directory of somebody else, or
// one that others may write, for there the database could be replaced; else with 74.
UniqueFd lock_state_directory(const std::filesystem::path& directory);

// Throws StartError with status 74: what it is that cannot be used, why, and what was expected.
[[noreturn]] void unusable(const std::filesystem::path& what, const std::string& why,
                           const std::string& expected);

}  // namespace fastmqttd
