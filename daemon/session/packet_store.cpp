#include "daemon/session/packet_store.hpp"

#include <cstdlib>

namespace fastmqttd {
namespace {

constexpr char kDup = 8;  // in the first byte of a PUBLISH (MQTT 3.1.1 section 3.3.1.1)

bool received(const std::string& key) { return key.starts_with("r-") || key.starts_with("r5-"); }
bool sent_publish(const std::string& key) {
  return key.starts_with("s-") || key.starts_with("s5-");
}
bool sent(const std::string& key) {
  return sent_publish(key) || key.starts_with("sc-") || key.starts_with("sc5-");
}
int packet_id(const std::string& key) { return std::atoi(key.c_str() + key.find('-') + 1); }

}  // namespace

void PacketStore::new_client(Take take) {
  take_ = std::move(take);
  auto state = state_.lock();
  state->undecided = {};
  // What the old client had not begun to send is not the new one's to know.
  std::erase_if(state->records,
                [](const auto& record) { return !received(record.first) && !sent(record.first); });
}

bool PacketStore::has_sent(int packet_id) const {
  const std::string id = std::to_string(packet_id);
  auto state = state_.lock();
  return state->records.contains("s-" + id) || state->records.contains("s5-" + id);
}

void PacketStore::settle(bool taken) {
  auto state = state_.lock();
  if (taken && !state->undecided.first.empty()) state->records.insert(std::move(state->undecided));
  state->undecided = {};
}

void PacketStore::clear() { *state_.lock() = {}; }

mqtt::string_collection PacketStore::keys() const {
  mqtt::string_collection keys;
  auto state = state_.lock();
  for (const auto& [key, packet] : state->records) keys.push_back(key);
  return keys;
}

void PacketStore::put(const std::string& key, const std::vector<mqtt::string_view>& parts) {
  const bool before_mqtt5 = key.starts_with("r-");
  std::string packet;
  for (const auto& part : parts) packet.append(part.data(), part.size());
  // Without the DUP flag the identifier is a new message's: of a session that the broker has lost
  // the record is still here.
  const bool repeated = !packet.empty() && (packet.front() & kDup) != 0;
  if (before_mqtt5 && repeated && contains_key(key)) return;
  if (before_mqtt5 && !take_(packet)) return;
  auto state = state_.lock();
  if (key.starts_with("r5-"))
    state->undecided = {key, std::move(packet)};
  else
    state->records[key] = std::move(packet);
}

void PacketStore::remove(const std::string& key) {
  bool gone = false;
  {
    auto state = state_.lock();
    gone = state->records.erase(key) > 0 && sent_publish(key);
    if (state->undecided.first == key) state->undecided = {};
  }
  if (gone) sent_gone_(packet_id(key));
}

std::string PacketStore::get(const std::string& key) const {
  auto state = state_.lock();
  const auto record = state->records.find(key);
  return record == state->records.end() ? std::string() : record->second;
}

}  // namespace fastmqttd
