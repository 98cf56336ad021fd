#include "daemon/session/packet_store.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>

#include "daemon/base/fnv.hpp"
#include "daemon/base/log.hpp"
#include "daemon/session/publish_packet.hpp"

namespace fastmqttd {
namespace {

// In the first byte of a PUBLISH (MQTT 3.1.1 section 3.3.1).
constexpr char kDup = 8;
constexpr char kQos2 = 4;

bool received(const std::string& key) { return key.starts_with("r-") || key.starts_with("r5-"); }
bool sent_publish(const std::string& key) {
  return key.starts_with("s-") || key.starts_with("s5-");
}
bool sent_pubrel(const std::string& key) {
  return key.starts_with("sc-") || key.starts_with("sc5-");
}
bool sent(const std::string& key) { return sent_publish(key) || sent_pubrel(key); }
bool of_mqtt5(const std::string& key) { return key.find("5-") != std::string::npos; }
int packet_id(const std::string& key) { return std::atoi(key.c_str() + key.find('-') + 1); }
bool has(const std::string& packet, char flag) {
  return !packet.empty() && (packet.front() & flag) != 0;
}

// What tells one message from another.
std::uint64_t digest(const PublishPacket& publish) {
  return fnv(publish.payload, fnv({"\0", 1}, fnv(publish.topic)));
}

// What is kept of a received packet: a PUBLISH with its identifier and, as its payload, a digest of
// the message.  That has been taken, and Paho only looks the identifier up.
std::string bare_publish(const std::string& key, const std::string& packet) {
  const int id = packet_id(key);
  const bool mqtt5 = of_mqtt5(key);
  const std::uint64_t its_digest = digest(parse_publish(packet, mqtt5).value_or(PublishPacket{}));
  std::string bare{'\x34', mqtt5 ? '\x0e' : '\x0d', 0, 1, 'x'};
  bare += static_cast<char>(id >> 8);
  bare += static_cast<char>(id & 0xFF);
  if (mqtt5) bare += '\0';  // the length of no properties
  for (unsigned shift = 0; shift < 64; shift += 8) bare += static_cast<char>(its_digest >> shift);
  return bare;
}

}  // namespace

void PacketStore::at(const std::string& session) {
  if (session == session_) return;
  erase_if([](const std::string& key) { return sent(key); });
  session_ = session;
  auto state = state_.lock();
  *state = {};
  if (!spool_) return;
  for (auto& [key, packet] : spool_->packets(session_))
    state->records[key] = {std::move(packet), true};
}

void PacketStore::new_client(bool mqtt5, Receiver receiver) {
  receiver_ = std::move(receiver);
  mqtt5_ = mqtt5;
  auto state = state_.lock();
  state->undecided = {};
  // What the old client had not begun to send is not the new one's to know.
  std::erase_if(state->records,
                [](const auto& record) { return !received(record.first) && !sent(record.first); });
}

std::map<int, std::string> PacketStore::sent_qos2(bool mqtt5) const {
  std::map<int, std::string> packets;
  auto state = state_.lock();
  for (const auto& [key, record] : state->records)
    if (sent_publish(key) && of_mqtt5(key) == mqtt5 && has(record.packet, kQos2))
      packets[packet_id(key)] = record.packet;
  return packets;
}

template <class Which>
void PacketStore::erase_if(Which which) {
  std::vector<std::string> stored;
  {
    auto state = state_.lock();
    std::erase_if(state->records, [&](const auto& record) {
      if (!which(record.first)) return false;
      if (record.second.stored) stored.push_back(record.first);
      return true;
    });
  }
  for (const std::string& key : stored) spool_->forget_packet(session_, key);
}

void PacketStore::forget_sent(bool mqtt5, int id) {
  erase_if([&](const std::string& key) {
    return sent(key) && of_mqtt5(key) == mqtt5 && packet_id(key) == id;
  });
}

void PacketStore::forget_sent_qos1(bool mqtt5) {
  auto state = state_.lock();
  std::erase_if(state->records, [&](const auto& record) {
    const auto& [key, kept] = record;
    return sent_publish(key) && of_mqtt5(key) == mqtt5 && !has(kept.packet, kQos2);
  });
}

void PacketStore::keep_only(bool mqtt5) {
  erase_if([&](const std::string& key) { return of_mqtt5(key) != mqtt5; });
}

bool PacketStore::has_sent(int id) const {
  const std::string text = std::to_string(id);
  auto state = state_.lock();
  return state->records.contains((mqtt5_ ? "s5-" : "s-") + text);
}

PacketRecord PacketStore::undecided() const {
  auto state = state_.lock();
  return {session_, state->undecided.first, state->undecided.second};
}

void PacketStore::settle(bool taken, bool stored) {
  auto state = state_.lock();
  if (taken && !state->undecided.first.empty())
    state->records[state->undecided.first] = {std::move(state->undecided.second), stored};
  state->undecided = {};
}

void PacketStore::clear() {
  erase_if([](const std::string&) { return true; });
}

mqtt::string_collection PacketStore::keys() const {
  mqtt::string_collection keys;
  auto state = state_.lock();
  for (const auto& [key, record] : state->records)
    if (of_mqtt5(key) == mqtt5_) keys.push_back(key);
  return keys;
}

void PacketStore::put(const std::string& key, const std::vector<mqtt::string_view>& parts) {
  std::string packet;
  for (const auto& part : parts) packet.append(part.data(), part.size());
  if (received(key)) return put_received(key, std::move(packet));
  const bool stored = store(key, packet);
  state_.lock()->records[key] = {std::move(packet), stored};
}

// Without the DUP flag, or with other contents, the identifier is a new message's, although a
// record is still here: the broker has begun another session, or is back from an earlier save, or
// we ended before the record was taken out.
void PacketStore::put_received(const std::string& key, std::string packet) {
  std::string kept = bare_publish(key, packet);
  const bool repeated = has(packet, kDup) && get(key) == kept;
  if (!of_mqtt5(key)) {
    if (repeated) return;
    bool stored = false;
    if (!receiver_.take(packet, {session_, key, kept}, stored)) return;
    state_.lock()->records[key] = {std::move(kept), stored};
    return;
  }
  if (!repeated && contains_key(key)) {
    // Paho would take it for a repetition, and acknowledge it.
    log::info("a packet identifier of QoS 2 is in use again: connecting anew to take its message");
    remove(key);
    receiver_.refuse();
    return;
  }
  state_.lock()->undecided = {key, std::move(kept)};
}

// Of sent ones those of QoS 2 outlive the process.
bool PacketStore::store(const std::string& key, const std::string& packet) {
  const bool lasting = sent_pubrel(key) || (sent_publish(key) && has(packet, kQos2));
  if (!spool_ || !lasting) return false;
  {
    auto state = state_.lock();
    const auto known = state->records.find(key);
    if (known != state->records.end() && known->second.stored) return true;  // sent again
  }
  return spool_->keep_packet({session_, key, packet});
}

// Of a PUBREL nothing is written: its PUBLISH goes right before or after it, and takes both along,
// so that never one of them is there without the other.
void PacketStore::remove(const std::string& key) {
  Record record;
  {
    auto state = state_.lock();
    if (auto known = state->records.extract(key); !known.empty())
      record = std::move(known.mapped());
    else if (state->undecided.first != key)
      return;
    if (state->undecided.first == key) state->undecided = {};
  }
  if (received(key)) return remove_received(key, std::move(record));
  if (!sent_publish(key)) return;
  const int id = packet_id(key);
  if (record.stored) {
    const std::string pubrel = (of_mqtt5(key) ? "sc5-" : "sc-") + std::to_string(id);
    const std::optional<std::uint64_t> published = number_of_(id);
    // Later, then; but not the record of another message that goes by this identifier.
    if (!spool_->forget_packets(session_, std::array{key, pubrel}, published))
      spool_->write({{ExchangeOver{session_, key, record.packet, pubrel, published}}, true, {}});
  }
  sent_gone_(id);
}

// The exchange must not end before its record is gone: the next message that goes by this
// identifier would be taken for this one.  The broker asks for its end again.
void PacketStore::remove_received(const std::string& key, Record record) {
  if (!record.stored || spool_->forget_packet(session_, key)) return;
  state_.lock()->records[key] = std::move(record);
  not_written_("the end of a QoS 2 exchange");
  receiver_.refuse();
}

std::string PacketStore::get(const std::string& key) const {
  auto state = state_.lock();
  const auto record = state->records.find(key);
  return record == state->records.end() ? std::string() : record->second.packet;
}

}  // namespace fastmqttd
