// The part of the spool that keeps what was given up.
#include "daemon/spool/spool.hpp"
#include "daemon/spool/stored_message.hpp"

namespace fastmqttd {
namespace {

constexpr const char* kColumns =
    "SELECT dead_letters.id, name, reason, attempts, died_ns, length(payload), received_ns, qos, "
    "retain, topic, properties, ";

DeadLetter letter(const sqlite::Statement& row) {
  return {row.number(0),
          std::string(row.bytes(1)),
          std::string(row.bytes(2)),
          static_cast<std::uint32_t>(row.number(3)),
          row.number(4),
          static_cast<std::size_t>(row.number(5)),
          stored_message(row, 6, 0, false)};
}

}  // namespace

// By connections of their own, so that no append waits for it.
std::vector<DeadLetter> Spool::dead_letters(std::int64_t after, std::size_t limit,
                                            const std::optional<std::string>& handler) {
  std::vector<DeadLetter> letters;
  const std::string name = handler.value_or("");
  sqlite::Database database(file_);
  sqlite::Statement rows(database, std::string(kColumns) +
                                       "x'' FROM dead_letters JOIN handlers ON handlers.id=handler "
                                       "WHERE dead_letters.id>?1 AND (?3 OR name=?4) "
                                       "ORDER BY dead_letters.id LIMIT ?2");
  rows.bind(1, after).bind(2, std::uint64_t{limit});
  rows.bind(3, std::int64_t{!handler}).bind(4, name);
  while (rows.step()) letters.push_back(letter(rows));
  return letters;
}

std::vector<DeadLetter> Spool::latest_dead_letters(std::size_t limit) {
  std::vector<DeadLetter> letters;
  sqlite::Database database(file_);
  sqlite::Statement rows(database, std::string(kColumns) +
                                       "x'' FROM dead_letters JOIN handlers ON handlers.id=handler "
                                       "ORDER BY dead_letters.id DESC LIMIT ?1");
  rows.bind(1, std::uint64_t{limit});
  while (rows.step()) letters.push_back(letter(rows));
  return letters;
}

std::optional<DeadLetter> Spool::dead_letter(std::int64_t id) {
  sqlite::Database database(file_);
  sqlite::Statement rows(database, std::string(kColumns) +
                                       "payload FROM dead_letters JOIN handlers ON "
                                       "handlers.id=handler WHERE dead_letters.id=?1");
  rows.bind(1, id);
  if (!rows.step()) return std::nullopt;
  return letter(rows);
}

std::optional<std::string> Spool::handler_of_letter(std::int64_t id) {
  sqlite::Database database(file_);
  sqlite::Statement rows(database,
                         "SELECT name FROM dead_letters JOIN handlers ON handlers.id=handler WHERE "
                         "dead_letters.id=?1");
  rows.bind(1, id);
  if (!rows.step()) return std::nullopt;
  return std::string(rows.bytes(0));
}

std::int64_t Spool::newest_dead_letter() {
  sqlite::Database database(file_);
  return sqlite::Statement(database, "SELECT coalesce(max(id), 0) FROM dead_letters").only_number();
}

std::optional<HandlerKey> Spool::replay(std::int64_t id, std::uint64_t message_id) {
  auto store = store_->lock();  // until it is counted: nobody can settle it before
  const auto handler = store->replay(id, message_id);
  if (!handler) return handler;
  auto counts = counts_.lock();
  ++counts->waiting[*handler];
  --counts->dead[*handler];
  return handler;
}

bool Spool::drop_dead_letter(std::int64_t id) {
  const auto handler = store_->lock()->drop_dead_letter(id);
  if (handler) --counts_.lock()->dead[*handler];
  return handler.has_value();
}

}  // namespace fastmqttd
