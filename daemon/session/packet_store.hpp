// What Paho wants kept of packets on their way, in memory, across the clients of one session.
//
// Paho asks for it by keys (paho.mqtt.c, MQTTPersistence.h): "r-N" and "r5-N" are received PUBLISH
// packets of QoS 2 by packet identifier; "s-N" and "s5-N" are sent ones of QoS 1 and 2, "sc-N" and
// "sc5-N" their PUBREL; everything else is not yet under way.
//
// A record of a sent packet stands until the broker has acknowledged it; a new client sends it
// again.  When the broker has lost the session, Paho removes the records one by one, not by
// clear().  A record of a received one says that the message of this packet identifier was taken;
// then Paho, and a new client too, recognises the broker's repetition.  Before MQTT 5 Paho
// acknowledges a QoS 2 message (PUBREC) and hands it over only at PUBREL, too late to refuse it: so
// it is taken from here, from the packet itself, right before the acknowledgement.  With MQTT 5
// Paho hands over before it acknowledges; the record waits for settle().
//
// Any thread: Paho's two, and that of whoever publishes (Paho records a command before it takes its
// own lock).
#pragma once

#include <mqtt/iclient_persistence.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/guarded.hpp"

namespace fastmqttd {

class PacketStore : public mqtt::iclient_persistence {
 public:
  // Takes the message of a PUBLISH packet.  When it does not, it has seen to it that no
  // acknowledgement leaves.
  using Take = std::function<bool(std::string_view packet)>;
  // The record of a sent PUBLISH is gone: it was acknowledged, or the broker has lost the session.
  using SentGone = std::function<void(int packet_id)>;

  explicit PacketStore(SentGone sent_gone = [](int) {}) : sent_gone_(std::move(sent_gone)) {}

  // A client is about to be made on it; there is none at this moment.
  void new_client(Take take);
  // Whether there is a record of a sent PUBLISH.
  bool has_sent(int packet_id) const;
  // The QoS 2 message of MQTT 5 that was handed over just now was taken, or not.
  void settle(bool taken);

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
  struct State {
    std::map<std::string, std::string> records;
    std::pair<std::string, std::string> undecided;  // an "r5-N" until settle()
  };

  const SentGone sent_gone_;  // called without the lock
  Take take_;                 // likewise
  mutable Guarded<State> state_;
};

}  // namespace fastmqttd
