#include "daemon/spool/store.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "daemon/base/fault_point.hpp"
#include "daemon/spool/schema.hpp"
#include "daemon/spool/stored_message.hpp"

namespace fastmqttd {
namespace {

// Message ids that a run may use: more than it can receive in a hundred years.
constexpr std::int64_t kReservedIds = std::int64_t{1} << 40;

}  // namespace

Store::Store(const std::filesystem::path& file, Durability durability)
    : database_(open_spool(file, durability)),
      pages_(database_, "PRAGMA page_count"),
      free_pages_(database_, "PRAGMA freelist_count"),
      add_message_(database_, "INSERT INTO messages VALUES(?1, ?2, ?4, ?5, ?6, ?3, ?7, ?8, ?9)"),
      message_recipients_(database_, "SELECT recipients FROM messages WHERE id=?1"),
      remove_message_(database_, "DELETE FROM messages WHERE id=?1"),
      add_settled_(database_, "INSERT OR IGNORE INTO settled VALUES(?1, ?2)"),
      count_settled_(database_, "SELECT count(*) FROM settled WHERE message=?1"),
      remove_settled_(database_, "DELETE FROM settled WHERE message=?1"),
      add_retry_(database_, "INSERT OR REPLACE INTO retries VALUES(?1, ?2, ?3, ?4, ?5, ?6)"),
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

HandlerKey Store::handler(std::string_view name) {
  sqlite::Statement(database_, "INSERT OR IGNORE INTO handlers(name) VALUES(?1)")
      .bind(1, name)
      .step();
  return sqlite::Statement(database_, "SELECT id FROM handlers WHERE name=?1")
      .bind(1, name)
      .only_number();
}

std::map<HandlerKey, std::string> Store::handlers() {
  std::map<HandlerKey, std::string> names;
  sqlite::Statement rows(database_, "SELECT id, name FROM handlers");
  while (rows.step()) names[rows.number(0)] = rows.bytes(1);
  return names;
}

bool Store::paused(HandlerKey handler) {
  return sqlite::Statement(database_, "SELECT count(*) FROM paused WHERE handler=?1")
             .bind(1, handler)
             .only_number() > 0;
}

void Store::set_paused(HandlerKey handler, bool paused) {
  sqlite::Statement(database_, paused ? "INSERT OR IGNORE INTO paused VALUES(?1)"
                                      : "DELETE FROM paused WHERE handler=?1")
      .bind(1, handler)
      .step();
}

std::uint64_t Store::reserve_ids(std::uint64_t from) {
  sqlite::Transactions::One transaction(transactions_);
  // The messages count for a spool of an older format.
  sqlite::Statement used(database_,
                         "SELECT max((SELECT value FROM counters WHERE name='next_id'), "
                         "(SELECT coalesce(max(id), 0) + 1 FROM messages))");
  const std::int64_t first = std::max(static_cast<std::int64_t>(from), used.only_number());
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

// A transaction in which recipients() may be called: what it has added goes with the rest when that
// is rolled back.
template <class Write>
void Store::transact(Write write) {
  const std::int64_t last = recipients_count_.empty() ? 0 : recipients_count_.rbegin()->first;
  try {
    sqlite::Transactions::One transaction(transactions_);
    write();
    transaction.commit();
  } catch (const sqlite::Error&) {
    std::erase_if(recipients_, [&](const auto& set) { return set.second > last; });
    std::erase_if(recipients_count_, [&](const auto& set) { return set.first > last; });
    throw;
  }
}

void Store::append(const Message& message, std::span<const HandlerKey> handlers,
                   const PacketRecord* record) {
  fault_point("append.begin");
  transact([&] {
    insert(message, recipients(handlers));
    if (record) keep_packet(*record);
    fault_point("append.written");
  });
  fault_point("append.committed");
}

void Store::keep(std::span<const Kept> messages, HandlerKey handler) {
  transact([&] {
    for (const Kept& kept : messages) keep_one(kept, handler);
    fault_point("keep.written");
  });
}

// It may be there for others.
void Store::keep_one(const Kept& kept, HandlerKey handler) {
  const std::uint64_t id = kept.message->id();
  std::vector<HandlerKey> set{handler};
  message_recipients_.bind(1, id);
  const bool is_there = message_recipients_.step();
  if (is_there) {
    const std::int64_t before = message_recipients_.number(0);
    for (const auto& [handlers, number] : recipients_)
      if (number == before) set.insert(set.end(), handlers.begin(), handlers.end());
  }
  message_recipients_.reset();
  if (is_there)
    sqlite::Statement(database_, "UPDATE messages SET recipients=?1 WHERE id=?2")
        .bind(1, recipients(set))
        .bind(2, id)
        .step();
  else
    insert(*kept.message, recipients(set));
  if (kept.attempts > 0) apply(RetryAt{id, handler, kept.attempts, kept.failures, realtime_ns()});
}

void Store::insert(const Message& message, std::int64_t recipients) {
  add_message_.bind(1, message.id()).bind(2, recipients).bind(3, std::int64_t{message.dup()});
  step_with(add_message_, 4, message);
}

bool Store::apply(const Change& change) {
  return std::visit([this](const auto& one) { return apply(one); }, change);
}

// One message is one row: it goes with the last of those that it is for.
bool Store::done(std::uint64_t message, HandlerKey handler) {
  message_recipients_.bind(1, message);
  if (!message_recipients_.step()) return false;
  const std::size_t recipients = recipients_count_[message_recipients_.number(0)];
  message_recipients_.reset();
  if (recipients > 1) {
    add_settled_.bind(1, message).bind(2, handler).step();
    if (::sqlite3_changes(database_.handle()) == 0) return false;  // it was before
    const std::int64_t settled = count_settled_.bind(1, message).only_number();
    if (static_cast<std::size_t>(settled) < recipients) return true;
    remove_settled_.bind(1, message).step();
  }
  remove_message_.bind(1, message).step();
  return true;
}

bool Store::apply(const Done& change) {
  remove_retry_.bind(1, change.message).bind(2, change.handler).step();
  return done(change.message, change.handler);
}

bool Store::apply(const RetryAt& change) {
  add_retry_.bind(1, change.message)
      .bind(2, change.handler)
      .bind(3, std::int64_t{change.attempts})
      .bind(4, std::int64_t{change.failures})
      .bind(5, change.due_ns)
      .bind(6, std::int64_t{change.crashes})
      .step();
  fault_point("retry.written");
  return false;
}

bool Store::apply(const Dead& change) {
  add_dead_.bind(1, change.handler)
      .bind_text(2, change.reason)
      .bind(3, std::int64_t{change.attempts})
      .bind(4, realtime_ns());
  step_with(add_dead_, 5, *change.message);
  fault_point("dead.written");
  return change.stored && apply(Done{change.message->id(), change.handler});
}

bool Store::apply(const Publish& change) {
  add_publish_.bind(1, change.number).bind(2, change.handler);
  step_with(add_publish_, 3, *change.message);
  fault_point("publish.written");
  return false;
}

bool Store::apply(const Published& change) {
  remove_publish_.bind(1, change.number).step();
  fault_point("published.written");
  return false;
}

bool Store::apply(const ExchangeOver& change) {
  sqlite::Statement remove(database_,
                           "DELETE FROM packets WHERE session=?1 AND key=?2 AND packet=?3");
  remove.bind(1, change.session).bind(2, change.publish_key).bind(3, change.publish).step();
  if (::sqlite3_changes(database_.handle()) > 0) forget_packet(change.session, change.pubrel_key);
  return change.published && apply(Published{*change.published});
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
  transact([&] {
    sqlite::Statement(database_,
                      "INSERT INTO messages SELECT ?1, ?2, ?3, qos, retain, 1, topic, "
                      "properties, payload FROM dead_letters WHERE id=?4")
        .bind(1, message_id)
        .bind(2, recipients(std::array{handler}))
        .bind(3, realtime_ns())  // it arrives now: else it would be too old at once
        .bind(4, dead_letter)
        .step();
    drop_dead_letter(dead_letter);
  });
  return handler;
}

std::optional<HandlerKey> Store::drop_dead_letter(std::int64_t id) {
  sqlite::Statement drop(database_, "DELETE FROM dead_letters WHERE id=?1 RETURNING handler");
  drop.bind(1, id);
  if (!drop.step()) return std::nullopt;
  const HandlerKey handler = drop.number(0);
  drop.step();  // to its end: only then is it gone
  return handler;
}

std::size_t Store::forget_some(HandlerKey handler, std::size_t limit) {
  sqlite::Statement find(
      database_, std::string("SELECT id FROM messages WHERE ") + kWaits + " ORDER BY id LIMIT ?2");
  find.bind(1, handler).bind(2, std::uint64_t{limit});
  std::vector<std::uint64_t> ids;
  while (find.step()) ids.push_back(find.id(0));
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
  while (rows.step()) dead[rows.number(0)] = rows.id(1);
  return dead;
}

}  // namespace fastmqttd
