#include "daemon/spool/stored_message.hpp"

#include "daemon/spool/stored_properties.hpp"

namespace fastmqttd {

void step_with(sqlite::Statement& statement, int first, const Message& message) {
  const std::string properties = store_properties(message.properties());
  statement.bind(first, message.received_ns())
      .bind(first + 1, std::int64_t{message.qos()})
      .bind(first + 2, std::int64_t{message.retain()})
      .bind(first + 3, message.topic())
      .bind(first + 4, properties)
      .bind(first + 5, message.payload())
      .step();
}

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
