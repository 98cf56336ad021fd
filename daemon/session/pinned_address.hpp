// Where a broker's name leads, decided by us.
//
// With TLS Paho has to be given the broker's name, which it sends (SNI) and compares with the
// certificate.  It would look the name up by itself then: under its global lock, for as long as the
// resolver takes, and try one address only.  So the name is looked up here, in good time, and while
// an address is pinned, getaddrinfo(3) of this program answers with it.
#pragma once

#include <string>

#include "daemon/session/socket.hpp"

namespace fastmqttd {

// From construction to destruction; one at a time.  Other names are looked up as ever.
class PinnedAddress {
 public:
  PinnedAddress(const std::string& host, const Endpoint& endpoint);
  ~PinnedAddress();
  PinnedAddress(const PinnedAddress&) = delete;
  PinnedAddress& operator=(const PinnedAddress&) = delete;
};

}  // namespace fastmqttd
