#include "handlers/file/directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>

namespace fastmqtt::file {
namespace {

struct Making {
  mode_t mode;
  bool sync;
};

Fd open_at(int at, const std::string& name, int flags) {
  return Fd(::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));
}

void make_at(const Fd& at, const std::string& name, const std::string& path, Making how) {
  // Somebody else may be faster.
  if (::mkdirat(at.get(), name.c_str(), how.mode) != 0) {
    if (errno != EEXIST) fail(path, errno);
    return;
  }
  // Whatever the umask.
  if (::fchmodat(at.get(), name.c_str(), how.mode, 0) != 0) fail(path, errno);
  if (how.sync && ::fsync(at.get()) != 0) fail(path, errno);
}

Fd open_root(const std::string& root, const std::optional<Making>& making) {
  Fd fd = open_at(AT_FDCWD, root.empty() ? "/" : root, 0);
  if (fd) return fd;
  if (errno != ENOENT || !making) fail(root, errno);
  make_at(open_root(root.substr(0, root.rfind('/')), making), name_of(root), root, *making);
  fd = open_at(AT_FDCWD, root, 0);
  if (!fd) fail(root, errno);
  return fd;
}

Fd walk(const std::string& root, std::string_view path, const std::optional<Making>& making) {
  Fd at = open_root(root, making);
  std::size_t begin = root.size() + 1;
  for (std::size_t end; (end = path.find('/', begin)) != std::string_view::npos; begin = end + 1) {
    const std::string name(path.substr(begin, end - begin));
    const std::string so_far(path.substr(0, end));
    Fd next = open_at(at.get(), name, O_NOFOLLOW);
    if (!next && errno == ENOENT && making) {
      make_at(at, name, so_far, *making);
      next = open_at(at.get(), name, O_NOFOLLOW);
    }
    if (!next) fail(so_far, errno);
    at = std::move(next);
  }
  return at;
}

}  // namespace

void fail(const std::string& path, int error) {
  throw std::system_error(error, std::generic_category(), path);
}

Fd open_directory(const std::string& root, std::string_view path) {
  return walk(root, path, std::nullopt);
}

Fd make_directory(const std::string& root, std::string_view path, mode_t mode, bool sync) {
  return walk(root, path, Making{mode, sync});
}

std::string name_of(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

}  // namespace fastmqtt::file
