// The properties of a message as bytes in the spool, and back: CBOR (RFC 8949), a list of
// [identifier, number, name, value].
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/message/message.hpp"

namespace fastmqttd {

std::string store_properties(std::span<const fastmqtt_property> properties);

// What load() reads points into itself.
class StoredProperties {
 public:
  // Throws std::runtime_error when these are no such bytes.
  explicit StoredProperties(std::string_view bytes);
  const std::vector<fastmqtt_property>& list() const { return list_; }

 private:
  std::vector<std::string> texts_;
  std::vector<fastmqtt_property> list_;
};

}  // namespace fastmqttd
