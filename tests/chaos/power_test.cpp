// What a power cut leaves of the spool.
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "tests/chaos/chaos_test.hpp"
#include "tests/chaos/wire_watch.hpp"

namespace fastmqttd::testing {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kTopics{"p/1", "p/2"};
const std::vector<Traffic::Stream> kStreams{{"p/1", 1}, {"p/2", 2}};

using PowerCut = VersionedChaos;
INSTANTIATE_TEST_SUITE_P(Versions, PowerCut, ::testing::Values("5", "3.1.1"), version_name);

// The worst case: of the files there is only what was synced.
TEST_P(PowerCut, LosesNothingWithDurabilityPower) {
  const int all = rounds(6);
  const fs::path state = daemon_.file("state"), synced = daemon_.file("synced");
  fs::create_directory(synced);
  daemon_.set_environment("LD_PRELOAD=" FASTMQTTD_TESTS_SYNCED_FILES);
  daemon_.set_environment("ASAN_OPTIONS=verify_asan_link_order=0");
  daemon_.set_environment("SYNCED_FILES_FROM=" + state.string());
  daemon_.set_environment("SYNCED_FILES_TO=" + synced.string());
  start(ledger("all", "{topic: p/#, qos: 2}", kTopics, "delay_ms: 1"), {"p/#"}, "",
        "durability: power");
  Traffic traffic(broker_, kStreams, {.version = version(), .pace = 4ms});
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    daemon_.kill();
    fs::remove_all(state);
    fs::copy(synced, state);
    set_mode(state, 0755);
    daemon_.start_ready();
  }
  expect_all_handled(traffic);
  report(traffic, all);
  EXPECT_EQ(entered_twice(), 0);
}

// The spool's files at one moment.
class Snapshot {
 public:
  // The daemon stands still meanwhile.
  Snapshot(Process& daemon, const fs::path& spool) {
    daemon.signal(SIGSTOP);
    if (!eventually([&] { return stopped(daemon.pid()); }))
      throw std::runtime_error("fastmqttd does not stop");
    database_ = read_file(spool);
    log_ = read_file(spool.string() + "-wal");
    const std::string index = read_file(spool.string() + "-shm");
    daemon.signal(SIGCONT);
    synced_ = synced_bytes(index);
  }

  std::size_t log_size() const { return log_.size(); }
  // To here a power cut leaves the log as it is: SQLite syncs what it moves into the database.
  std::size_t synced() const { return std::min(synced_, log_.size()); }

  // Opens a copy with a part of the log.
  Database open(const fs::path& directory, std::string_view log) const {
    const fs::path file = directory / "spool.db";
    fs::remove(file.string() + "-shm");
    write_file(file, database_);
    write_file(file.string() + "-wal", log);
    return Database(file);
  }
  std::string_view whole_log() const { return log_; }
  std::string_view log_up_to(std::size_t size) const {
    return std::string_view(log_).substr(0, size);
  }
  // A page in the middle has not been written, though later ones were.
  std::string log_with_hole(std::size_t at) const {
    constexpr std::size_t kPage = 4096;
    std::string log = log_;
    std::fill_n(log.begin() + static_cast<std::ptrdiff_t>(at), std::min(kPage, log.size() - at), 0);
    return log;
  }

 private:
  static bool stopped(pid_t pid) {
    const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t name_end = stat.rfind(')');
    return name_end != std::string::npos && stat.substr(name_end + 2, 1) == "T";
  }

  // https://sqlite.org/walformat.html: nBackfillAttempted of the index, the page size of the log.
  std::size_t synced_bytes(const std::string& index) const {
    std::uint32_t frames = 0;
    if (index.size() < 132 || log_.size() < 32) return 0;
    std::memcpy(&frames, index.data() + 128, sizeof frames);
    std::size_t page = 0;
    for (int i = 8; i < 12; ++i)
      page = page << 8 | static_cast<unsigned char>(log_[static_cast<std::size_t>(i)]);
    return frames == 0 ? 0 : 32 + frames * (24 + page);
  }

  std::string database_;
  std::string log_;
  std::size_t synced_ = 0;
};

class TornLog : public Chaos {
 protected:
  // The numbers of one topic in a copy, in their order.
  static std::vector<int> numbers_in(const Database& copy, const std::string& topic) {
    Arrivals arrivals;
    // Of a log cut near its beginning even the tables may be lost.
    if (copy.text("SELECT count(*) FROM sqlite_schema WHERE name='messages'") == "0") return {};
    copy.query("SELECT topic, payload FROM messages ORDER BY id",
               [&](const Database::Row& row) { arrivals[row.text(0)].push_back(row.text(1)); });
    return numbers_of(arrivals, topic);
  }

  // One after the other, from what is not handled yet on; how many are at the end is open.
  void expect_tail_missing_only(const Database& copy) {
    ASSERT_EQ(copy.text("PRAGMA integrity_check"), "ok");
    for (const std::string& topic : kTopics) {
      const std::vector<int> numbers = numbers_in(copy, topic);
      if (numbers.empty()) continue;
      const int first = numbers.front();
      EXPECT_GE(first, 1) << topic;
      EXPECT_TRUE(book("all").has_handled(topic, first - 1))
          << topic << ": " << first << " is first";
      for (std::size_t i = 0; i < numbers.size(); ++i)
        ASSERT_EQ(numbers[i], first + static_cast<int>(i)) << topic;
    }
  }
  // Nothing that was acknowledged before it was made.
  void expect_holds(const Database& copy, const Arrivals& acknowledged) {
    for (const std::string& topic : kTopics) {
      std::vector<int> there = numbers_in(copy, topic);
      const std::vector<int> handled = numbers_of(book("all").handled(), topic);
      there.insert(there.end(), handled.begin(), handled.end());
      const std::vector<int> known = numbers_of(acknowledged, topic);
      EXPECT_EQ(gaps(there, known.empty() ? 0 : *std::ranges::max_element(known)), "") << topic;
    }
  }

  void cut_at_random(const Snapshot& snapshot, int cuts) {
    const TempDir directory;
    for (int cut = 0; cut < cuts; ++cut) {
      const std::size_t loose = snapshot.log_size() - snapshot.synced();
      const std::size_t at =
          snapshot.synced() + static_cast<std::size_t>(random(static_cast<int>(loose) + 1));
      const std::string log =
          cut % 3 == 0 ? snapshot.log_with_hole(at) : std::string(snapshot.log_up_to(at));
      expect_tail_missing_only(snapshot.open(directory.path(), log));
      ASSERT_FALSE(HasFailure()) << "cut at " << at << " of " << snapshot.log_size() << ", "
                                 << snapshot.synced() << " of it synced";
    }
  }
};

TEST_F(TornLog, MissesATailAtMost) {
  const int all = rounds(6);
  WireWatch watch(broker_.port(), version());
  broker_.start();
  configure(ledger("all", "{topic: p/#, qos: 2}", kTopics, "delay_ms: 1"), watch.relay().key());
  daemon_.start_ready();
  await_subscriptions({"p/#"});
  Traffic traffic(broker_, kStreams, {.pace = 10ms});
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    const Arrivals acknowledged = watch.acknowledged();
    const Snapshot snapshot(daemon_.process(), spool());
    const TempDir directory;
    expect_holds(snapshot.open(directory.path(), snapshot.whole_log()), acknowledged);
    ASSERT_NO_FATAL_FAILURE(cut_at_random(snapshot, 8)) << "round " << round;
  }
  expect_all_handled(traffic);
  report(traffic, all);
}

}  // namespace
}  // namespace fastmqttd::testing
