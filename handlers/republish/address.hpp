// Where a broker's name leads, and what a connection there meets: what Paho does under its global
// lock, or does not tell, is done here, outside of it.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace fastmqtt::republish {

// Asked now and then whether to go on waiting.
using KeepWaiting = std::function<bool()>;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  std::string text() const;  // "127.0.0.1:1883", "[::1]:1883"
};

// All of a name, in the order of getaddrinfo(3).  Empty on failure, and `why` says so.  A resolver
// that does not answer is left behind in a thread of its own.
std::vector<Address> find_addresses(const std::string& host, std::uint16_t port,
                                    std::chrono::milliseconds timeout,
                                    const KeepWaiting& keep_waiting, std::string& why);

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// A connection of our own, which does not block; none on failure, and `why` is what it met, as the
// system names it ("Connection refused").
Socket connect_to(const Address& address, std::chrono::milliseconds timeout, std::string& why);

}  // namespace fastmqtt::republish
