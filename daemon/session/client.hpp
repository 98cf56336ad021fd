// Paho's client, tamed: the traps of its API are dealt with here and nowhere else.
//
// Made for one owner thread, which makes every call.  The callbacks run on Paho's thread, under
// Paho's global lock: they must return soon and must not call back into this class.
#pragma once

#include <mqtt/async_client.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/units.hpp"
#include "daemon/config/config.hpp"
#include "daemon/message/message.hpp"
#include "daemon/session/login.hpp"
#include "daemon/session/packet_store.hpp"
#include "daemon/session/socket.hpp"

namespace fastmqttd {

// What is connected to: an address, and the name that it has in the configuration.
struct BrokerAddress {
  std::string host;
  Endpoint endpoint;
};

// Why an attempt to connect failed.
struct ConnectFailure {
  enum class Kind {
    unreachable,     // no connection, or none that TLS would have
    without_answer,  // the broker ended the connection instead of sending CONNACK
    refused,         // it sent one that says no
    given_up,        // waiting was: there is nothing to say
  };
  Kind kind = Kind::unreachable;
  int code = 0;  // refused: see reason.hpp
  std::string why;
  // The broker may have had our CONNECT, and made or ended a session.
  bool may_have_arrived = false;
};

class Client {
 public:
  struct Callbacks {
    // Whether the message is taken, and if so, whether it was stored, and the record with it.  When
    // it is not taken, the connection ends without acknowledging it.
    std::function<bool(const Message::Parts&, const PacketRecord*, bool& stored)> message;
    // The broker answered the subscription to that filter: the QoS it grants, -1 when it refuses
    // it.  And it has ended it, when it is unsubscribed.
    std::function<void(const std::string& filter, int qos, std::uint32_t identifier)> subscribed;
    std::function<void(const std::string& filter)> unsubscribed;
    // What became of a message that was published: 0 it is there, else the reason code with which
    // the broker refused it, or nothing when the connection ended first.
    std::function<void(std::uint64_t number, std::optional<int> reason_code)> published;
    // The connection ended; with the broker's words and its reason code when it said why.
    std::function<void(const std::string& why, int reason_code)> lost;
  };
  // What CONNACK says (MQTT 5.0 section 3.2.2).
  struct Connected {
    bool session_present = false;
    bool session_told = true;                            // MQTT 3.1 does not say whether it is
    std::optional<std::chrono::seconds> keepalive;       // other than ours
    std::optional<std::chrono::seconds> session_expiry;  // other than ours
  };
  // Whether to go on waiting.
  using KeepWaiting = std::function<bool()>;

  // `config` and `store` must outlive it; one client at a time on a store.
  Client(const MqttConfig& config, MqttVersion version, const std::string& client_id,
         PacketStore& store, Callbacks callbacks);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  MqttVersion version() const { return version_; }
  // One attempt at one address.
  std::variant<Connected, ConnectFailure> connect(const BrokerAddress& broker, const Login& login,
                                                  std::chrono::seconds keepalive,
                                                  const KeepWaiting& keep_waiting);
  // Whether the latest attempt was given up before Paho was done with it.
  bool connecting() const { return connecting_; }

  // What the broker takes, from its CONNACK (MQTT 5.0 section 3.2.2.3).
  struct BrokerLimits {
    std::size_t receive_maximum = 65535;
    int maximum_qos = 2;
    bool retain_available = true;
    std::size_t maximum_packet_size = SIZE_MAX;
    bool subscription_identifiers = false;
    bool wildcards = true;
    bool shared_subscriptions = true;
  };
  const BrokerLimits& broker() const { return broker_; }

  // One SUBSCRIBE packet; with MQTT 5 for one filter only.
  struct SubscribeRequest {
    std::vector<SubscriptionConfig> subscriptions;
    std::uint32_t identifier = 0;  // 0: none
  };
  // Sends them all and waits for the answers, a code of MQTT 5.0 section 3.9.3 for each filter of
  // each.  Nothing when the connection did not last.
  std::optional<std::vector<std::vector<int>>> subscribe(
      const std::vector<SubscribeRequest>& requests, const KeepWaiting& keep_waiting);
  // One UNSUBSCRIBE packet; a code of MQTT 5.0 section 3.11.3 for each.  Nothing when the
  // connection did not last.
  std::optional<std::vector<int>> unsubscribe(const std::vector<std::string>& filters,
                                              const KeepWaiting& keep_waiting);

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
  // Publishes and waits until it is sent (QoS 0) or the broker has it, for `timeout` at most: for
  // words of the session itself.
  bool announce(const Message& message, Duration timeout);
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
    const Callbacks& callbacks_;
  };

  // The same for UNSUBSCRIBE.
  class Ends : public mqtt::iaction_listener {
   public:
    Ends(const Callbacks& callbacks, bool mqtt5) : callbacks_(callbacks), mqtt5_(mqtt5) {}
    void on_success(const mqtt::token& token) override;
    void on_failure(const mqtt::token&) override {}

   private:
    const Callbacks& callbacks_;
    const bool mqtt5_;
  };

  // And for PUBLISH.
  class Outcomes : public mqtt::iaction_listener {
   public:
    explicit Outcomes(const Callbacks& callbacks) : callbacks_(callbacks) {}
    void on_success(const mqtt::token& token) override;
    void on_failure(const mqtt::token& token) override;

   private:
    const Callbacks& callbacks_;
  };
  static BrokerLimits limits_of(const mqtt::properties& connack);

  bool mqtt5() const { return version_ == MqttVersion::v5; }
  mqtt::token_ptr send_subscribe(SubscribeRequest& request);
  mqtt::connect_options connect_options(const BrokerAddress& broker, const Login& login,
                                        std::chrono::seconds keepalive);
  Connected read_connack(const mqtt::connect_response& answer, std::chrono::seconds keepalive);
  ConnectFailure failure_of(const mqtt::exception& failure, const BrokerAddress& broker,
                            const Login& login) const;
  void on_message(const mqtt::message& message) noexcept;
  // Hands a message on; when it is not taken, refuses it.  Of QoS 1 and 2 none is taken after that.
  bool take(const Message::Parts& parts, const PacketRecord* record, bool& stored) noexcept;
  bool take_packet(std::string_view packet, const PacketRecord& record, bool& stored) noexcept;
  Message::Parts parts_of(const mqtt::message& message);
  void refuse() noexcept;
  std::vector<OwnSocket> new_sockets() const;

  const MqttConfig& config_;
  const MqttVersion version_;
  const Callbacks callbacks_;
  Answers answers_;
  Ends ends_;
  Outcomes outcomes_;
  PacketStore& store_;
  mqtt::ssl_options tls_;  // of the latest attempt; Paho C++ 1.2.0 keeps pointers into it
  // Of this connection: the answers point at them, and a token is done before its listener is.
  std::deque<SubscribeRequest> requests_;
  std::deque<std::vector<std::string>> unsubscribed_;
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
