#include "daemon/spool/stored_properties.hpp"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "daemon/message/view.hpp"

namespace fastmqttd {
namespace {

using nlohmann::json;

json binary(fastmqtt_view view) {
  const std::string_view text = text_of(view);
  return json::binary({text.begin(), text.end()});
}

}  // namespace

std::string store_properties(std::span<const fastmqtt_property> properties) {
  if (properties.empty()) return {};
  json list = json::array();
  for (const fastmqtt_property& p : properties)
    list.push_back({p.id, p.number, binary(p.name), binary(p.value)});
  std::string bytes;
  json::to_cbor(list, bytes);
  return bytes;
}

StoredProperties::StoredProperties(std::string_view bytes) {
  if (bytes.empty()) return;
  try {
    const json list = json::from_cbor(bytes);
    texts_.reserve(2 * list.size());  // what is pointed at stays
    const auto view = [this](const json& value) {
      const auto& data = value.get_binary();
      const std::string& text = texts_.emplace_back(data.begin(), data.end());
      return fastmqtt_view{text.data(), text.size()};
    };
    for (const json& p : list)
      list_.push_back({p.at(0).get<std::uint32_t>(), p.at(1).get<std::uint32_t>(), view(p.at(2)),
                       view(p.at(3))});
  } catch (const json::exception& error) {
    throw std::runtime_error(error.what());
  }
}

}  // namespace fastmqttd
