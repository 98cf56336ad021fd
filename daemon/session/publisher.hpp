// Takes what handlers have published from the outbox to the client, a window of it at a time, and
// tells the outbox what became of each.
//
// A client lives as long as its connection.  A message whose PUBLISH Paho has recorded by then (see
// PacketStore) the next client inherits: Paho sends it again with the same packet identifier, since
// the broker may have half of its QoS 2 exchange behind it.  One without a record goes back to the
// outbox, behind the inherited ones.  When the broker has lost the session, the inherited ones go
// back too.  Of an inherited message only its end is known: Paho drops the reason code.
//
// Made for the session's owner; outcome() and record_gone() come from Paho's threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/delivery/outbox.hpp"
#include "daemon/session/client.hpp"
#include "daemon/session/packet_store.hpp"

namespace fastmqttd {

class Publisher {
 public:
  // `more` is called, from any thread, when send() has something to do again.
  Publisher(Outbox& outbox, std::function<void()> more);

  // As much as the client's window lets through, within bounds; what is left is announced by
  // `more`.
  void send(Client& client);

  // What the broker, or the network, did with a message: 0 it is there, else a reason code of
  // MQTT 5.0 section 2.4 with which it was refused, or nothing when the connection ended first.
  void outcome(std::uint64_t number, std::optional<int> reason_code);
  // Paho has forgotten its record of a packet.
  void record_gone(int packet_id);
  // See PacketStore::NumberOf.
  std::optional<std::uint64_t> number_of(int packet_id);

  // Around an attempt to connect: what goes in between went because the session is lost, or not.
  void connecting();
  void connected(bool session_present);
  // What is inherited goes back to the outbox: the next client cannot have it.
  void disinherit();
  // Before a client is made: what a run before has left under way is inherited too.  A packet that
  // no message of the outbox belongs to is taken out of the store.
  void adopt(PacketStore& store, bool mqtt5);
  // Around the end of a client: failures in between say nothing about the messages.
  void client_ends();
  void client_ended(const PacketStore& store);

 private:
  struct State {
    // By number; 0 while it is being handed over, and for QoS 0.
    std::map<std::uint64_t, int> packet_ids;
    std::map<int, std::uint64_t> inherited;  // by packet identifier
    std::vector<std::uint64_t> undecided;    // were inherited, gone before it is known why
    bool connecting = false;
    bool ending = false;
    bool window_full = false;

    std::size_t on_way() const { return packet_ids.size() + inherited.size(); }
  };
  void settled(Guarded<State>::Locked& state);
  void give_back(const std::vector<std::uint64_t>& numbers);

  Outbox& outbox_;
  const std::function<void()> more_;
  Guarded<State> state_;
};

}  // namespace fastmqttd
