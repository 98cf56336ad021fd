// One connection to a broker that is only published to: Paho's client, whose traps are dealt with
// here and nowhere else.
//
// Made and called by one thread, for one attempt to connect.  The callbacks run on Paho's thread,
// under the lock that all clients in the process share, the daemon's own too: they must return at
// once, and must not call back.
#pragma once

#include <mqtt/async_client.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "handlers/republish/address.hpp"
#include "handlers/republish/broker_options.hpp"
#include "handlers/republish/publication.hpp"

namespace fastmqtt::republish {

// Why there is no connection (any more).
struct Loss {
  std::string why;
  int code = 0;  // with which the broker refused or ended it; 0 when it did not say
};

class Client {
 public:
  struct Callbacks {
    // What became of a publication: 0 it is there (QoS 0: written to the connection), else the
    // reason code with which the broker refused it.
    std::function<void(std::uint64_t number, int reason_code)> outcome;
    std::function<void(const Loss& loss)> lost;
  };
  // What the broker takes, from its CONNACK (MQTT 5.0 section 3.2.2.3).
  struct Limits {
    std::size_t receive_maximum = 65'535;
    int maximum_qos = 2;
    bool retain_available = true;
    std::size_t maximum_packet_size = kLargestPacket;
    std::optional<std::chrono::seconds> keepalive;  // other than ours
  };

  // `options` must outlive it.
  Client(const BrokerOptions& options, Callbacks callbacks);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // False on failure, and `loss` says why; then, too, it is of no more use.
  bool connect(const Address& address, std::chrono::seconds keepalive,
               const KeepWaiting& keep_waiting, Loss& loss);
  const Limits& limits() const { return limits_; }
  // Why this connection cannot carry it; empty when it can.
  std::string cannot_publish(const Publication& publication) const;
  // The outcome comes under `number`, or the loss of the connection instead.  False when Paho will
  // not have it: `why` says why it never will, or is empty.
  bool publish(const Publication& publication, std::uint64_t number, std::string& why);
  // Says DISCONNECT; does not wait long for it to go out.
  void disconnect();

 private:
  class Outcomes : public mqtt::iaction_listener {
   public:
    explicit Outcomes(const Callbacks& callbacks) : callbacks_(callbacks) {}
    void on_success(const mqtt::token& token) override;
    void on_failure(const mqtt::token& token) override;

   private:
    const Callbacks& callbacks_;
  };

  mqtt::connect_options connect_options(const Address& address, std::chrono::seconds keepalive);
  void read_limits(const mqtt::properties& connack, std::chrono::seconds keepalive);
  Loss loss_of(const mqtt::exception& failure, const Address& address) const;

  const BrokerOptions& options_;
  const Callbacks callbacks_;
  Outcomes outcomes_;
  Limits limits_;
  mqtt::async_client paho_;  // last: its callbacks use the rest
};

}  // namespace fastmqtt::republish
