#include "daemon/config/file.hpp"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "daemon/base/units.hpp"

namespace fastmqttd {
namespace {

[[noreturn]] void fail(const std::string& what, int error) {
  throw std::runtime_error(what + ": " + std::generic_category().message(error));
}

}  // namespace

RegularFile open_regular(const std::string& path) {
  if (path.find('\0') != std::string::npos)
    throw std::runtime_error("cannot be opened: its name holds a null character");
  RegularFile file;
  file.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.fd) fail("cannot be opened", errno);
  if (::fstat(file.fd.get(), &file.status) != 0) fail("cannot be read", errno);
  if (!S_ISREG(file.status.st_mode)) throw std::runtime_error("is not a regular file");
  return file;
}

std::string read_all(const RegularFile& file, std::size_t limit) {
  std::string text;
  std::array<char, 4096> part;
  for (;;) {
    const ssize_t count = ::read(file.fd.get(), part.data(), part.size());
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot be read", errno);
    text.append(part.data(), static_cast<std::size_t>(count));
    if (text.size() > limit) throw std::runtime_error("is larger than " + format_size(limit));
  }
}

std::string unsafe_reason(const struct stat& status) {
  if (status.st_uid != 0 && status.st_uid != ::geteuid())
    return "belongs to user " + std::to_string(status.st_uid);
  if ((status.st_mode & S_IWOTH) != 0) return "may be written by everybody: chmod o-w it";
  return {};
}

}  // namespace fastmqttd
