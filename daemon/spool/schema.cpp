#include "daemon/spool/schema.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/log.hpp"
#include "daemon/spool/state_directory.hpp"

namespace fastmqttd {
namespace {

// The format of the database; PRAGMA user_version.
constexpr std::int64_t kFormat = 4;

// Handlers that are to get no messages for now; since format 3.
constexpr const char* kPaused = "CREATE TABLE paused(handler INTEGER PRIMARY KEY)";

// How many of the failures were crashes; since format 4.
constexpr const char* kCrashes =
    "ALTER TABLE retries ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0";

// A message is one row, whoever is to have it, so that it costs one page of the write-ahead log to
// append it.  `settled` and `retries` only have rows where there is more to say.
constexpr const char* kTables = R"(
CREATE TABLE IF NOT EXISTS handlers(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
-- Sets of handlers, by number.
CREATE TABLE recipients(id INTEGER NOT NULL, handler INTEGER NOT NULL,
  PRIMARY KEY(id, handler)) WITHOUT ROWID;
-- What waits.  id: Message::id, which grows with the time of arrival; recipients: those it is for.
CREATE TABLE messages(
  id INTEGER PRIMARY KEY, recipients INTEGER NOT NULL, received_ns INTEGER NOT NULL,
  qos INTEGER NOT NULL, retain INTEGER NOT NULL, dup INTEGER NOT NULL, topic BLOB NOT NULL,
  properties BLOB NOT NULL, payload BLOB NOT NULL);
-- Which of several recipients have no need of a message any more.
CREATE TABLE settled(message INTEGER NOT NULL, handler INTEGER NOT NULL,
  PRIMARY KEY(message, handler)) WITHOUT ROWID;
-- What has failed and is to be tried again.
CREATE TABLE retries(message INTEGER NOT NULL, handler INTEGER NOT NULL,
  attempts INTEGER NOT NULL, failures INTEGER NOT NULL, due_ns INTEGER NOT NULL,
  PRIMARY KEY(message, handler)) WITHOUT ROWID;
-- What was given up.
CREATE TABLE dead_letters(
  id INTEGER PRIMARY KEY AUTOINCREMENT, handler INTEGER NOT NULL, reason TEXT NOT NULL,
  attempts INTEGER NOT NULL, died_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL,
  qos INTEGER NOT NULL, retain INTEGER NOT NULL, topic BLOB NOT NULL, properties BLOB NOT NULL,
  payload BLOB NOT NULL);
-- What handlers have published and the broker does not have yet.
CREATE TABLE outbox(
  number INTEGER PRIMARY KEY, handler INTEGER NOT NULL, accepted_ns INTEGER NOT NULL,
  qos INTEGER NOT NULL, retain INTEGER NOT NULL, topic BLOB NOT NULL, properties BLOB NOT NULL,
  payload BLOB NOT NULL);
-- Packets of QoS 2 exchanges that are not over, by session and Paho's key.
CREATE TABLE packets(session BLOB NOT NULL, key BLOB NOT NULL, packet BLOB NOT NULL,
  PRIMARY KEY(session, key)) WITHOUT ROWID;
-- next_id: message ids below may have been used.
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES('next_id', 0);
)";

std::int64_t format_of(sqlite::Database& database) {
  return sqlite::Statement(database, "PRAGMA user_version").only_number();
}

// Format 1 had a row in `deliveries` for every message and handler.
void migrate_from_1(sqlite::Database& database) {
  database.run("ALTER TABLE messages RENAME TO old_messages");
  database.run(kTables);
  sqlite::Statement of_message(database,
                               "SELECT message, group_concat(handler) FROM (SELECT * FROM "
                               "deliveries ORDER BY message, handler) GROUP BY message");
  sqlite::Statement copy(database,
                         "INSERT INTO messages SELECT id, ?1, received_ns, qos, retain, 1, topic, "
                         "properties, payload FROM old_messages WHERE id=?2");
  sqlite::Statement add(database,
                        "INSERT INTO recipients SELECT DISTINCT ?1, handler FROM deliveries WHERE "
                        "message=?2");
  std::map<std::string, std::int64_t, std::less<>> sets;
  while (of_message.step()) {
    const std::int64_t message = of_message.number(0);
    const auto [set, added] = sets.try_emplace(std::string(of_message.bytes(1)),
                                               static_cast<std::int64_t>(sets.size()) + 1);
    if (added) add.bind(1, set->second).bind(2, message).step();
    copy.bind(1, set->second).bind(2, message).step();
  }
  database.run("DROP TABLE old_messages; DROP TABLE deliveries");
}

void refuse_if_foreign(sqlite::Database& database, const std::filesystem::path& file) {
  if (sqlite::Statement(database, "SELECT count(*) FROM sqlite_schema").only_number() > 0)
    unusable(file, "is the database of another program",
             "expected a spool, or nothing: move it away, or name another spool.directory");
}

// Of all that is used before, or without, reading every message.  Dead letters and messages may be
// many: damage to those is met when they are read.
void look_for_damage(sqlite::Database& database) {
  for (const char* table : {"handlers", "recipients", "settled", "retries", "outbox", "packets",
                            "counters", "paused", "sqlite_sequence"}) {
    sqlite::Statement check(database, fmt::format("PRAGMA quick_check({})", table));
    check.step();
    if (check.bytes(0) != "ok")
      throw sqlite::Error(SQLITE_CORRUPT,
                          "database disk image is malformed: " + std::string(check.bytes(0)));
  }
}

}  // namespace

void set_durability(sqlite::Database& database, Durability durability) {
  database.run(durability == Durability::power ? "PRAGMA synchronous=FULL"
                                               : "PRAGMA synchronous=NORMAL");
}

sqlite::Database open_spool(const std::filesystem::path& file, Durability durability) {
  std::error_code none;
  if (std::filesystem::exists(file, none) && std::filesystem::file_size(file, none) == 0)
    log::warning(
        "{} is empty, as a power cut may leave it: starting with an empty spool; if there was "
        "anything in it, that is lost",
        file.string());
  sqlite::Database database(file);
  const std::int64_t format = format_of(database);
  if (format == 0) refuse_if_foreign(database, file);
  // Debian's library overwrites what is deleted with zeros, unless told not to: twice the writing.
  database.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF");
  set_durability(database, durability);
  if (format > kFormat)
    unusable(
        file,
        fmt::format("was written by a later version of fastmqttd: it has format {}, this version "
                    "knows {}",
                    format, kFormat),
        "expected that version; or, to begin with an empty spool, move spool.db, spool.db-wal and "
        "spool.db-shm away, together");
  if (format == kFormat) {
    look_for_damage(database);
    return database;
  }
  database.run("BEGIN IMMEDIATE");
  if (format != 0) log::info("{}: taking it over from an earlier version", file.string());
  if (format == 0) database.run(kTables);
  if (format == 1) migrate_from_1(database);
  if (format < 3) database.run(kPaused);
  database.run(kCrashes);
  database.run("PRAGMA user_version=" + std::to_string(kFormat) + "; COMMIT");
  return database;
}

}  // namespace fastmqttd
