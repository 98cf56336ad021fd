// Takes what handlers have published from the outbox to the client, a window of it at a time, and
// tells the outbox what became of each.
//
// A message whose PUBLISH Paho has recorded (see PacketStore) is Paho's to send again, with the
// same packet identifier, through this client or the next: the broker may have half of its QoS 2
// exchange behind it.  One without a record goes back to the outbox when its client ends.
//
// Made for the session's owner; outcome(), recorded_no_more() and session_lost() come from Paho's
// threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "daemon/base/guarded.hpp"
#include "daemon/delivery/outbox.hpp"
#include "daemon/session/client.hpp"
#include "daemon/session/packet_store.hpp"

namespace fastmqttd {

class Publisher {
 public:
  // `more` is called, from any thread, when send() has something to do again.
  Publisher(Outbox& outbox, std::function<void()> more);

  // As much as the client's window lets through.
  void send(Client& client);

  // What the broker, or the network, did with a message: 0 it is there, else a reason code of
  // MQTT 5.0 section 2.4 with which it was refused, or nothing when the connection ended first.
  void outcome(std::uint64_t number, std::optional<int> reason_code);
  // Paho has forgotten its record of a packet: it was acknowledged.
  void recorded_no_more(int packet_id);
  // The broker has lost the session, and Paho all records with it.
  void session_lost();

  // Around the end of a client: failures in between say nothing about the messages.
  void client_ends();
  void client_ended(const PacketStore& store);

 private:
  struct State {
    // By number; 0 while it is being handed over, and for QoS 0.
    std::map<std::uint64_t, int> packet_ids;
    std::map<int, std::uint64_t> inherited;  // of an earlier client, by packet identifier
    bool window_full = false;
    bool ending = false;

    std::size_t on_way() const { return packet_ids.size() + inherited.size(); }
  };
  void settled(Guarded<State>::Locked& state);

  Outbox& outbox_;
  const std::function<void()> more_;
  Guarded<State> state_;
};

}  // namespace fastmqttd
