#include "daemon/spool/store.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>

#include "daemon/base/fault_point.hpp"
#include "daemon/spool/schema.hpp"
#include "daemon/spool/stored_properties.hpp"

namespace fastmqttd {
namespace {

// Message ids that a run may use: more than it can receive in a hundred years.
constexpr std::int64_t kReservedIds = std::int64_t{1} << 40;

std::int64_t number(std::uint64_t id) { return static_cast<std::int64_t>(id); }

}  // namespace

Store::Store(const std::filesystem::path& file, Durability durability)
    : database_(open_spool(file, durability)),
      pages_(database_, "PRAGMA page_count"),
      free_pages_(database_, "PRAGMA freelist_count"),
      add_message_(database_, "INSERT INTO messages VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"),
      message_recipients_(database_, "SELECT recipients FROM messages WHERE id=?1"),
      remove_message_(database_, "DELETE FROM messages WHERE id=?1"),
      add_settled_(database_, "INSERT OR IGNORE INTO settled VALUES(?1, ?2)"),
      count_settled_(database_, "SELECT count(*) FROM settled WHERE message=?1"),
      remove_settled_(database_, "DELETE FROM settled WHERE message=?1"),
      add_retry_(database_, "INSERT OR REPLACE INTO retries VALUES(?1, ?2, ?3, ?4, ?5)"),
      remove_retry_(database_, "DELETE FROM retries WHERE message=?1 AND handler=?2"),
      add_dead_(database_,
                "INSERT INTO dead_letters(handler, reason, attempts, died_ns, received_ns, qos, "
                "retain, topic, properties, payload) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
                "?10)"),
      add_publish_(database_, "INSERT INTO outbox VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
      remove_publish_(database_, "DELETE FROM outbox WHERE number=?1"),
      add_packet_(database_, "INSERT OR REPLACE INTO packets VALUES(?1, ?2, ?3)"),
      remove_packet_(database_, "DELETE FROM packets WHERE session=?1 AND key=?2") {
  load_recipients();
}

void Store::load_recipients() {
  std::map<std::int64_t, std::vector<HandlerKey>> sets;
  sqlite::Statement rows(database_, "SELECT id, handler FROM recipients ORDER BY id, handler");
  while (rows.step()) sets[rows.number(0)].push_back(rows.number(1));
  for (const auto& [id, handlers] : sets) {
    recipients_[handlers] = id;
    recipients_count_[id] = handlers.size();
  }
}

std::int64_t Store::pages() {
  pages_.step();
  const std::int64_t pages = pages_.number(0);
  pages_.reset();
  return pages;
}

std::int64_t Store::free_pages() {
  free_pages_.step();
  const std::int64_t pages = free_pages_.number(0);
  free_pages_.reset();
  return pages;
}

HandlerKey Store::handler(std::string_view name) {
  sqlite::Statement(database_, "INSERT OR IGNORE INTO handlers(name) VALUES(?1)")
      .bind(1, name)
      .step();
  sqlite::Statement find(database_, "SELECT id FROM handlers WHERE name=?1");
  find.bind(1, name).step();
  return find.number(0);
}

std::map<HandlerKey, std::string> Store::handlers() {
  std::map<HandlerKey, std::string> names;
  sqlite::Statement rows(database_, "SELECT id, name FROM handlers");
  while (rows.step()) names[rows.number(0)] = rows.bytes(1);
  return names;
}

std::uint64_t Store::reserve_ids(std::uint64_t from) {
  sqlite::Transactions::One transaction(transactions_);
  // The messages count for a spool of an older format.
  sqlite::Statement used(database_,
                         "SELECT max((SELECT value FROM counters WHERE name='next_id'), "
                         "(SELECT coalesce(max(id), 0) + 1 FROM messages))");
  used.step();
  const std::int64_t first = std::max(number(from), used.number(0));
  used.reset();
  sqlite::Statement(database_, "UPDATE counters SET value=?1 WHERE name='next_id'")
      .bind(1, first + kReservedIds)
      .step();
  transaction.commit();
  return static_cast<std::uint64_t>(first);
}

// The number of that set.  A new one is written within the caller's transaction.
std::int64_t Store::recipients(std::span<const HandlerKey> handlers) {
  std::vector<HandlerKey> set(handlers.begin(), handlers.end());
  std::ranges::sort(set);
  if (const auto known = recipients_.find(set); known != recipients_.end()) return known->second;
  const std::int64_t id = recipients_count_.empty() ? 1 : recipients_count_.rbegin()->first + 1;
  sqlite::Statement add(database_, "INSERT INTO recipients VALUES(?1, ?2)");
  for (const HandlerKey handler : set) add.bind(1, id).bind(2, handler).step();
  recipients_count_[id] = set.size();
  return recipients_[std::move(set)] = id;
}

void Store::append(const Message& message, std::span<const HandlerKey> handlers,
                   const PacketRecord* record) {
  fault_point("append.begin");
  sqlite::Transactions::One transaction(transactions_);
  const std::size_t sets = recipients_count_.size();
  try {
    insert_message(message, recipients(handlers));
    if (record) keep_packet(*record);
    fault_point("append.written");
    transaction.commit();
  } catch (const sqlite::Error&) {
    if (recipients_count_.size() > sets) {  // rolled back with the rest
      std::erase_if(recipients_, [&](const auto& set) {
        return set.second == recipients_count_.rbegin()->first;
      });
      recipients_count_.erase(std::prev(recipients_count_.end()));
    }
    throw;
  }
  fault_point("append.committed");
}

void Store::insert_message(const Message& message, std::int64_t recipients) {
  const std::string properties = store_properties(message.properties());
  add_message_.bind(1, number(message.id()))
      .bind(2, recipients)
      .bind(3, message.received_ns())
      .bind(4, std::int64_t{message.qos()})
      .bind(5, std::int64_t{message.retain()})
      .bind(6, std::int64_t{message.dup()})
      .bind(7, message.topic())
      .bind(8, properties)
      .bind(9, message.payload())
      .step();
}

bool Store::apply(const Change& change) {
  return std::visit([this](const auto& one) { return apply(one); }, change);
}

// One message is one row: it goes with the last of those that it is for.
bool Store::done(std::uint64_t message, HandlerKey handler) {
  message_recipients_.bind(1, number(message));
  if (!message_recipients_.step()) return false;
  const std::size_t recipients = recipients_count_[message_recipients_.number(0)];
  message_recipients_.reset();
  if (recipients > 1) {
    add_settled_.bind(1, number(message)).bind(2, handler).step();
    if (::sqlite3_changes(database_.handle()) == 0) return false;  // it was before
    count_settled_.bind(1, number(message)).step();
    const auto settled = static_cast<std::size_t>(count_settled_.number(0));
    count_settled_.reset();
    if (settled < recipients) return true;
    remove_settled_.bind(1, number(message)).step();
  }
  remove_message_.bind(1, number(message)).step();
  return true;
}

bool Store::apply(const Done& change) {
  remove_retry_.bind(1, number(change.message)).bind(2, change.handler).step();
  return done(change.message, change.handler);
}

bool Store::apply(const RetryAt& change) {
  add_retry_.bind(1, number(change.message))
      .bind(2, change.handler)
      .bind(3, std::int64_t{change.attempts})
      .bind(4, std::int64_t{change.failures})
      .bind(5, change.due_ns)
      .step();
  fault_point("retry.written");
  return false;
}

bool Store::apply(const Dead& change) {
  const Message& message = *change.message;
  const std::string properties = store_properties(message.properties());
  add_dead_.bind(1, change.handler)
      .bind_text(2, change.reason)
      .bind(3, std::int64_t{change.attempts})
      .bind(4, realtime_ns())
      .bind(5, message.received_ns())
      .bind(6, std::int64_t{message.qos()})
      .bind(7, std::int64_t{message.retain()})
      .bind(8, message.topic())
      .bind(9, properties)
      .bind(10, message.payload())
      .step();
  fault_point("dead.written");
  return change.stored && apply(Done{message.id(), change.handler});
}

bool Store::apply(const Publish& change) {
  const Message& message = *change.message;
  const std::string properties = store_properties(message.properties());
  add_publish_.bind(1, number(change.number))
      .bind(2, change.handler)
      .bind(3, message.received_ns())
      .bind(4, std::int64_t{message.qos()})
      .bind(5, std::int64_t{message.retain()})
      .bind(6, message.topic())
      .bind(7, properties)
      .bind(8, message.payload())
      .step();
  fault_point("publish.written");
  return false;
}

bool Store::apply(const Published& change) {
  remove_publish_.bind(1, number(change.number)).step();
  fault_point("published.written");
  return false;
}

void Store::keep_packet(const PacketRecord& record) {
  add_packet_.bind(1, record.session).bind(2, record.key).bind(3, record.packet).step();
  fault_point("packet.written");
}

void Store::forget_packet(std::string_view session, std::string_view key) {
  remove_packet_.bind(1, session).bind(2, key).step();
  fault_point("packet.removed");
}

std::optional<HandlerKey> Store::replay(std::int64_t dead_letter, std::uint64_t message_id) {
  sqlite::Statement find(database_, "SELECT handler FROM dead_letters WHERE id=?1");
  find.bind(1, dead_letter);
  if (!find.step()) return std::nullopt;
  const HandlerKey handler = find.number(0);
  find.reset();
  sqlite::Transactions::One transaction(transactions_);
  sqlite::Statement(database_,
                    "INSERT INTO messages SELECT ?1, ?2, received_ns, qos, retain, 1, topic, "
                    "properties, payload FROM dead_letters WHERE id=?3")
      .bind(1, number(message_id))
      .bind(2, recipients(std::array{handler}))
      .bind(3, dead_letter)
      .step();
  drop_dead_letter(dead_letter);
  transaction.commit();
  return handler;
}

bool Store::drop_dead_letter(std::int64_t id) {
  sqlite::Statement(database_, "DELETE FROM dead_letters WHERE id=?1").bind(1, id).step();
  return ::sqlite3_changes(database_.handle()) > 0;
}

std::size_t Store::forget_some(HandlerKey handler, std::size_t limit) {
  sqlite::Statement find(
      database_,
      "SELECT id FROM messages WHERE recipients IN (SELECT id FROM recipients WHERE handler=?1) "
      "AND NOT EXISTS(SELECT 1 FROM settled WHERE message=id AND settled.handler=?1) "
      "ORDER BY id LIMIT ?2");
  find.bind(1, handler).bind(2, static_cast<std::int64_t>(limit));
  std::vector<std::uint64_t> ids;
  while (find.step()) ids.push_back(static_cast<std::uint64_t>(find.number(0)));
  sqlite::Transactions::One transaction(transactions_);
  for (const std::uint64_t id : ids) apply(Done{id, handler});
  transaction.commit();
  return ids.size();
}

std::map<HandlerKey, std::uint64_t> Store::count_waiting() {
  std::map<HandlerKey, std::uint64_t> waiting;
  std::map<std::int64_t, std::uint64_t> of_set;
  sqlite::Statement all(database_, "SELECT recipients FROM messages");
  while (all.step()) ++of_set[all.number(0)];
  for (const auto& [handlers, set] : recipients_)
    for (const HandlerKey handler : handlers) waiting[handler] += of_set[set];
  sqlite::Statement settled(database_, "SELECT handler, count(*) FROM settled GROUP BY handler");
  while (settled.step())
    waiting[settled.number(0)] -= static_cast<std::uint64_t>(settled.number(1));
  return waiting;
}

std::map<HandlerKey, std::uint64_t> Store::count_dead() {
  std::map<HandlerKey, std::uint64_t> dead;
  sqlite::Statement rows(database_, "SELECT handler, count(*) FROM dead_letters GROUP BY handler");
  while (rows.step()) dead[rows.number(0)] = static_cast<std::uint64_t>(rows.number(1));
  return dead;
}

}  // namespace fastmqttd
