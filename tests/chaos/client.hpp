// A client of the broker that does what it is told, packet by packet.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/unique_fd.hpp"
#include "tests/support/wait.hpp"

namespace fastmqttd::testing {

// A PUBLISH of QoS 1 or 2, taken apart; `id` as it goes over the wire, "" with QoS 0.
struct PublishPacket {
  std::string topic;
  std::string payload;
  int qos = 0;
  std::string id;
};
PublishPacket read_publish(std::string_view bytes, bool mqtt5);
std::string write_publish(const PublishPacket& publish, bool mqtt5);

// With a session that ends with the connection.  All throw when the broker does not answer or ends
// the connection.
class Client {
 public:
  Client(std::uint16_t port, bool mqtt5);

  bool mqtt5() const { return mqtt5_; }
  void send(std::string_view bytes);
  // The next packet, nothing when none comes.
  std::optional<std::string> receive(Milliseconds within);
  // The next packet.
  std::string await();

 private:
  const bool mqtt5_;
  UniqueFd socket_;
  std::string pending_;
};

}  // namespace fastmqttd::testing
