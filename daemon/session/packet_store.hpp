// What Paho wants kept of packets on their way, across the clients of one session, and of QoS 2
// across the runs of the daemon too: those records are in the spool.
//
// Paho asks for it by keys (paho.mqtt.c, MQTTPersistence.h): "r-N" and "r5-N" are received PUBLISH
// packets of QoS 2 by packet identifier; "s-N" and "s5-N" are sent ones of QoS 1 and 2, "sc-N" and
// "sc5-N" their PUBREL; everything else is not yet under way.  Those with a 5 are of MQTT 5.
//
// A record of a sent packet stands until the broker has acknowledged it; a new client sends it
// again.  One of QoS 2 outlives the process, for the broker may have half of the exchange behind
// it, and its packet identifier must not be given to another message.  When the broker has lost the
// session, Paho removes the records one by one, not by clear().
//
// A record of a received one says that the message of this packet identifier was taken; then Paho,
// and a new client too, recognises the broker's repetition.  It is written together with the
// message, so that neither is there without the other, and taken out when the exchange ends.
// Before MQTT 5 Paho acknowledges a QoS 2 message (PUBREC) and hands it over only at PUBREL, too
// late to refuse it: so it is taken from here, from the packet itself, right before the
// acknowledgement. With MQTT 5 Paho hands over before it acknowledges; the record waits for
// settle().
//
// Any thread: Paho's two, and that of whoever publishes (Paho records a command before it takes its
// own lock).
#pragma once

#include <mqtt/iclient_persistence.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

class PacketStore : public mqtt::iclient_persistence {
 public:
  // What the store needs of a client.
  struct Receiver {
    // Takes the message of a PUBLISH packet from before MQTT 5, to be stored with its record;
    // `stored` says whether it was.  When it is not taken, no acknowledgement leaves.
    std::function<bool(std::string_view packet, const PacketRecord& record, bool& stored)> take;
    // Sees to it that no acknowledgement leaves.
    std::function<void()> refuse;
  };
  // The record of a sent PUBLISH is gone: it was acknowledged, or the broker has lost the session.
  using SentGone = std::function<void(int packet_id)>;
  // The number in the outbox of a message whose exchange ends with that record; nothing when it is
  // not known, or when the message is to be sent again.
  using NumberOf = std::function<std::optional<std::uint64_t>(int packet_id)>;
  // What could not be written, before a refusal for that reason.
  using NotWritten = std::function<void(const std::string& what)>;

  // Without a spool everything is in memory.
  explicit PacketStore(
      Spool* spool = nullptr, SentGone sent_gone = [](int) {},
      NumberOf number_of = [](int) { return std::nullopt; },
      NotWritten not_written = [](const std::string&) {})
      : spool_(spool),
        sent_gone_(std::move(sent_gone)),
        number_of_(std::move(number_of)),
        not_written_(std::move(not_written)) {}

  // From now on it is about that session: what the spool has of it.  Sent packets of the one before
  // are forgotten: they go another way.  There is no client at this moment, as for the next ones.
  void at(const std::string& session);
  const std::string& session() const { return session_; }
  // A client is about to be made on it.
  void new_client(bool mqtt5, Receiver receiver);
  // The sent PUBLISH packets of QoS 2, by packet identifier.
  std::map<int, std::string> sent_qos2(bool mqtt5) const;
  void forget_sent(bool mqtt5, int packet_id);
  // Those of QoS 1, which are in memory only: the others wait for keep_only(), in case it comes to
  // nothing.
  void forget_sent_qos1(bool mqtt5);
  // The broker speaks this version: what is of the other one is over.
  void keep_only(bool mqtt5);

  // Whether there is a record of a sent PUBLISH.
  bool has_sent(int packet_id) const;
  // That of the QoS 2 message of MQTT 5 that is being handed over, to be stored with it; good until
  // settle(), which says that it was taken, or not, and whether it was stored.
  PacketRecord undecided() const;
  void settle(bool taken, bool stored);

  void open(const std::string&, const std::string&) override {}
  void close() override {}
  void clear() override;
  bool contains_key(const std::string& key) override {
    return state_.lock()->records.contains(key);
  }
  mqtt::string_collection keys() const override;
  void put(const std::string& key, const std::vector<mqtt::string_view>& parts) override;
  std::string get(const std::string& key) const override;
  // Never throws: Paho removes keys that were never put.
  void remove(const std::string& key) override;

 private:
  struct Record {
    std::string packet;
    bool stored = false;  // in the spool
  };
  struct State {
    std::map<std::string, Record> records;
    std::pair<std::string, std::string> undecided;  // an "r5-N" until settle()
  };

  void put_received(const std::string& key, std::string packet);
  void remove_received(const std::string& key, Record record);
  bool store(const std::string& key, const std::string& packet);
  template <class Which>
  void erase_if(Which which);

  Spool* const spool_;
  const SentGone sent_gone_;      // called without the lock
  const NumberOf number_of_;      // likewise
  const NotWritten not_written_;  // likewise
  Receiver receiver_;             // likewise
  std::string session_;           // changes while there is no client
  bool mqtt5_ = true;             // likewise
  mutable Guarded<State> state_;
};

}  // namespace fastmqttd
