#include "tests/support/port.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <random>
#include <stdexcept>
#include <string>

namespace fastmqttd::testing {
namespace {

constexpr std::uint16_t kFirst = 20000;
constexpr std::uint16_t kLast = 31999;
constexpr int kTries = 1000;

// A name that only one process can hold, and that goes when the process does.
UniqueFd reserve(std::uint16_t port) {
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::string name = "fastmqttd-test-port-" + std::to_string(port);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return UniqueFd();
  return fd;
}

bool free_now(std::uint16_t port) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

Port::Port() {
  std::random_device random;
  std::uniform_int_distribution<std::uint16_t> choose(kFirst, kLast);
  for (int i = 0; i < kTries; ++i) {
    number_ = choose(random);
    reservation_ = reserve(number_);
    if (reservation_ && free_now(number_)) return;
  }
  throw std::runtime_error("no free port");
}

}  // namespace fastmqttd::testing
