#include "daemon/spool/parked.hpp"

#include "daemon/base/log.hpp"

namespace fastmqttd {
namespace {

sqlite::Database open(const std::filesystem::path& file) {
  std::filesystem::remove(file);
  sqlite::Database database(file);
  database.run("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE");
  database.run(
      "CREATE TABLE parked(topic BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY(topic, id)) "
      "WITHOUT ROWID");
  std::filesystem::remove(file);
  return database;
}

}  // namespace

Parked::File::File(const std::filesystem::path& file)
    : database(open(file)),
      add(database, "INSERT INTO parked VALUES(?1, ?2)"),
      first(database, "SELECT id FROM parked WHERE topic=?1 ORDER BY id LIMIT ?2"),
      remove(database, "DELETE FROM parked WHERE topic=?1 AND id<=?2") {}

Parked::Parked(const std::filesystem::path& file) {
  try {
    file_.emplace(file);
  } catch (const sqlite::Error& error) {
    log::warning("no room on disk for noting what waits behind a retry ({}): noting it in memory",
                 error.what());
  }
}

// Once one is in memory the later ones have to be too.
void Parked::add(std::string_view topic, std::uint64_t id) {
  if (file_ && !in_memory_.contains(topic)) {
    try {
      file_->add.bind(1, topic).bind(2, id).step();
      return;
    } catch (const sqlite::Error&) {
      // A full disk: what is in the file can still be read.
    }
  }
  in_memory_[std::string(topic)].push_back(id);
}

std::vector<std::uint64_t> Parked::first(std::string_view topic, std::size_t limit) {
  std::vector<std::uint64_t> ids;
  if (file_) {
    file_->first.bind(1, topic).bind(2, std::uint64_t{limit});
    while (file_->first.step()) ids.push_back(file_->first.id(0));
  }
  const auto more = in_memory_.find(topic);
  if (more == in_memory_.end()) return ids;
  for (const std::uint64_t id : more->second)
    if (ids.size() < limit) ids.push_back(id);
  return ids;
}

void Parked::remove(const std::string& topic, const std::vector<std::uint64_t>& ids) {
  if (ids.empty()) return;
  if (file_) file_->remove.bind(1, topic).bind(2, ids.back()).step();
  const auto more = in_memory_.find(topic);
  if (more == in_memory_.end()) return;
  while (!more->second.empty() && more->second.front() <= ids.back()) more->second.pop_front();
  if (more->second.empty()) in_memory_.erase(more);
}

}  // namespace fastmqttd
