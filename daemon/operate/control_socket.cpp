#include "daemon/operate/control_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "daemon/base/build_info.hpp"
#include "daemon/base/error.hpp"
#include "daemon/base/log.hpp"

namespace fastmqttd {
namespace {

constexpr int kBacklog = 16;
constexpr mode_t kMode = 0660;

constexpr const char* kExpected = "expected a path in a directory that the daemon may write";

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

UniqueFd new_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what,
                       const std::string& expected = kExpected) {
  throw Problem{{path.string(), 0, 0}, "", what, expected};
}

// Removes what a dead daemon has left there, and nothing else.
void make_way(const std::filesystem::path& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode))
    fail(path, "is there, and is no socket", "expected nothing in its place: move it away");
  const UniqueFd probe = new_socket();
  if (::connect(probe.get(), generic(address), sizeof address) == 0 || errno == EAGAIN)
    fail(path, "another fastmqttd listens there", "expected a socket of its own for each");
  if (errno != ECONNREFUSED && errno != ENOENT)
    fail(path, std::string("somebody else's socket is there: ") + std::strerror(errno));
  ::unlink(path.c_str());
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

std::filesystem::path default_control_socket() {
  const std::string list =  // separated by colons
      is_set("RUNTIME_DIRECTORY") ? std::getenv("RUNTIME_DIRECTORY") : build::kRuntimeDirectory;
  return std::filesystem::path(list.substr(0, list.find(':'))) / "control.sock";
}

std::optional<sockaddr_un> socket_address(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  static_assert(kMostSocketPath == sizeof address.sun_path - 1);
  const std::string& text = path.native();
  if (text.size() > kMostSocketPath) return std::nullopt;
  text.copy(address.sun_path, text.size());
  return address;
}

ControlSocket::ControlSocket(std::filesystem::path path) : path_(std::move(path)) {
  const auto address = socket_address(path_);
  if (!address)
    fail(path_, "is too long for a socket (" + std::to_string(path_.native().size()) + " bytes)",
         "expected at most " + std::to_string(kMostSocketPath));
  fd_ = new_socket();
  const auto bind_it = [&] { return ::bind(fd_.get(), generic(*address), sizeof *address) == 0; };
  bool bound = bind_it();
  if (!bound && errno == EADDRINUSE) {
    make_way(path_, *address);
    bound = bind_it();
  }
  struct stat status {};
  if (!bound || ::chmod(path_.c_str(), kMode) != 0 || ::lstat(path_.c_str(), &status) != 0 ||
      ::listen(fd_.get(), kBacklog) != 0)
    fail(path_, std::string("no socket can be made there: ") + std::strerror(errno));
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

ControlSocket::~ControlSocket() {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
    ::unlink(path_.c_str());
}

std::unique_ptr<ControlSocket> open_control_socket(const ControlConfig& config) {
  const std::filesystem::path path =
      config.socket ? std::filesystem::path(config.socket->value()) : default_control_socket();
  try {
    return std::make_unique<ControlSocket>(path);
  } catch (const Problem& problem) {
    if (config.socket)
      throw StartError({{config.place, "control.socket",
                         to_string(problem.place) + ": " + problem.what, problem.expected}});
    if (is_set("RUNTIME_DIRECTORY"))
      throw StartError(
          {{problem.place, "", problem.what, problem.expected + ": see control.socket"}});
    log::warning("{}: fastmqttctl cannot reach this daemon", to_string(problem));
    return nullptr;
  }
}

void check_control_socket(const ControlConfig& config) {
  if (!config.socket) return;
  const std::filesystem::path path = config.socket->value();
  if (::access(path.parent_path().c_str(), W_OK | X_OK) == 0) return;
  throw StartError(
      {{config.place, "control.socket",
        path.string() + ": no socket can be made there: " + std::strerror(errno), kExpected}});
}

}  // namespace fastmqttd
