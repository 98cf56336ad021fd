#include "handlers/sqlite/sqlite.cpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/chaos/small_disk.hpp"
#include "tests/support/handler_test.hpp"

namespace {

using namespace fastmqttd::testing;  // the tester, and what all these tests share
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

namespace fs = std::filesystem;

// Somebody else's connection.
class Other {
 public:
  explicit Other(const std::string& file) {
    EXPECT_EQ(::sqlite3_open(file.c_str(), &database_), SQLITE_OK);
    ::sqlite3_busy_timeout(database_, 10'000);
  }
  ~Other() { ::sqlite3_close(database_); }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;

  // Each row as "a|b".
  std::vector<std::string> query(const std::string& sql) {
    std::vector<std::string> rows;
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(::sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK)
        << ::sqlite3_errmsg(database_);
    int step;
    while ((step = ::sqlite3_step(statement)) == SQLITE_ROW) {
      std::string row;
      for (int i = 0; i < ::sqlite3_column_count(statement); ++i) {
        if (i > 0) row += '|';
        const auto* bytes = static_cast<const char*>(::sqlite3_column_blob(statement, i));
        if (::sqlite3_column_type(statement, i) == SQLITE_NULL)
          row += "NULL";
        else
          row.append(bytes, static_cast<std::size_t>(::sqlite3_column_bytes(statement, i)));
      }
      rows.push_back(row);
    }
    EXPECT_EQ(step, SQLITE_DONE) << ::sqlite3_errmsg(database_);
    ::sqlite3_finalize(statement);
    return rows;
  }

 private:
  sqlite3* database_ = nullptr;
};

class SqliteHandler : public HandlerTest {
 protected:
  std::string file() const { return HandlerTest::file("a.db"); }
  std::vector<std::string> query(const std::string& sql) const { return Other(file()).query(sql); }
};

TEST_F(SqliteHandler, WritesTheColumnsThatMostWant) {
  {
    HandlerTester tester({{"file", file()}, {"table", "messages"}});
    EXPECT_EQ(tester.deliver({.topic = "a/b", .payload = "21.5", .retain = true}), Result::ok);
    EXPECT_THAT(query("SELECT time, topic, payload, typeof(payload), qos, retain FROM messages"),
                ElementsAre("1970-01-01T00:00:00.000Z|a/b|21.5|text|1|1"));
    EXPECT_THAT(query("PRAGMA journal_mode"), ElementsAre("wal"));
    EXPECT_THAT(tester.logs(), IsEmpty());
  }
  EXPECT_FALSE(fs::exists(file() + "-wal")) << "it was not closed";
}

TEST_F(SqliteHandler, KeepsTypes) {
  HandlerTester tester({{"file", file()},
                        {"table", "t"},
                        {"columns.v", "{json:/v}"},
                        {"columns.n.value", "{json:/n}"},
                        {"columns.n.type", "real"},
                        {"columns.n.optional", "true"},
                        {"columns.all.value", "{payload}"},
                        {"columns.all.type", "json"},
                        {"columns.id", "{message_id}"}});
  for (const char* value : {"7", "7.5", "\"7\"", "null", "true", R"({"a": [1]})"})
    EXPECT_EQ(tester.deliver("t", R"({"v": )" + std::string(value) + "}"), Result::ok) << value;
  EXPECT_EQ(tester.deliver("t", R"({"v": 1, "n": "8"})"), Result::ok);
  EXPECT_THAT(
      query("SELECT v, typeof(v), n, id FROM t"),
      ElementsAre("7|integer|NULL|1", "7.5|real|NULL|2", "7|text|NULL|3", "NULL|null|NULL|4",
                  "1|integer|NULL|5", "{\"a\":[1]}|text|NULL|6", "1|integer|8.0|7"));
  EXPECT_THAT(query("SELECT json_extract(\"all\", '$.v.a[0]') FROM t WHERE id = 6"),
              ElementsAre("1"));
}

TEST_F(SqliteHandler, WritesHostileMessagesAsTheyAre) {
  HandlerTester tester({{"file", file()},
                        {"table", "x\"; DROP TABLE y; --"},
                        {"columns.a'\"b", "{topic}"},
                        {"columns.payload", "{payload}"}});
  const std::string topic = "../'); DROP TABLE \"t\";--\n\xc3\xa9";
  const std::string large(1 << 20, '\'');
  for (const std::string& payload :
       std::vector<std::string>{"", std::string("a\0b", 3), "\xff\xfe", "'\"\n;--", large})
    EXPECT_EQ(tester.deliver(topic, payload), Result::ok);
  EXPECT_THAT(query(R"(SELECT DISTINCT "a'""b" FROM "x""; DROP TABLE y; --")"), ElementsAre(topic));
  EXPECT_THAT(query(R"(SELECT typeof(payload), payload FROM "x""; DROP TABLE y; --")"),
              ElementsAre("text|", std::string("blob|a\0b", 8), "blob|\xff\xfe", "text|'\"\n;--",
                          "text|" + large));
}

TEST_F(SqliteHandler, RejectsWhatHasNoRow) {
  HandlerTester tester({{"file", file()}, {"table", "t"}, {"columns.v", "{number}"}});
  EXPECT_THAT(tester.deliver_batch({{"a", "1"}, {"b", "warm"}, {"c", "2.5"}}),
              ElementsAre(Result::ok, Result::reject, Result::ok));
  EXPECT_THAT(tester.logs(), ElementsAre("column 'v': the payload is no number"));
  EXPECT_THAT(query("SELECT v FROM t"), ElementsAre("1", "2.5"));
}

TEST_F(SqliteHandler, KeepsTheLatestOfAKey) {
  HandlerTester tester({{"file", file()},
                        {"table", "latest"},
                        {"columns.topic", "{topic}"},
                        {"columns.value", "{number}"},
                        {"upsert.0", "topic"}});
  EXPECT_THAT(tester.deliver_batch({{"a", "1"}, {"b", "2"}, {"a", "3"}}), Each(Result::ok));
  EXPECT_EQ(tester.deliver("b", "4"), Result::ok);
  EXPECT_THAT(query("SELECT * FROM latest ORDER BY topic"), ElementsAre("a|3", "b|4"));
}

// Only that row: whatever the table has against it, and whatever that does to the transaction.
TEST_F(SqliteHandler, RejectsOnlyTheRowThatTheTableRefuses) {
  query(
      "CREATE TABLE t (topic TEXT UNIQUE, payload TEXT CHECK (payload <> 'bad' AND "
      "(topic <> 'json' OR json_extract(payload, '$.a') > 0)))");
  query(
      "CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.payload = 'back' "
      "BEGIN SELECT RAISE(ROLLBACK, 'not that one'); END");
  HandlerTester tester({{"file", file()},
                        {"table", "t"},
                        {"columns.topic", "{topic}"},
                        {"columns.payload", "{payload}"}});
  EXPECT_THAT(tester.deliver_batch({{"a", "1"},
                                    {"b", "bad"},
                                    {"c", "2"},
                                    {"a", "3"},
                                    {"d", "back"},
                                    {"json", "{"},
                                    {"json", R"({"a": 1})"}}),
              ElementsAre(Result::ok, Result::reject, Result::ok, Result::reject, Result::reject,
                          Result::reject, Result::ok));
  EXPECT_THAT(query("SELECT topic, payload FROM t"), ElementsAre("a|1", "c|2", "json|{\"a\": 1}"));
  EXPECT_THAT(tester.logs(), ElementsAre(HasSubstr("CHECK constraint failed"),
                                         HasSubstr("UNIQUE constraint failed: t.topic"),
                                         "not that one", "malformed JSON"));
}

TEST_F(SqliteHandler, SaysWhyATableDoesNotFit) {
  query("CREATE TABLE t (TOPIC TEXT, site TEXT NOT NULL, id INTEGER PRIMARY KEY NOT NULL)");
  const std::initializer_list<Option> options = {{"file", file()},
                                                 {"table", "t"},
                                                 {"columns.topic", "{topic}"},
                                                 {"columns.unit", "C"},
                                                 {"upsert", "topic"}};
  HandlerTester tester(options);
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("the table \"t\" that is there has no column \"unit\""));
  query("ALTER TABLE t ADD COLUMN unit");
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("NOT NULL and not among `columns`: \"site\""));
  query("ALTER TABLE t DROP COLUMN site");
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  const std::string advice = tester.last_log();
  const std::size_t command = advice.find("CREATE UNIQUE INDEX");
  EXPECT_THAT(advice, HasSubstr("has no unique index on the columns of `upsert`: "));
  ASSERT_NE(command, std::string::npos) << advice;
  query(advice.substr(command));
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  EXPECT_THAT(tester.last_log(), HasSubstr("a.db: is written to again"));

  query("DROP TABLE t");  // while it is in use
  EXPECT_EQ(tester.deliver("a", "2"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("no such table"));
  EXPECT_EQ(tester.deliver("a", "2"), Result::ok);
  EXPECT_THAT(query("SELECT topic, unit FROM t"), ElementsAre("a|C"));
}

TEST_F(SqliteHandler, WaitsForALockButNotForEver) {
  HandlerTester tester({{"file", file()}, {"table", "t"}, {"busy_timeout", "100ms"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  Other other(file());
  other.query("BEGIN IMMEDIATE");
  EXPECT_THAT(tester.deliver_batch({{"a", "2"}, {"b", "3"}}), Each(Result::retry));
  EXPECT_EQ(tester.deliver("a", "2"), Result::retry);
  EXPECT_THAT(tester.logs(), ElementsAre(HasSubstr("another process keeps it locked")));
  other.query("COMMIT");
  EXPECT_EQ(tester.deliver("a", "2"), Result::ok);
  EXPECT_THAT(tester.last_log(), HasSubstr("is written to again"));

  HandlerTester patient({{"file", file()}, {"table", "t"}, {"busy_timeout", "30s"}});
  other.query("BEGIN IMMEDIATE");
  std::atomic<bool> done{false};
  std::thread deliver([&] {
    EXPECT_EQ(patient.deliver("a", "4"), Result::ok);
    done = true;
  });
  EXPECT_FALSE(eventually(milliseconds(50), [&] { return done.load(); }));
  other.query("COMMIT");
  deliver.join();
  EXPECT_THAT(query("SELECT count(*) FROM t"), ElementsAre("3"));
}

// Down at the start, and mended meanwhile.
TEST_F(SqliteHandler, TriesAgainWhenTheFileCannotBeUsed) {
  const std::string name = directory_ / "later" / "a.db";
  std::ofstream(directory_ / "later") << "no directory";
  HandlerTester tester({{"file", name}, {"table", "t"}});
  EXPECT_TRUE(tester.wake());
  EXPECT_THAT(tester.last_log(), HasSubstr("unable to open database file (Not a directory"));
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_EQ(tester.logs().size(), 1u) << "said once";
  fs::remove(directory_ / "later");
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);

  std::ofstream(file()) << "this is no database at all, but long enough to look like one\n";
  HandlerTester damaged({{"file", file()}, {"table", "t"}});
  EXPECT_EQ(damaged.deliver("a", "1"), Result::retry);
  EXPECT_THAT(damaged.last_log(), HasSubstr("file is not a database: move it away"));
  fs::rename(file(), file() + ".damaged");
  EXPECT_EQ(damaged.deliver("a", "1"), Result::ok);
  EXPECT_THAT(query("SELECT payload FROM t"), ElementsAre("1"));
}

TEST_F(SqliteHandler, MakesTheDirectoriesOfItsFile) {
  HandlerTester tester({{"file", directory_ / "one" / "two" / "a.db"}, {"table", "t"}});
  EXPECT_FALSE(fs::exists(directory_ / "one")) << "--check gets no further";
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  EXPECT_THAT(Other(directory_ / "one" / "two" / "a.db").query("SELECT payload FROM t"),
              ElementsAre("1"));
}

TEST_F(SqliteHandler, TriesAgainWhenTheFileIsDamagedMeanwhile) {
  HandlerTester tester({{"file", file()}, {"table", "t"}});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(tester.deliver("a", std::string(4000, 'x')), Result::ok);
  query("PRAGMA wal_checkpoint(TRUNCATE)");
  {
    std::fstream out(file(), std::ios::in | std::ios::out | std::ios::binary);
    for (int page = 0; page < 100; ++page) out << std::string(4096, '\x5a');
  }
  const TestMessage message{.topic = "a", .payload = std::string(20'000, 'y')};
  HandlerTester fresh({{"file", file()}, {"table", "t"}});
  EXPECT_EQ(fresh.deliver(message), Result::retry);
  EXPECT_THAT(fresh.last_log(), HasSubstr("move it away"));
}

TEST_F(SqliteHandler, NoticesThatItsFileIsAnotherOne) {
  HandlerTester tester({{"file", file()}, {"table", "t"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  for (const char* ending : {"", "-wal", "-shm"}) fs::remove(file() + ending);
  EXPECT_EQ(tester.deliver("a", "2"), Result::ok);
  EXPECT_THAT(tester.last_log(), HasSubstr("was deleted or replaced"));
  EXPECT_THAT(query("SELECT payload FROM t"), ElementsAre("2"));

  fs::rename(file(), file() + ".old");  // as one who keeps what is old
  EXPECT_EQ(tester.deliver("a", "3"), Result::ok);
  EXPECT_THAT(query("SELECT payload FROM t"), ElementsAre("3"));
  EXPECT_THAT(Other(file() + ".old").query("SELECT payload FROM t"), ElementsAre("2"));

  fs::remove(file() + "-wal");
  EXPECT_EQ(tester.deliver("a", "4"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("a.db-wal was deleted or replaced"));
  EXPECT_EQ(tester.deliver("a", "4"), Result::ok);
  EXPECT_THAT(query("SELECT DISTINCT payload FROM t"), ElementsAre("3", "4"));
}

// Another database takes the name while the old one is open: closing the old one must not remove
// what belongs to the new one.
TEST_F(SqliteHandler, LeavesTheFilesOfAnotherDatabaseAlone) {
  HandlerTester tester({{"file", file()}, {"table", "t"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  for (const char* ending : {"", "-wal", "-shm"}) fs::remove(file() + ending);
  Other other(file());
  other.query("PRAGMA journal_mode = WAL");
  other.query("CREATE TABLE theirs (x)");
  other.query("INSERT INTO theirs VALUES (7)");
  EXPECT_EQ(tester.deliver("a", "2"), Result::ok);
  EXPECT_TRUE(fs::exists(file() + "-wal"));
  other.query("INSERT INTO theirs VALUES (8)");
  EXPECT_THAT(query("SELECT x FROM theirs"), ElementsAre("7", "8"));
  EXPECT_THAT(query("SELECT payload FROM t"), ElementsAre("2"));
}

TEST_F(SqliteHandler, TriesAgainWhenTheDiskIsFull) {
  const fastmqttd::testing::SmallDisk disk(directory_, "1m");
  if (!disk.why_not().empty()) GTEST_SKIP() << "no small disk can be mounted: " << disk.why_not();
  HandlerTester tester({{"file", file()}, {"table", "t"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  std::ofstream(directory_ / "filler") << std::string(2 << 20, 'x') << std::flush;
  int kept = 1;
  Result answer = Result::ok;
  for (int i = 0; i < 100 && answer == Result::ok; ++i) {
    answer = tester.deliver("a", std::string(20'000, 'x'));
    if (answer == Result::ok) ++kept;
  }
  EXPECT_EQ(answer, Result::retry);
  EXPECT_EQ(tester.deliver("a", std::string(20'000, 'x')), Result::retry);
  EXPECT_THAT(tester.last_log(), MatchesRegex(".*(disk is full|disk I/O error).*"));
  fs::remove(directory_ / "filler");
  EXPECT_EQ(tester.deliver("a", "2"), Result::ok);
  EXPECT_THAT(query("SELECT count(*) FROM t"), ElementsAre(std::to_string(kept + 1)));
  EXPECT_THAT(query("PRAGMA integrity_check"), ElementsAre("ok"));
}

TEST_F(SqliteHandler, NamesMistakes) {
  EXPECT_THAT(refusal({{"table", "t"}}), HasSubstr("file: expected"));
  EXPECT_THAT(refusal({{"file", "a.db"}, {"table", "t"}}),
              HasSubstr("file: 'a.db': expected the path of a file, from / on"));
  for (const char* own : {"/var/lib/fastmqttd/spool.db", "/a/spool.db-journal/b.db",
                          "/a/session.json", "/a/parked-1-0.db"})
    EXPECT_THAT(refusal({{"file", own}, {"table", "t"}}),
                HasSubstr("is a file of the daemon's own: expected another name"))
        << own;
  EXPECT_THAT(refusal({{"file", "/a.db"}}), HasSubstr("table: expected"));
  EXPECT_THAT(refusal({{"file", "/a.db"}, {"table", ""}}), HasSubstr("table: expected a name"));
  EXPECT_THAT(refusal({{"file", "/a.db"}, {"table", "main.t"}}),
              HasSubstr("table: 'main.t': expected a name without dots"));
  EXPECT_THAT(refusal({{"file", "/a.db"}, {"table", "SQLITE_x"}}), HasSubstr("for itself"));
  EXPECT_THAT(refusal({{"file", "/a.db"}, {"table", "t"}, {"busy_timeout", "2m"}}),
              HasSubstr("busy_timeout: "));
  EXPECT_THAT(
      refusal({{"file", "/a.db"},
               {"table", "t"},
               {"columns.a.value", "x"},
               {"columns.a.type", "varchar"}}),
      HasSubstr("columns.a.type: expected one of integer, real, numeric, text, blob, json, any"));
}

}  // namespace
