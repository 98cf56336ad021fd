// sqlite, in the daemon, with a real broker.
#include <signal.h>

#include "tests/chaos/database.hpp"
#include "tests/integration/handlers_test.hpp"

namespace fastmqttd::testing {
namespace {

class Sqlite : public HandlersTest {
 protected:
  std::string file() const { return daemon_.file("a.db"); }
  // Of somebody who looks at it now and then; 0 while there is no such table.
  std::int64_t number(const std::string& sql) const {
    std::int64_t found = 0;
    try {
      Database(file()).query(sql, [&](const Database::Row& row) { found = row.number(0); });
    } catch (const std::exception&) {
    }
    return found;
  }
};

// Every message is a row, though the daemon is killed between them; none of them twice, as their
// numbers are a key.
TEST_F(Sqlite, LosesNothingOverKills) {
  install("sqlite");
  start(
      "  all:\n    plugin: sqlite\n    subscribe: n/#\n    retry: {delay: 1ms}\n    options:\n"
      "      {file: " +
          file() +
          ", table: t, upsert: id,\n"
          "       columns: {id: '{message_id}', topic: '{topic}', n: '{json:/n}'}}\n",
      {"n/#"});
  constexpr int kMessages = 3000;
  const auto rows = [this] { return number("SELECT count(DISTINCT n) FROM t"); };
  for (int kill = 0; kill < 3; ++kill) {
    std::vector<std::string> payloads;
    for (int i = 0; i < kMessages / 3; ++i)
      payloads.push_back("{\"n\": " + std::to_string(kill * kMessages / 3 + i) + "}");
    publish_all(broker_, "n/" + std::to_string(kill), payloads);
    daemon_.kill();
    daemon_.start_ready();
  }
  EXPECT_TRUE(eventually([&] { return rows() == kMessages; })) << rows();
  await_idle();
  EXPECT_EQ(number("SELECT count(*) - count(DISTINCT id) FROM t"), 0);
}

// What comes while the file cannot be used waits, and its order stays.
TEST_F(Sqlite, WaitsForItsDirectory) {
  install("sqlite");
  const auto directory = daemon_.file("later");
  write_file(directory, "no directory");
  start(
      "  all:\n    plugin: sqlite\n    subscribe: n/#\n"
      "    retry: {delay: 1ms, delay_max: 10ms}\n    options:\n"
      "      {file: " +
          (directory / "a.db").string() +
          ", table: t,\n"
          "       columns: {n: {value: '{payload}', type: integer}}}\n",
      {"n/#"});
  publish_all(broker_, "n/1", numbers(100));
  await_log("all: .*unable to open database file");
  std::filesystem::remove(directory);
  await_log("all: .*is written to again");
  publish(broker_, "n/1", "101");
  publish(broker_, "n/1", "warm");
  await_log("all: n/1: column 'n': it is no whole number");
  await_idle();
  std::string found;
  Database(directory / "a.db").query("SELECT n FROM t ORDER BY rowid", [&](const auto& row) {
    found += std::to_string(row.number(0)) + " ";
  });
  std::string expected;
  for (int i = 1; i <= 101; ++i) expected += std::to_string(i) + " ";
  EXPECT_EQ(found, expected);
}

TEST_F(Sqlite, SaysWhereAnOptionIsWrong) {
  install("sqlite");
  daemon_.configure(daemon_.mqtt_section(broker_) +
                    "handlers:\n  all:\n    plugin: sqlite\n    subscribe: n\n    options:\n"
                    "      file: /tmp/a.db\n      table: t\n      columns:\n"
                    "        n: {value: '{payload}', type: integr}\n");
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_TRUE(any_line_matches(done.errors,
                               "fastmqttd.yaml:[0-9]+:[0-9]+: handlers.all.options.columns.n.type: "
                               ".*expected one of integer, real"))
      << done.errors;
}

}  // namespace
}  // namespace fastmqttd::testing
