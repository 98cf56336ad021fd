// A file that lines are appended to, which others may append to as well: each write is made under
// its lock (flock(2)), and under the name that it was opened by.  All of it throws
// std::system_error.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <string>
#include <string_view>

#include "fastmqtt/handler.hpp"
#include "handlers/file/directory.hpp"

namespace fastmqtt::file {

// How files are written.
struct Writing {
  std::string root;  // see Path::root
  mode_t mode = 0640;
  bool sync = true;   // what append() has returned from is on disk
  bool json = false;  // the lines are objects that begin with kJsonBegin
};

class AppendFile {
 public:
  using Clock = std::chrono::system_clock;

  // Opens it, with its directories; made if it is not there.
  AppendFile(const Host& host, const Writing& writing, const std::string& path);

  // Waits a moment for its lock.  False, and nothing locked, when its path leads elsewhere by now.
  bool lock();
  void unlock();

  // With the lock.
  std::uint64_t size() const;
  // Since when there is such a file; now when the file system does not tell.
  Clock::time_point begun() const { return begun_; }
  // All or none.
  void append(std::string_view lines);
  // Gives it another name in its directory, which ends in the time.
  void rotate();
  // Without the lock: what was appended, on disk.
  void sync() const;

 private:
  void open();
  bool is_at_its_path() const;
  void end_last_line(std::uint64_t size);
  std::uint64_t begin_of_last_line(std::uint64_t size) const;

  const Host host_;
  const Writing& writing_;
  const std::string path_;
  Fd fd_;
  struct stat status_ {};
  Clock::time_point begun_;
  std::uint64_t end_ = 0;  // where the last line ended that was seen to end
};

}  // namespace fastmqtt::file
