#include "daemon/spool/state_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "daemon/base/build_info.hpp"
#include "daemon/base/error.hpp"

namespace fastmqttd {
namespace {

constexpr const char* kExpected =
    "expected a directory that the daemon may write: see spool.directory, or set STATE_DIRECTORY";

}  // namespace

void unusable(const std::filesystem::path& what, const std::string& why,
              const std::string& expected) {
  throw StartError({{{what.string(), 0, 0}, "", why, expected}}, ExitStatus::spool);
}

std::filesystem::path state_directory(const SpoolConfig& config) {
  if (config.directory) return config.directory->value();
  const char* given = std::getenv("STATE_DIRECTORY");
  if (given == nullptr || *given == '\0') return build::kStateDirectory;
  const std::string list = given;  // separated by colons
  return list.substr(0, list.find(':'));
}

UniqueFd lock_state_directory(const std::filesystem::path& directory) {
  ::mkdir(directory.c_str(), 0750);
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) unusable(directory, std::strerror(errno), kExpected);
  const bool ours = status.st_uid == ::geteuid() || status.st_uid == 0;
  if (S_ISDIR(status.st_mode) && (!ours || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0))
    throw StartError({{{directory.string(), 0, 0},
                       "",
                       "belongs to somebody else, or may be written by others",
                       "expected a directory of the daemon's own user: see spool.directory"}},
                     ExitStatus::unsafe);
  const std::filesystem::path file = directory / "spool.lock";
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (!fd) unusable(file, std::strerror(errno), kExpected);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    unusable(directory, "another fastmqttd uses it",
             "expected a directory of its own for each: see spool.directory");
  return fd;
}

}  // namespace fastmqttd
