#include "daemon/spool/stored_message.hpp"

#include "daemon/spool/stored_properties.hpp"

namespace fastmqttd {

MessagePtr stored_message(const sqlite::Statement& row, int first, std::uint64_t id, bool dup) {
  const StoredProperties properties(row.bytes(first + 4));
  return std::make_shared<Message>(Message::Parts{.topic = row.bytes(first + 3),
                                                  .payload = row.bytes(first + 5),
                                                  .qos = static_cast<int>(row.number(first + 1)),
                                                  .retain = row.number(first + 2) != 0,
                                                  .dup = dup,
                                                  .received_ns = row.number(first),
                                                  .id = id,
                                                  .properties = properties.list()});
}

}  // namespace fastmqttd
