// What went between the daemon and the broker: the messages that the broker has sent, and which of
// them the daemon has acknowledged.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "tests/chaos/client.hpp"
#include "tests/chaos/numbers.hpp"
#include "tests/support/wire.hpp"

namespace fastmqttd::testing {

class WireWatch {
 public:
  // `version` is that of the daemon's connections.
  WireWatch(std::uint16_t broker_port, const std::string& version);

  Relay& relay() { return relay_; }
  Arrivals sent() const;
  // By a PUBACK, or PUBREC, that says that it went well.
  Arrivals acknowledged() const;

 private:
  void look(const WirePacket& packet);
  void note_publish(const WirePacket& packet);
  void note_acknowledgement(const WirePacket& packet);

  const bool mqtt5_;
  mutable std::mutex mutex_;
  std::map<std::pair<int, std::string>, PublishPacket>
      open_;  // by connection and packet identifier
  Arrivals sent_;
  Arrivals acknowledged_;
  Relay relay_;  // last: it calls the above
};

}  // namespace fastmqttd::testing
