#include "handlers/file/append_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <thread>

#include "handlers/file/line.hpp"
#include "handlers/file/rotated.hpp"

namespace fastmqtt::file {
namespace {

using namespace std::chrono_literals;

constexpr auto kWaitForLock = 1s;

// Who may read may enter.
mode_t directory_mode(mode_t file) { return file | (file & 0444) >> 2; }

AppendFile::Clock::time_point begin_of(int fd) {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &status) != 0 ||
      (status.stx_mask & STATX_BTIME) == 0)
    return AppendFile::Clock::now();
  return AppendFile::Clock::from_time_t(status.stx_btime.tv_sec);
}

}  // namespace

AppendFile::AppendFile(const Host& host, const Writing& writing, const std::string& path)
    : host_(host), writing_(writing), path_(path) {
  open();
  if (::fstat(fd_.get(), &status_) != 0) fail(path_, errno);
  if (!S_ISREG(status_.st_mode))
    throw std::system_error(EINVAL, std::generic_category(), path_ + ": it is no regular file");
  begun_ = begin_of(fd_.get());
}

void AppendFile::open() {
  // Not to follow a link, nor to wait for who reads a FIFO.
  constexpr int kFlags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  const std::string name = name_of(path_);
  const Fd directory =
      make_directory(writing_.root, path_, directory_mode(writing_.mode), writing_.sync);
  fd_ = Fd(::openat(directory.get(), name.c_str(), kFlags));
  if (fd_) return;
  if (errno != ENOENT) fail(path_, errno);
  fd_ = Fd(::openat(directory.get(), name.c_str(), kFlags | O_CREAT, writing_.mode));
  if (!fd_ || ::fchmod(fd_.get(), writing_.mode) != 0) fail(path_, errno);
  if (writing_.sync && ::fsync(directory.get()) != 0) fail(path_, errno);
}

bool AppendFile::is_at_its_path() const {
  struct stat there {};
  return ::lstat(path_.c_str(), &there) == 0 && there.st_ino == status_.st_ino &&
         there.st_dev == status_.st_dev;
}

bool AppendFile::lock() {
  const auto until = std::chrono::steady_clock::now() + kWaitForLock;
  for (;;) {
    const bool locked = ::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0;
    const int error = errno;
    if (!is_at_its_path()) {
      if (locked) unlock();
      return false;
    }
    if (locked) return true;
    if (error == EINTR) continue;
    if (error != EWOULDBLOCK) fail(path_, error);
    if (std::chrono::steady_clock::now() >= until)
      throw std::system_error(error, std::generic_category(),
                              path_ + ": another program holds its lock");
    std::this_thread::sleep_for(1ms);
  }
}

void AppendFile::unlock() { ::flock(fd_.get(), LOCK_UN); }

std::uint64_t AppendFile::size() const {
  struct stat now {};
  if (::fstat(fd_.get(), &now) != 0) fail(path_, errno);
  return static_cast<std::uint64_t>(now.st_size);
}

void AppendFile::append(std::string_view lines) {
  if (const std::uint64_t now = size(); now != end_) end_last_line(now);
  const std::uint64_t before = size();
  std::size_t written = 0;
  while (written < lines.size()) {
    const ssize_t some = ::write(fd_.get(), lines.data() + written, lines.size() - written);
    if (some >= 0) {
      written += static_cast<std::size_t>(some);
      continue;
    }
    if (errno == EINTR) continue;
    const int error = errno;
    // Should that fail as well, or somebody write without the lock, then the next one to open it
    // ends the line.
    if (written > 0 && size() == before + written)
      static_cast<void>(::ftruncate(fd_.get(), static_cast<off_t>(before)) == 0);
    fail(path_, error);
  }
  end_ = before + written;
}

void AppendFile::sync() const {
  if (::fdatasync(fd_.get()) != 0) fail(path_, errno);
}

// A line without an end is of a write that was cut short, by a kill or a full disk, and its message
// comes again.  It is taken out where it is certain that it was ours, and ended where it is not.
void AppendFile::end_last_line(std::uint64_t size) {
  if (size == 0) return;
  errno = EIO;  // for what reads nothing, as somebody has truncated it
  char last = 0;
  if (::pread(fd_.get(), &last, 1, static_cast<off_t>(size - 1)) != 1) fail(path_, errno);
  if (last == '\n') return;
  const std::uint64_t begin = begin_of_last_line(size);
  std::array<char, kJsonBegin.size()> first{};
  const ssize_t read = ::pread(fd_.get(), first.data(), first.size(), static_cast<off_t>(begin));
  if (read <= 0) fail(path_, errno);
  const bool ours = writing_.json && kJsonBegin.starts_with(std::string_view(
                                         first.data(), static_cast<std::size_t>(read)));
  if (ours ? ::ftruncate(fd_.get(), static_cast<off_t>(begin)) != 0
           : ::write(fd_.get(), "\n", 1) != 1)
    fail(path_, errno);
  host_.log(Level::warning,
            path_ + ": its last line had no end, as a write was cut short: " +
                (ours ? "took out its " + std::to_string(size - begin) + " bytes" : "ended it"));
}

std::uint64_t AppendFile::begin_of_last_line(std::uint64_t size) const {
  std::array<char, 65'536> some;
  while (size > 0) {
    const std::uint64_t from = size > some.size() ? size - some.size() : 0;
    const ssize_t read = ::pread(fd_.get(), some.data(), static_cast<std::size_t>(size - from),
                                 static_cast<off_t>(from));
    if (read <= 0) fail(path_, errno);
    const std::string_view text(some.data(), static_cast<std::size_t>(read));
    if (const std::size_t end = text.rfind('\n'); end != std::string_view::npos)
      return from + end + 1;
    size = from;
  }
  return 0;
}

void AppendFile::rotate() {
  const Fd directory = open_directory(writing_.root, path_);
  const std::string name = name_of(path_);
  const std::string to = free_rotated_name(directory.get(), name, Clock::now());
  if (::renameat(directory.get(), name.c_str(), directory.get(), to.c_str()) != 0)
    fail(path_, errno);
  if (writing_.sync && ::fsync(directory.get()) != 0) fail(path_, errno);
}

}  // namespace fastmqtt::file
