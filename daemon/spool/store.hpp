// The one connection that writes spool.db, with its statements.  All throw sqlite::Error.  Not for
// use by two threads at once: the spool keeps it under its lock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/message/message.hpp"
#include "daemon/spool/change.hpp"
#include "daemon/spool/sqlite.hpp"

namespace fastmqttd {

// Paho's record of a QoS 2 exchange that is not over.
struct PacketRecord {
  std::string_view session;
  std::string_view key;
  std::string_view packet;
};

class Store {
 public:
  Store(const std::filesystem::path& file, Durability durability);

  sqlite::Database& database() { return database_; }
  // Pages of the database, and those of them that are free.
  std::int64_t pages() { return pages_.only_number(); }
  std::int64_t free_pages() { return free_pages_.only_number(); }

  HandlerKey handler(std::string_view name);
  std::map<HandlerKey, std::string> handlers();  // their names
  bool paused(HandlerKey handler);
  void set_paused(HandlerKey handler, bool paused);
  // Raises the number below which message ids may have been used to `from` at least, and reserves a
  // range from there on; its first.
  std::uint64_t reserve_ids(std::uint64_t from);

  // For BEGIN and COMMIT around the rest.
  sqlite::Transactions& transactions() { return transactions_; }
  // A transaction of its own.
  void append(const Message& message, std::span<const HandlerKey> handlers,
              const PacketRecord* record);
  // The same for one handler more, whether or not the message is there; a transaction too.
  void keep(std::span<const Kept> messages, HandlerKey handler);
  // True when a message that was for the handler is not any more.
  bool apply(const Change& change);

  void keep_packet(const PacketRecord& record);
  void forget_packet(std::string_view session, std::string_view key);

  // Turns a dead letter into a message with that id; for whom, or nothing when there is none.
  std::optional<HandlerKey> replay(std::int64_t dead_letter, std::uint64_t message_id);
  // Whose it was; nothing when there is none.
  std::optional<HandlerKey> drop_dead_letter(std::int64_t id);
  // The first messages that wait for the handler, at most `limit`, are not for it any more; how
  // many.
  std::size_t forget_some(HandlerKey handler, std::size_t limit);

  // How many messages wait for each handler.
  std::map<HandlerKey, std::uint64_t> count_waiting();
  std::map<HandlerKey, std::uint64_t> count_dead();

 private:
  bool done(std::uint64_t message, HandlerKey handler);
  bool apply(const Done& change);
  bool apply(const RetryAt& change);
  bool apply(const Dead& change);
  bool apply(const Publish& change);
  bool apply(const Published& change);
  bool apply(const ExchangeOver& change);
  template <class Write>
  void transact(Write write);
  std::int64_t recipients(std::span<const HandlerKey> handlers);
  void insert(const Message& message, std::int64_t recipients);
  void keep_one(const Kept& kept, HandlerKey handler);
  void load_recipients();

  sqlite::Database database_;
  sqlite::Transactions transactions_{database_};
  std::map<std::vector<HandlerKey>, std::int64_t> recipients_;
  std::map<std::int64_t, std::size_t> recipients_count_;
  sqlite::Statement pages_, free_pages_;
  sqlite::Statement add_message_, message_recipients_, remove_message_;
  sqlite::Statement add_settled_, count_settled_, remove_settled_;
  sqlite::Statement add_retry_, remove_retry_;
  sqlite::Statement add_dead_, add_publish_, remove_publish_;
  sqlite::Statement add_packet_, remove_packet_;
};

}  // namespace fastmqttd
