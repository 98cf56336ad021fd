#include "tests/chaos/ledger.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace fastmqttd::testing {

void Ledger::read() {
  if (!database_ && !std::filesystem::exists(file_)) return;
  if (!database_) {
    auto database = std::make_unique<Database>(file_);
    // The handler has just made the file.
    if (database->text("SELECT name FROM sqlite_master WHERE name='seen'").empty()) return;
    database_ = std::move(database);
  }
  database_->query(
      "SELECT topic, payload, qos, attempt, message_id, dup, answer FROM seen WHERE n>" +
          std::to_string(entries_.size()) + " ORDER BY n",
      [this](const Database::Row& row) {
        entries_.push_back({.topic = row.text(0),
                            .payload = row.text(1),
                            .qos = static_cast<int>(row.number(2)),
                            .attempt = static_cast<int>(row.number(3)),
                            .message_id = static_cast<std::uint64_t>(row.number(4)),
                            .dup = row.number(5) != 0,
                            .answer = row.text(6)});
        const Entry& entry = entries_.back();
        if (entry.answer != "ok") return;
        handled_[entry.topic].push_back(entry.payload);
        int& highest = highest_[entry.topic];
        highest = std::max(highest, number_of(entry.topic, entry.payload));
      });
}

const std::vector<Entry>& Ledger::entries() {
  read();
  return entries_;
}

const Arrivals& Ledger::handled() {
  read();
  return handled_;
}

std::size_t Ledger::handled_count() {
  std::size_t count = 0;
  for (const auto& [topic, payloads] : handled()) count += payloads.size();
  return count;
}

int Ledger::highest(const std::string& topic) {
  read();
  return highest_[topic];
}

bool Ledger::has_handled(const std::string& topic, int number) {
  const std::vector<int> numbers = numbers_of(handled(), topic);
  return number == 0 || std::ranges::find(numbers, number) != numbers.end();
}

int Ledger::repeats(int qos, bool new_id) {
  std::map<std::pair<std::string, std::string>, std::set<std::uint64_t>> ids;
  int repeats = 0;
  for (const Entry& entry : entries()) {
    if (entry.qos != qos || entry.answer != "ok") continue;
    std::set<std::uint64_t>& known = ids[{entry.topic, entry.payload}];
    const bool repeated = !known.empty();
    const bool fresh = known.insert(entry.message_id).second;
    if (repeated && (fresh || !new_id)) ++repeats;
  }
  return repeats;
}

int Ledger::shared_ids() {
  std::map<std::uint64_t, const Entry*> owners;
  int shared = 0;
  for (const Entry& entry : entries()) {
    const Entry& owner = *owners.emplace(entry.message_id, &entry).first->second;
    if (owner.topic != entry.topic || owner.payload != entry.payload) ++shared;
  }
  return shared;
}

}  // namespace fastmqttd::testing
