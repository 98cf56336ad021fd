// The tables of spool.db, and how those of older versions become them.
#pragma once

#include <filesystem>

#include "daemon/config/config.hpp"
#include "daemon/spool/sqlite.hpp"

namespace fastmqttd {

// Opens the database, or makes it, in the format of this version.  Throws StartError with status 74
// when it is of a later version, and sqlite::Error.
sqlite::Database open_spool(const std::filesystem::path& file, Durability durability);

// From the next commit on.
void set_durability(sqlite::Database& database, Durability durability);

}  // namespace fastmqttd
