// A file into one that gzip(1) reads.
#pragma once

#include <functional>
#include <string>

namespace fastmqtt::file {

// From `name` in a directory to `name`.gz, which is there in whole or not at all, with the same
// mode and times; then `name` is deleted.  Does nothing when somebody keeps the lock of `name`,
// and leaves all as it was when `is_stopping` says so.  Throws std::system_error.
void compress_file(int directory, const std::string& name,
                   const std::function<bool()>& is_stopping);

// What the copy is called until it is whole.
inline std::string half_name(const std::string& name) { return name + ".gz.tmp"; }

}  // namespace fastmqtt::file
