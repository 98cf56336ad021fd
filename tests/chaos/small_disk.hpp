// A file system of a few MiB.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

namespace fastmqttd::testing {

// Over a directory, seen only by this test and the processes that it starts from the same thread;
// gone with it.
class SmallDisk {
 public:
  SmallDisk(const std::filesystem::path& directory, const std::string& size)
      : directory_(directory) {
    mounted_ =
        ::unshare(CLONE_NEWNS) == 0 &&
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount("tmpfs", directory.c_str(), "tmpfs", 0, ("mode=755,size=" + size).c_str()) == 0;
    if (!mounted_) why_not_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(directory_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // "" when it is there.
  const std::string& why_not() const { return why_not_; }

 private:
  const std::filesystem::path directory_;
  bool mounted_ = false;
  std::string why_not_;
};

}  // namespace fastmqttd::testing
