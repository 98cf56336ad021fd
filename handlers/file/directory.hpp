// Directories on the way to a file.  Below the root no symbolic link is followed.  All of it throws
// std::system_error, with the path that it is about.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "handlers/common/fd.hpp"

namespace fastmqtt::file {

using common::Fd;

// With errno.
[[noreturn]] void fail(const std::string& path, int error);

// The directory of `path`, which begins with `root`.  Throws when it is not there.
Fd open_directory(const std::string& root, std::string_view path);
// The same, making what is missing of it with this mode, on disk at once if `sync` says so.
Fd make_directory(const std::string& root, std::string_view path, mode_t mode, bool sync);

// A path's last name.
std::string name_of(std::string_view path);

}  // namespace fastmqtt::file
