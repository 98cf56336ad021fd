// Addresses of the broker, and Paho's own socket to it, which Paho does not show.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/base/unique_fd.hpp"
#include "daemon/base/units.hpp"

namespace fastmqttd {

// One IP address and port.
struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;

  std::string host() const;  // "127.0.0.1", "::1"
  std::string text() const;  // "127.0.0.1:1883", "[::1]:1883"
  bool operator==(const Endpoint& other) const { return text() == other.text(); }
};

// All addresses of a host name, in the order of getaddrinfo(3).  Blocks while the resolver does.
// Empty on failure, and `why` says so.
std::vector<Endpoint> resolve(const std::string& host, std::uint16_t port, std::string& why);

// A connection of our own, not blocking; none on failure, and `why` is what it met, as the system
// names it ("Connection refused").  For the sake of a clear message after a failure that Paho
// reports without a reason.
UniqueFd connect_to(const Endpoint& endpoint, Duration timeout, std::string& why);

// A socket of this process, by descriptor and inode: a descriptor alone may be used again.
struct OwnSocket {
  int fd = -1;
  std::uint64_t inode = 0;
  bool operator==(const OwnSocket&) const = default;
};

// The TCP sockets of this process that are connected to the endpoint, and those that are connected
// to nothing (any more): a reset connection forgets its peer.
std::vector<OwnSocket> sockets_to(const Endpoint& endpoint);

// TCP_NODELAY: small packets leave at once.  Nagle's algorithm would hold an acknowledgement back
// for the broker's delayed ACK, some 40 ms.
void set_no_delay(const OwnSocket& socket);
// True when nothing written to it from now on can leave; false when the descriptor is not that
// socket any more.  What was written before arrives: what comes is read and forgotten until the
// peer closes too, for a second at most.
bool shut_down(const OwnSocket& socket);

// Sees to it that what was written to sockets arrives although they are closed in the meantime:
// holds them open, and on destruction reads and forgets what comes from those that were closed,
// until the peer closes too, for a second at most.
class Linger {
 public:
  explicit Linger(const std::vector<OwnSocket>& sockets);
  ~Linger();
  Linger(const Linger&) = delete;
  Linger& operator=(const Linger&) = delete;

 private:
  struct Held {
    OwnSocket socket;
    UniqueFd copy;
  };
  std::vector<Held> held_;
};

}  // namespace fastmqttd
