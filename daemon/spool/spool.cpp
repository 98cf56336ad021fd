#include "daemon/spool/spool.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "daemon/base/build_info.hpp"
#include "daemon/base/error.hpp"
#include "daemon/base/log.hpp"
#include "daemon/spool/sqlite.hpp"
#include "daemon/spool/stored_properties.hpp"

namespace fastmqttd {
namespace {

// The format of the database; PRAGMA user_version.
constexpr std::int64_t kFormat = 1;
// Settlements in one transaction, during which an append waits.
constexpr std::size_t kBatch = 256;
// Once the write-ahead log has so many pages they are moved into the database, beside the appends;
// once it has so many more, appends wait for a moment, so that it can begin again.
constexpr int kCheckpointPages = 1000;
constexpr int kRestartPages = 16 * kCheckpointPages;
constexpr auto kRetryPause = std::chrono::seconds(1);

constexpr const char* kTables = R"(
CREATE TABLE handlers(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
-- id: Message::id, which grows with the time of arrival
CREATE TABLE messages(
  id INTEGER PRIMARY KEY, received_ns INTEGER NOT NULL, qos INTEGER NOT NULL,
  retain INTEGER NOT NULL, topic BLOB NOT NULL, payload BLOB NOT NULL, properties BLOB NOT NULL);
-- What is not settled.
CREATE TABLE deliveries(message INTEGER NOT NULL, handler INTEGER NOT NULL,
  PRIMARY KEY(message, handler)) WITHOUT ROWID;
)";

constexpr const char* kMoveAway = "expected a spool; nothing was deleted: move it away to go on";

[[noreturn]] void unusable(const std::filesystem::path& what, const std::string& why,
                           const std::string& expected) {
  throw StartError({{{what.string(), 0, 0}, "", why, expected}}, ExitStatus::spool);
}

// In a directory of somebody else, or that others may write, the database could be replaced.
UniqueFd lock_directory(const std::filesystem::path& directory) {
  constexpr const char* kExpected =
      "expected a directory that the daemon may write: see spool.directory, or set STATE_DIRECTORY";
  ::mkdir(directory.c_str(), 0750);
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) unusable(directory, std::strerror(errno), kExpected);
  const bool ours = status.st_uid == ::geteuid() || status.st_uid == 0;
  if (S_ISDIR(status.st_mode) && (!ours || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0))
    throw StartError({{{directory.string(), 0, 0},
                       "",
                       "belongs to somebody else, or may be written by others",
                       "expected a directory of the daemon's own user: see spool.directory"}},
                     ExitStatus::unsafe);
  const std::filesystem::path file = directory / "spool.lock";
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (!fd) unusable(file, std::strerror(errno), kExpected);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    unusable(directory, "another fastmqttd uses it",
             "expected a directory of its own for each: see spool.directory");
  return fd;
}

std::int64_t format_of(sqlite::Database& database) {
  sqlite::Statement format(database, "PRAGMA user_version");
  format.step();
  const std::int64_t version = format.number(0);
  format.reset();
  return version;
}

sqlite::Database open(const std::filesystem::path& file, Durability durability) {
  sqlite::Database database(file);
  database.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0");
  database.run(durability == Durability::power ? "PRAGMA synchronous=FULL"
                                               : "PRAGMA synchronous=NORMAL");
  const std::int64_t format = format_of(database);
  if (format > kFormat)
    unusable(file, "was written by a later version of fastmqttd", "expected that version");
  if (format == 0)
    database.run(std::string("BEGIN IMMEDIATE;") + kTables +
                 "PRAGMA user_version=" + std::to_string(kFormat) + ";COMMIT");
  return database;
}

std::int64_t as_number(std::uint64_t id) { return static_cast<std::int64_t>(id); }

}  // namespace

struct Spool::Store {
  Store(const std::filesystem::path& file, Durability durability)
      : database(open(file, durability)) {}

  sqlite::Database database;
  sqlite::Transactions transactions{database};
  sqlite::Statement add_message{database,
                                "INSERT INTO messages VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"};
  sqlite::Statement add_delivery{database, "INSERT INTO deliveries VALUES(?1, ?2)"};
  sqlite::Statement remove_delivery{database,
                                    "DELETE FROM deliveries WHERE message=?1 AND handler=?2"};
  sqlite::Statement remove_message{
      database,
      "DELETE FROM messages WHERE id=?1 AND NOT EXISTS(SELECT 1 FROM deliveries WHERE message=?1)"};
};

Spool::Spool(const std::filesystem::path& directory, Durability durability)
    : lock_(lock_directory(directory)), file_(directory / "spool.db") {
  try {
    store_ = std::make_unique<Guarded<Store>>(file_, durability);
  } catch (const sqlite::Error& error) {
    unusable(file_, error.what(), kMoveAway);
  }
  ::sqlite3_wal_hook(
      store_->lock()->database.handle(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<Spool*>(self)->log_grew(pages);
        return SQLITE_OK;
      },
      this);
  thread_ = std::thread([this] { run(); });
}

Spool::~Spool() {
  state_.lock()->closing = true;
  changed_.notify_one();
  thread_.join();
}

Spool::Handler Spool::handler(const std::string& name) {
  try {
    auto store = store_->lock();
    sqlite::Statement(store->database, "INSERT OR IGNORE INTO handlers(name) VALUES(?1)")
        .bind(1, name)
        .step();
    sqlite::Statement find(store->database, "SELECT id FROM handlers WHERE name=?1");
    find.bind(1, name).step();
    return find.number(0);
  } catch (const sqlite::Error& error) {
    unusable(file_, error.what(), "expected a spool that can be written");
  }
}

bool Spool::append(const Message& message, std::span<const Handler> handlers, std::string& why) {
  try {
    const std::string properties = store_properties(message.properties());
    auto store = store_->lock();
    sqlite::Transactions::One transaction(store->transactions);
    store->add_message.bind(1, as_number(message.id()))
        .bind(2, message.received_ns())
        .bind(3, std::int64_t{message.qos()})
        .bind(4, std::int64_t{message.retain()})
        .bind(5, message.topic())
        .bind(6, message.payload())
        .bind(7, properties)
        .step();
    for (const Handler handler : handlers)
      store->add_delivery.bind(1, as_number(message.id())).bind(2, handler).step();
    transaction.commit();
    return true;
  } catch (const sqlite::Error& error) {
    why = file_.string() + ": " + error.what();
    return false;
  }
}

void Spool::settle(std::uint64_t message_id, Handler handler) {
  auto state = state_.lock();
  state->settled.emplace_back(message_id, handler);
  const bool first = state->settled.size() == 1;
  state.unlock();
  if (first) changed_.notify_one();
}

void Spool::flush(Duration limit) {
  const TimePoint deadline = Clock::now() + limit;
  auto state = state_.lock();
  while ((state->writing || !state->settled.empty()) && Clock::now() < deadline)
    state.wait_until(written_, deadline);
}

// On the thread that has just committed.
void Spool::log_grew(int pages) {
  auto state = state_.lock();
  state->log_pages = pages;
  if (pages % kCheckpointPages != 0) return;
  state.unlock();
  changed_.notify_one();
}

void Spool::run() {
  ::pthread_setname_np(::pthread_self(), "spool");
  int moved_at = 0;  // pages in the log when they were moved last
  auto state = state_.lock();
  for (;;) {
    const auto due = [&] {
      if (state->log_pages < moved_at) moved_at = 0;  // it has begun again
      return state->log_pages >= moved_at + kCheckpointPages;
    };
    while (state->settled.empty() && !due() && !state->closing) state.wait(changed_);
    if (due()) {
      const int pages = moved_at = state->log_pages;
      state.unlock();
      checkpoint(pages);
      state.relock();
    }
    if (state->settled.empty()) {
      if (state->closing) break;
      continue;
    }
    // A batch a turn: the log is looked at in between.
    std::vector<Settlement> batch;
    while (!state->settled.empty() && batch.size() < kBatch) {
      batch.push_back(state->settled.front());
      state->settled.pop_front();
    }
    state->writing = true;
    state.unlock();
    bool written = write(batch);
    while (!written && pause()) written = write(batch);
    state.relock();
    if (!written) state->settled.clear();  // it is time to close
    state->writing = false;
    written_.notify_all();
  }
  state.unlock();
  checkpoint(kCheckpointPages);
}

// Before another try; false when it is time to close.
bool Spool::pause() {
  const TimePoint end = Clock::now() + kRetryPause;
  auto state = state_.lock();
  while (!state->closing && Clock::now() < end) state.wait_until(changed_, end);
  return !state->closing;
}

bool Spool::write(std::span<const Settlement> settled) {
  try {
    auto store = store_->lock();
    sqlite::Transactions::One transaction(store->transactions);
    for (const auto& [message, handler] : settled) {
      store->remove_delivery.bind(1, as_number(message)).bind(2, handler).step();
      store->remove_message.bind(1, as_number(message)).step();
    }
    transaction.commit();
    return true;
  } catch (const sqlite::Error& error) {
    log::error("{}: cannot note what is handled: {}: it may be handled again after a restart",
               file_.string(), error.what());
    return false;
  }
}

// By a connection of its own, so that no append waits for it.
void Spool::checkpoint(int pages) {
  try {
    sqlite::Database database(file_);
    database.run("PRAGMA wal_checkpoint(PASSIVE)");
    if (pages >= kRestartPages) database.run("PRAGMA wal_checkpoint(RESTART)");
  } catch (const sqlite::Error& error) {
    log::error("{}: cannot move its log into it: {}", file_.string(), error.what());
  }
}

std::filesystem::path state_directory(const SpoolConfig& config) {
  if (config.directory) return config.directory->value();
  const char* given = std::getenv("STATE_DIRECTORY");
  if (given == nullptr || *given == '\0') return build::kStateDirectory;
  const std::string list = given;  // separated by colons
  return list.substr(0, list.find(':'));
}

std::vector<Spool::Unsettled> Spool::unsettled() {
  std::vector<Unsettled> all;
  try {
    auto store = store_->lock();
    sqlite::Statement rows(store->database,
                           "SELECT id, received_ns, qos, retain, topic, payload, properties, "
                           "handler FROM messages JOIN deliveries ON message=id ORDER BY id");
    while (rows.step()) {
      const auto id = static_cast<std::uint64_t>(rows.number(0));
      if (!all.empty() && all.back().message->id() == id) {
        all.push_back({all.back().message, rows.number(7)});
        continue;
      }
      const StoredProperties properties(rows.bytes(6));
      all.push_back(
          {std::make_shared<Message>(Message::Parts{.topic = rows.bytes(4),
                                                    .payload = rows.bytes(5),
                                                    .qos = static_cast<int>(rows.number(2)),
                                                    .retain = rows.number(3) != 0,
                                                    .dup = true,
                                                    .received_ns = rows.number(1),
                                                    .id = id,
                                                    .properties = properties.list()}),
           rows.number(7)});
    }
  } catch (const std::runtime_error& error) {
    unusable(file_, error.what(), kMoveAway);
  }
  return all;
}

std::map<std::string, std::uint64_t> Spool::of_others(std::span<const std::string> names) {
  std::map<std::string, std::uint64_t> others;
  try {
    auto store = store_->lock();
    sqlite::Statement rows(store->database,
                           "SELECT name, count(*) FROM deliveries JOIN handlers ON id=handler "
                           "GROUP BY handler");
    while (rows.step()) {
      const std::string name(rows.bytes(0));
      if (std::ranges::find(names, name) == names.end())
        others[name] = static_cast<std::uint64_t>(rows.number(1));
    }
  } catch (const sqlite::Error& error) {
    unusable(file_, error.what(), kMoveAway);
  }
  return others;
}

}  // namespace fastmqttd
