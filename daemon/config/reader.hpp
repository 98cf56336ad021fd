// Reads the YAML configuration, strictly: every problem of every file in one report.
#pragma once

#include <filesystem>

#include "daemon/config/config.hpp"

namespace fastmqttd {

// `file`, then `conf.d/*.yaml` beside it in name order (there may be no such directory).  Maps are
// merged key by key; a scalar or a list in a later file replaces the earlier one.
//
// Unknown and duplicate keys, wrong types, values out of range, impossible combinations, references
// that cannot be read and files that others could write are problems.  Appends them to `problems`;
// what is good is read all the same.
Config read_config(const std::filesystem::path& file, std::vector<Problem>& problems);
// The same for those who want all or nothing.  Throws StartError.
Config read_config(const std::filesystem::path& file);

}  // namespace fastmqttd
