#include "handlers/file/gzip.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>

#include "handlers/file/directory.hpp"

namespace fastmqtt::file {
namespace {

constexpr int kMostTries = 100;  // to lock it, one in ten milliseconds

// gzclose() closes the descriptor that it was given, and frees all even where it fails.
struct GzClose {
  void operator()(gzFile file) const { gzclose(file); }
};
using GzFile = std::unique_ptr<gzFile_s, GzClose>;

[[noreturn]] void fail_gzip(const std::string& name, gzFile file) {
  int number = 0;
  gzerror(file, &number);
  fail(name, number == Z_ERRNO ? errno : EIO);
}

// False when it is to stop.
bool copy(const Fd& from, const Fd& to, const std::string& name,
          const std::function<bool()>& is_stopping) {
  const int fd = ::fcntl(to.get(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) fail(name, errno);
  GzFile zip(gzdopen(fd, "wb"));
  if (!zip) {
    ::close(fd);
    fail(name, ENOMEM);
  }
  std::array<char, 65'536> some;
  for (ssize_t read; (read = ::read(from.get(), some.data(), some.size())) != 0;) {
    if (read < 0) fail(name, errno);
    if (is_stopping()) return false;
    if (gzwrite(zip.get(), some.data(), static_cast<unsigned>(read)) != read)
      fail_gzip(name, zip.get());
  }
  errno = EIO;
  if (gzclose(zip.release()) != Z_OK) fail(name, errno);
  return true;
}

// Those who wrote to it last let it go at once when they see that it has moved.
bool lock(const Fd& fd, const std::function<bool()>& is_stopping) {
  for (int i = 0; i < kMostTries; ++i) {
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return true;
    if (is_stopping()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

bool is_there(int directory, const std::string& name, const struct stat& file) {
  struct stat there {};
  return ::fstatat(directory, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
         there.st_ino == file.st_ino && there.st_dev == file.st_dev;
}

}  // namespace

void compress_file(int directory, const std::string& name,
                   const std::function<bool()>& is_stopping) {
  const Fd from(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!from && errno == ENOENT) return;
  struct stat file {};
  if (!from || ::fstat(from.get(), &file) != 0) fail(name, errno);
  if (!S_ISREG(file.st_mode) || !lock(from, is_stopping)) return;
  if (!is_there(directory, name, file)) return;  // somebody else has done it

  const std::string half = half_name(name);
  const Fd to(::openat(directory, half.c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!to) fail(half, errno);
  const std::array times{file.st_atim, file.st_mtim};
  try {
    if (!copy(from, to, half, is_stopping)) {
      ::unlinkat(directory, half.c_str(), 0);
      return;
    }
    if (::fchmod(to.get(), file.st_mode & 0777) != 0 || ::futimens(to.get(), times.data()) != 0 ||
        ::fsync(to.get()) != 0 ||
        ::renameat(directory, half.c_str(), directory, (name + ".gz").c_str()) != 0)
      fail(half, errno);
  } catch (...) {
    ::unlinkat(directory, half.c_str(), 0);
    throw;
  }
  // The copy is there for good before the original goes.
  if (::fsync(directory) != 0 || ::unlinkat(directory, name.c_str(), 0) != 0) fail(name, errno);
}

}  // namespace fastmqtt::file
