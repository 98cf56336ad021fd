// The UNIX socket on which the operator's tool reaches the daemon.
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include <filesystem>
#include <memory>

#include "daemon/base/unique_fd.hpp"
#include "daemon/config/config.hpp"

namespace fastmqttd {

// control.sock in $RUNTIME_DIRECTORY of systemd.exec(5), else in the directory that it would be.
std::filesystem::path default_control_socket();

// Nothing when the path is too long.
std::optional<sockaddr_un> socket_address(const std::filesystem::path& path);

// Listens, without ever blocking, from construction to destruction, which removes the file.
class ControlSocket {
 public:
  // Replaces a socket that nobody listens on.  Throws the Problem of the path.
  explicit ControlSocket(std::filesystem::path path);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int fd() const { return fd_.get(); }

 private:
  const std::filesystem::path path_;
  UniqueFd fd_;
  dev_t device_ = 0;  // with the inode: what was made here, and not a successor's
  ino_t inode_ = 0;
};

// The one of the configuration.  Throws StartError when that, or the directory that systemd made,
// cannot be used.  Null, with a warning, when the daemon runs by hand and has no place for one.
std::unique_ptr<ControlSocket> open_control_socket(const ControlConfig& config);

// For `--check`: what of it would be an error at the start, as far as it shows without making one.
// Throws StartError.
void check_control_socket(const ControlConfig& config);

}  // namespace fastmqttd
