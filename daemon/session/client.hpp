// Paho's client, tamed: the traps of its API are dealt with here and nowhere else.
//
// Made for one owner thread, which makes every call.  The callbacks run on Paho's thread, under
// Paho's global lock: they must return soon and must not call back into this class.
#pragma once

#include <mqtt/async_client.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/units.hpp"
#include "daemon/config/config.hpp"
#include "daemon/delivery/subscription_plan.hpp"
#include "daemon/message/message.hpp"
#include "daemon/session/packet_store.hpp"
#include "daemon/session/socket.hpp"

namespace fastmqttd {

// A reason code of MQTT 5.0 section 2.4, or a return code of MQTT 3.1.1 section 3.2.2.3, with its
// name.
std::string reason_text(int code);

class Client {
 public:
  struct Callbacks {
    // Whether the message is taken.  When not, the connection ends without acknowledging it.
    std::function<bool(const MessagePtr&)> message;
    // The broker answered the subscription at that place of the plan.
    std::function<void(std::uint32_t place, bool refused)> subscribed;
    // What became of a message that was published: 0 it is there, else the reason code with which
    // the broker refused it, or nothing when the connection ended first.
    std::function<void(std::uint64_t number, std::optional<int> reason_code)> published;
    // The connection ended; with the broker's words when it said why.
    std::function<void(const std::string& why)> lost;
  };
  struct Connected {
    bool session_present = false;
  };
  // Whether to go on waiting.
  using KeepWaiting = std::function<bool()>;

  // `config` and `store` must outlive it; one client at a time on a store.
  Client(const MqttConfig& config, const std::string& client_id, PacketStore& store,
         Callbacks callbacks);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // One attempt at one address.  Nothing on failure; `why` says so, empty when waiting was given
  // up.
  std::optional<Connected> connect(const Endpoint& endpoint, const KeepWaiting& keep_waiting,
                                   std::string& why);
  // Whether the latest attempt was given up before Paho was done with it.
  bool connecting() const { return connecting_; }
  // Subscribes to the plan, in its order.  Refusals are logged.  False when the connection did not
  // last.
  bool subscribe(const SubscriptionPlan& plan, const KeepWaiting& keep_waiting);
  // How many messages may be on their way at once.
  std::size_t window() const;
  // Why the broker of this connection cannot be given a message that has waited for so long; empty
  // when it can.
  std::string cannot_publish(const Message& message, std::chrono::seconds waited) const;
  // Sends it; its outcome is reported under `number`.  Its packet identifier, 0 for QoS 0; nothing
  // when it could not be sent: `why` says why it never can, or is empty when there is no
  // connection.
  std::optional<int> publish(const Message& message, std::uint64_t number,
                             std::chrono::seconds waited, std::string& why);
  // DISCONNECT, then close; bounded in time.
  void disconnect();
  // Returns once Paho has finished what it was doing; false when there is no connection.
  bool settled_connection();

  // Whether this client refused a message: it is of no use any more, since it would remember the
  // packet identifier and swallow the broker's repetition.
  bool refused() const { return refused_; }

 private:
  // Hears the answers to SUBSCRIBE on Paho's thread, in order with the messages.
  class Answers : public mqtt::iaction_listener {
   public:
    explicit Answers(const Callbacks& callbacks) : callbacks_(callbacks) {}
    void on_success(const mqtt::token& token) override;
    void on_failure(const mqtt::token& token) override;

   private:
    void answer(const mqtt::token& token, bool refused);
    const Callbacks& callbacks_;
  };

  // The same for PUBLISH.
  class Outcomes : public mqtt::iaction_listener {
   public:
    explicit Outcomes(const Callbacks& callbacks) : callbacks_(callbacks) {}
    void on_success(const mqtt::token& token) override;
    void on_failure(const mqtt::token& token) override;

   private:
    const Callbacks& callbacks_;
  };
  // What the broker takes, from its CONNACK (MQTT 5.0 section 3.2.2.3).
  struct BrokerLimits {
    std::size_t receive_maximum = 65535;
    int maximum_qos = 2;
    bool retain_available = true;
    std::size_t maximum_packet_size = SIZE_MAX;
    bool subscription_identifiers = false;
  };
  static BrokerLimits limits_of(const mqtt::properties& connack);

  bool subscribe_to(const std::vector<std::uint32_t>& places, const SubscriptionPlan& plan,
                    const KeepWaiting& keep_waiting, std::vector<bool>& refused);
  mqtt::token_ptr send_subscribe(std::uint32_t place, const SubscriptionPlan& plan);
  mqtt::connect_options connect_options(const Endpoint& endpoint) const;
  void on_message(const mqtt::message& message) noexcept;
  // Hands a message on; when it is not taken, refuses it.  Of QoS 1 and 2 none is taken after that.
  bool take(const Message::Parts& parts) noexcept;
  bool take_packet(std::string_view packet) noexcept;
  Message::Parts parts_of(const mqtt::message& message);
  static std::uint64_t next_message_id();
  void refuse() noexcept;
  std::vector<OwnSocket> new_sockets() const;

  const MqttConfig& config_;
  const Callbacks callbacks_;
  Answers answers_;
  Outcomes outcomes_;
  PacketStore& store_;
  std::atomic<bool> refused_{false};
  bool connecting_ = false;
  BrokerLimits broker_;
  bool properties_lost_ = false;  // a warning about that was given
  // The address of the connection and the sockets that led there before it; written by the owner
  // before connecting, read by callbacks.
  Endpoint endpoint_;
  std::vector<OwnSocket> older_sockets_;
  Guarded<std::vector<OwnSocket>> sockets_;      // of the connection, once it is made
  std::vector<fastmqtt_property> properties_;    // Paho's thread only
  std::vector<std::uint32_t> subscription_ids_;  // Paho's thread only
  mqtt::async_client paho_;                      // last: its callbacks use all of the above
};

}  // namespace fastmqttd
