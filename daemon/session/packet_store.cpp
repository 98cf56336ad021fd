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
  undecided_ = {};
  // What the old client had not begun to send is not the new one's to know.
  std::erase_if(records_,
                [](const auto& record) { return !received(record.first) && !sent(record.first); });
}

bool PacketStore::has_sent(int packet_id) const {
  const std::string id = std::to_string(packet_id);
  return records_.contains("s-" + id) || records_.contains("s5-" + id);
}

void PacketStore::settle(bool taken) {
  if (taken && !undecided_.first.empty()) records_.insert(std::move(undecided_));
  undecided_ = {};
}

void PacketStore::clear() {
  records_.clear();
  undecided_ = {};
  sent_.session_lost();
}

mqtt::string_collection PacketStore::keys() const {
  mqtt::string_collection keys;
  for (const auto& [key, packet] : records_) keys.push_back(key);
  return keys;
}

void PacketStore::put(const std::string& key, const std::vector<mqtt::string_view>& parts) {
  const bool before_mqtt5 = key.starts_with("r-");
  std::string packet;
  for (const auto& part : parts) packet.append(part.data(), part.size());
  // Without the DUP flag the identifier is a new message's: of a session that the broker has lost
  // the record is still here.
  const bool repeated = !packet.empty() && (packet.front() & kDup) != 0;
  if (before_mqtt5 && repeated && records_.contains(key)) return;
  if (before_mqtt5 && !take_(packet)) return;
  if (key.starts_with("r5-"))
    undecided_ = {key, std::move(packet)};
  else
    records_[key] = std::move(packet);
}

void PacketStore::remove(const std::string& key) {
  if (records_.erase(key) > 0 && sent_publish(key)) sent_.acknowledged(packet_id(key));
  if (undecided_.first == key) undecided_ = {};
}

std::string PacketStore::get(const std::string& key) const {
  const auto record = records_.find(key);
  return record == records_.end() ? std::string() : record->second;
}

}  // namespace fastmqttd
