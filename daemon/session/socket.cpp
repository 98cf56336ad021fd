#include "daemon/session/socket.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

namespace fastmqttd {
namespace {

constexpr rlim_t kMostDescriptors = 1 << 20;
constexpr Duration kLinger = std::chrono::seconds(1);

// The socket behind a descriptor; nothing when it is none.
std::optional<OwnSocket> socket_at(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISSOCK(info.st_mode)) return std::nullopt;
  return OwnSocket{fd, info.st_ino};
}

// Also when no further descriptor can be had to list them with.
std::vector<int> open_descriptors() {
  std::vector<int> descriptors;
  if (const std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir("/proc/self/fd"), ::closedir);
      list) {
    while (const dirent* entry = ::readdir(list.get()))
      if (const int fd = std::atoi(entry->d_name); fd > 0) descriptors.push_back(fd);
    return descriptors;
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  for (int fd = 1; fd < static_cast<int>(std::min<rlim_t>(limit.rlim_cur, kMostDescriptors)); ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) descriptors.push_back(fd);
  return descriptors;
}

sockaddr* generic(sockaddr_storage& address) { return reinterpret_cast<sockaddr*>(&address); }

bool peer_is(int fd, const Endpoint& endpoint) {
  Endpoint peer;
  peer.size = sizeof peer.address;
  return ::getpeername(fd, generic(peer.address), &peer.size) == 0 && peer == endpoint;
}

// A TCP socket whose connection is over, so that its peer is forgotten.
bool was_closed(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE;
}

// A socket that is closed with something unread resets the connection, and then the peer may never
// see what was written before.
void read_until_closed(int fd, TimePoint deadline) {
  char unread[4096];
  for (;;) {
    const auto left = std::chrono::ceil<Duration>(deadline - Clock::now());
    pollfd poll{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&poll, 1, static_cast<int>(left.count())) != 1) return;
    if (::recv(fd, unread, sizeof unread, MSG_DONTWAIT) <= 0) return;
  }
}

}  // namespace

std::string Endpoint::host() const {
  char host[NI_MAXHOST] = "?";
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof host, nullptr, 0,
                NI_NUMERICHOST);
  return host;
}

std::string Endpoint::text() const {
  const bool v4 = address.ss_family == AF_INET;
  const in_port_t port = v4 ? reinterpret_cast<const sockaddr_in&>(address).sin_port
                            : reinterpret_cast<const sockaddr_in6&>(address).sin6_port;
  return (v4 ? host() : "[" + host() + "]") + ":" + std::to_string(ntohs(port));
}

std::vector<Endpoint> resolve(const std::string& host, std::uint16_t port, std::string& why) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* raw = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &raw)) {
    why = error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error);
    return {};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(raw, ::freeaddrinfo);
  std::vector<Endpoint> endpoints;
  for (const addrinfo* at = raw; at; at = at->ai_next) {
    if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
    Endpoint endpoint;
    std::memcpy(&endpoint.address, at->ai_addr, at->ai_addrlen);
    endpoint.size = at->ai_addrlen;
    endpoints.push_back(endpoint);
  }
  if (endpoints.empty()) why = "it has no IP address";
  return endpoints;
}

UniqueFd connect_to(const Endpoint& endpoint, Duration timeout, std::string& why) {
  UniqueFd fd(::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto fails = [&why](int error) {
    why = std::strerror(error);
    return UniqueFd();
  };
  if (!fd) return fails(errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) == 0)
    return fd;
  if (errno != EINPROGRESS) return fails(errno);
  pollfd poll{fd.get(), POLLOUT, 0};
  if (::poll(&poll, 1, static_cast<int>(timeout.count())) != 1) return fails(ETIMEDOUT);
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) return fails(error);
  return fd;
}

std::vector<OwnSocket> sockets_to(const Endpoint& endpoint) {
  std::vector<OwnSocket> found;
  for (const int fd : open_descriptors()) {
    const std::optional<OwnSocket> socket = socket_at(fd);
    if (socket && (peer_is(fd, endpoint) || was_closed(fd))) found.push_back(*socket);
  }
  return found;
}

void set_no_delay(const OwnSocket& socket) {
  const int on = 1;
  if (socket_at(socket.fd) == socket)
    ::setsockopt(socket.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool shut_down(const OwnSocket& socket) {
  if (socket_at(socket.fd) != socket) return false;
  if (::shutdown(socket.fd, SHUT_WR) != 0) return errno == ENOTCONN;
  read_until_closed(socket.fd, Clock::now() + kLinger);
  ::shutdown(socket.fd, SHUT_RD);
  return true;
}

Linger::Linger(const std::vector<OwnSocket>& sockets) {
  for (const OwnSocket& socket : sockets) {
    UniqueFd copy(::fcntl(socket.fd, F_DUPFD_CLOEXEC, 0));
    if (copy && socket_at(copy.get()) == OwnSocket{copy.get(), socket.inode})
      held_.push_back({socket, std::move(copy)});
  }
}

Linger::~Linger() {
  const TimePoint deadline = Clock::now() + kLinger;
  for (const Held& held : held_) {
    if (socket_at(held.socket.fd) == held.socket) continue;  // still in use
    ::shutdown(held.copy.get(), SHUT_WR);
    read_until_closed(held.copy.get(), deadline);
  }
}

}  // namespace fastmqttd
