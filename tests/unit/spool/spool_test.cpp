#include "daemon/spool/spool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <fstream>

#include "daemon/base/error.hpp"
#include "daemon/message/view.hpp"
#include "daemon/spool/sqlite.hpp"
#include "tests/chaos/small_disk.hpp"
#include "tests/unit/support/recorded_log.hpp"

namespace fastmqttd {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() { fs::create_directories(directory_); }
  ~SpoolTest() override { fs::remove_all(directory_); }

  std::unique_ptr<Spool> open(const SpoolConfig& config = {}) const {
    return std::make_unique<Spool>(directory_, config);
  }
  static MessagePtr message(std::uint64_t id, std::string_view payload = "x") {
    return std::make_shared<Message>(
        Message::Parts{.topic = "a/b", .payload = payload, .qos = 1, .received_ns = 5, .id = id});
  }
  static void append(Spool& spool, const MessagePtr& message, std::vector<HandlerKey> handlers) {
    std::string why;
    ASSERT_TRUE(spool.append(*message, handlers, nullptr, why)) << why;
  }
  static void settle(Spool& spool, std::uint64_t message, HandlerKey handler) {
    spool.write({{Done{message, handler}}, false, {}});
  }
  static bool all(std::string_view) { return true; }
  static Backlog::Page page(Spool& spool, HandlerKey handler, std::uint64_t after = 0,
                            Backlog::Limits limits = {}) {
    return spool.backlog(handler)->read(after, limits, all);
  }
  // The ids of what waits for a handler.
  static std::vector<std::uint64_t> left(Spool& spool, HandlerKey handler) {
    std::vector<std::uint64_t> ids;
    for (const auto& one : page(spool, handler).messages) ids.push_back(one.message->id());
    return ids;
  }
  std::int64_t count(const char* table) const {
    sqlite::Database database(file_);
    sqlite::Statement rows(database, std::string("SELECT count(*) FROM ") + table);
    rows.step();
    return rows.number(0);
  }
  // Why it cannot be opened; with status 74.
  std::string refusal() const {
    try {
      open();
    } catch (const StartError& error) {
      EXPECT_EQ(error.status(), ExitStatus::spool);
      return error.what();
    }
    return "it can be used";
  }

  const fs::path directory_ = fs::path(::testing::TempDir()) /
                              ("spool-" + std::to_string(::getpid()) +
                               ::testing::UnitTest::GetInstance()->current_test_info()->name());
  const fs::path file_ = directory_ / "spool.db";
};

TEST_F(SpoolTest, IsEmptyAtFirst) {
  const auto spool = open();
  const HandlerKey one = spool->handler("one");
  EXPECT_THAT(left(*spool, one), IsEmpty());
  EXPECT_EQ(spool->waiting(one), 0u);
}

TEST_F(SpoolTest, MakesItsDirectory) {
  fs::remove_all(directory_);
  open();
  EXPECT_TRUE(fs::exists(file_));
}

TEST_F(SpoolTest, HandlersKeepTheirNumbers) {
  HandlerKey one = 0, two = 0;
  {
    const auto spool = open();
    one = spool->handler("one");
    two = spool->handler("two");
    EXPECT_NE(one, two);
    EXPECT_EQ(spool->handler("one"), one);
  }
  EXPECT_EQ(open()->handler("two"), two);
}

TEST_F(SpoolTest, KeepsAMessageWhole) {
  const std::string topic = "\xc3\xbc/b", payload("p\0q", 3), name = "unit", value("\0\xff", 2);
  const std::array properties{
      fastmqtt_property{
          FASTMQTT_USER_PROPERTY, 0, {name.data(), name.size()}, {value.data(), value.size()}},
      fastmqtt_property{FASTMQTT_MESSAGE_EXPIRY_INTERVAL, 4294967295u, {}, {}}};
  {
    const auto spool = open();
    append(*spool,
           std::make_shared<Message>(Message::Parts{.topic = topic,
                                                    .payload = payload,
                                                    .qos = 2,
                                                    .retain = true,
                                                    .received_ns = 1'795'000'000'000'000'000,
                                                    .id = 11,
                                                    .properties = properties}),
           {spool->handler("one")});
  }
  const auto spool = open();
  const auto kept = page(*spool, spool->handler("one")).messages;
  ASSERT_EQ(kept.size(), 1u);
  const Message& m = *kept[0].message;
  EXPECT_EQ(m.topic(), topic);
  EXPECT_EQ(m.payload(), payload);
  EXPECT_EQ(m.qos(), 2);
  EXPECT_TRUE(m.retain());
  EXPECT_TRUE(m.dup()) << "of an earlier run: it may have been handed over before";
  EXPECT_EQ(m.received_ns(), 1'795'000'000'000'000'000);
  EXPECT_EQ(m.id(), 11u);
  ASSERT_EQ(m.properties().size(), 2u);
  EXPECT_EQ(m.properties()[0].id, FASTMQTT_USER_PROPERTY);
  EXPECT_EQ(text_of(m.properties()[0].name), name);
  EXPECT_EQ(text_of(m.properties()[0].value), value);
  EXPECT_EQ(m.properties()[1].number, 4294967295u);
}

TEST_F(SpoolTest, KeepsAnEmptyPayload) {
  const auto spool = open();
  const HandlerKey one = spool->handler("one");
  append(*spool, message(1, ""), {one});
  EXPECT_EQ(page(*spool, one).messages.at(0).message->payload(), "");
}

TEST_F(SpoolTest, KeepsWhatIsNotSettledInTheOrderOfArrival) {
  {
    const auto spool = open();
    const auto one = spool->handler("one"), two = spool->handler("two");
    append(*spool, message(3), {one, two});
    append(*spool, message(4), {one});
    append(*spool, message(5), {two});
    append(*spool, message(6), {two, one});
    settle(*spool, 3, two);
    settle(*spool, 3, two);
    settle(*spool, 4, one);
    settle(*spool, 99, one);
  }
  const auto spool = open();
  EXPECT_THAT(left(*spool, 1), ElementsAre(3, 6));
  EXPECT_THAT(left(*spool, 2), ElementsAre(5, 6));
  EXPECT_EQ(spool->waiting(1), 2u);
  EXPECT_EQ(spool->waiting(2), 2u);
  EXPECT_EQ(count("messages"), 3);
  EXPECT_EQ(count("recipients"), 4) << "sets are shared";
}

TEST_F(SpoolTest, ForgetsWhatIsSettled) {
  const auto spool = open();
  const auto one = spool->handler("one"), two = spool->handler("two");
  for (std::uint64_t id = 1; id <= 3000; ++id) {
    append(*spool, message(id), {one, two});
    settle(*spool, id, one);
    settle(*spool, id, two);
  }
  spool->flush(20s);
  for (const char* table : {"messages", "settled", "retries"}) EXPECT_EQ(count(table), 0) << table;
  EXPECT_EQ(spool->waiting(one), 0u);
}

TEST_F(SpoolTest, IsReadInPages) {
  const auto spool = open();
  const auto one = spool->handler("one"), two = spool->handler("two");
  for (std::uint64_t id = 1; id <= 10; ++id) append(*spool, message(id), {id % 3 ? one : two});
  auto first = page(*spool, one, 0, {.messages = 4});
  EXPECT_EQ(first.messages.size(), 4u);
  EXPECT_EQ(first.last, 5u);
  EXPECT_FALSE(first.end);
  auto second = page(*spool, one, first.last, {.messages = 4});
  EXPECT_EQ(second.messages.size(), 3u);
  EXPECT_EQ(second.last, 10u);
  EXPECT_TRUE(second.end);
  EXPECT_EQ(page(*spool, one, 0, {.bytes = 1}).messages.size(), 1u) << "one at least";
  EXPECT_EQ(page(*spool, two, 9).last, 10u) << "the newest of all";
  EXPECT_EQ(spool->backlog(one)->one(4)->message->id(), 4u);
  EXPECT_FALSE(spool->backlog(one)->one(3));
}

TEST_F(SpoolTest, KeepsWhatIsToBeTriedAgain) {
  {
    const auto spool = open();
    append(*spool, message(1), {spool->handler("one"), spool->handler("two")});
    spool->write({{RetryAt{1, 1, 3, 2, 77}}, false, {}});
    spool->write({{RetryAt{1, 1, 4, 3, 78}}, false, {}});
  }
  const auto spool = open();
  const auto waiting = page(*spool, 1).messages.at(0);
  EXPECT_EQ(waiting.attempts, 4u);
  EXPECT_EQ(waiting.failures, 3u);
  EXPECT_EQ(waiting.due_ns, 78);
  EXPECT_EQ(page(*spool, 2).messages.at(0).attempts, 0u);
  settle(*spool, 1, 1);
  spool->flush(20s);
  EXPECT_EQ(count("retries"), 0);
}

TEST_F(SpoolTest, KeepsDeadLettersUntilTheyAreDropped) {
  {
    const auto spool = open();
    const auto one = spool->handler("one");
    append(*spool, message(1, "stored"), {one, spool->handler("two")});
    spool->write({{Dead{message(1, "stored"), one, 12, "retries used up", true}}, false, {}});
    spool->write({{Dead{message(2, "not"), one, 1, "rejected", false}}, false, {}});
  }
  const auto spool = open();
  EXPECT_THAT(left(*spool, 1), IsEmpty());
  EXPECT_THAT(left(*spool, 2), ElementsAre(1));
  EXPECT_EQ(spool->dead(1), 2u);
  const auto letters = spool->dead_letters(0, 10);
  ASSERT_EQ(letters.size(), 2u);
  EXPECT_EQ(letters[0].handler, "one");
  EXPECT_EQ(letters[0].reason, "retries used up");
  EXPECT_EQ(letters[0].attempts, 12u);
  EXPECT_EQ(letters[0].payload_bytes, 6u);
  EXPECT_EQ(letters[0].message->received_ns(), 5);
  EXPECT_EQ(letters[0].message->payload(), "");
  EXPECT_EQ(spool->dead_letter(letters[1].id)->message->payload(), "not");
  EXPECT_THAT(spool->dead_letters(letters[0].id, 10), ::testing::SizeIs(1));
  EXPECT_THAT(spool->dead_letters(0, 10, "two"), IsEmpty());
  const std::int64_t now = realtime_ns();
  EXPECT_EQ(spool->replay(letters[0].id, 50), 1);
  EXPECT_THAT(left(*spool, 1), ElementsAre(50));
  EXPECT_GE(page(*spool, 1).messages.at(0).message->received_ns(), now) << "not too old at once";
  EXPECT_TRUE(spool->drop_dead_letter(letters[1].id));
  EXPECT_EQ(spool->dead(1), 0u);
}

TEST_F(SpoolTest, WritesTogetherWhatBelongsTogether) {
  const auto spool = open();
  const auto one = spool->handler("one");
  append(*spool, message(1), {one});
  {
    // Whoever holds the database stands for a disk that takes nothing.
    sqlite::Database other(file_);
    other.run("BEGIN IMMEDIATE");
    EXPECT_FALSE(spool->write_now({{Done{1, one}, Publish{1, one, message(0)}}, true, {}}));
    other.run("ROLLBACK");
  }
  std::atomic<bool> written{false};
  EXPECT_TRUE(spool->write_now(
      {{Done{1, one}, Publish{2, one, message(0)}}, true, [&] { written = true; }}));
  EXPECT_TRUE(written);
  EXPECT_THAT(left(*spool, one), IsEmpty());
  const auto unpublished = spool->unpublished();
  ASSERT_EQ(unpublished.size(), 1u);
  EXPECT_EQ(unpublished[0].number, 2u);
  EXPECT_EQ(unpublished[0].handler, "one");
  spool->write({{Published{2}}, false, {}});
  spool->flush(20s);
  EXPECT_THAT(spool->unpublished(), IsEmpty());
}

TEST_F(SpoolTest, KeepsPacketsBySession) {
  {
    const auto spool = open();
    std::string why;
    const PacketRecord record{"me@broker", "r5-1", "PUBLISH"};
    EXPECT_TRUE(spool->append(*message(1), std::vector{spool->handler("one")}, &record, why));
    EXPECT_TRUE(spool->keep_packet({"me@broker", "s5-2", "old"}));
    EXPECT_TRUE(spool->keep_packet({"me@broker", "s5-2", "new"}));
    EXPECT_TRUE(spool->keep_packet({"me@other", "s5-3", "x"}));
  }
  const auto spool = open();
  EXPECT_THAT(spool->packets("me@broker"),
              ElementsAre(Pair("r5-1", "PUBLISH"), Pair("s5-2", "new")));
  EXPECT_TRUE(spool->forget_packet("me@broker", "r5-1"));
  EXPECT_THAT(spool->packets("me@broker"), ElementsAre(Pair("s5-2", "new")));
}

TEST_F(SpoolTest, GivesNoMessageIdTwice) {
  std::uint64_t first = 0;
  {
    const auto spool = open();
    first = spool->run_began();
    EXPECT_GE(next_message_id(), first);
  }
  EXPECT_GT(open()->run_began(), first + (1u << 30)) << "whatever the clock says";
}

TEST_F(SpoolTest, NamesHandlersThatAreNotThere) {
  const auto spool = open();
  append(*spool, message(1), {spool->handler("gone"), spool->handler("here")});
  append(*spool, message(2), {spool->handler("gone")});
  const std::vector<std::string> names{"here"};
  EXPECT_THAT(spool->left_for_others(names), ElementsAre(Pair("gone", Spool::Left{2, 0})));
  EXPECT_EQ(spool->forget("gone", 100), 2u);
  EXPECT_EQ(spool->forget("gone", 100), 0u);
  EXPECT_THAT(left(*spool, spool->handler("here")), ElementsAre(1));
  EXPECT_EQ(count("messages"), 1);
}

TEST_F(SpoolTest, SaysWhenItCannotStore) {
  const auto spool = open();
  const auto one = spool->handler("one"), two = spool->handler("two");
  append(*spool, message(1), {one});
  std::string why;
  // The same id again stands for any error of SQLite's.
  EXPECT_FALSE(spool->append(*message(1), std::vector{one, two}, nullptr, why));
  EXPECT_THAT(why, HasSubstr("spool.db: UNIQUE constraint failed"));
  append(*spool, message(2), {one, two});  // and goes on
  EXPECT_THAT(left(*spool, one), ElementsAre(1, 2));
  EXPECT_THAT(left(*spool, two), ElementsAre(2));
}

TEST_F(SpoolTest, HoldsAsMuchAsItMay) {
  SpoolConfig small;
  small.max_size = 1 << 20;
  const auto spool = open(small);
  const auto one = spool->handler("one");
  const std::string payload(5000, 'x');
  std::string why;
  std::uint64_t id = 0;
  while (spool->append(*message(++id, payload), std::vector{one}, nullptr, why))
    ASSERT_LT(id, 300u);
  EXPECT_GT(id, 90u);
  EXPECT_THAT(why, HasSubstr("the spool has reached its spool.max_size of 1MiB"));
  EXPECT_FALSE(spool->has_room());
  for (std::uint64_t i = 1; i <= id / 8; ++i) settle(*spool, i, one);
  spool->flush(20s);
  EXPECT_FALSE(spool->has_room()) << "not below four fifths";
  for (std::uint64_t i = id / 8; i <= id / 3; ++i) settle(*spool, i, one);
  spool->flush(20s);
  EXPECT_TRUE(spool->has_room());
  EXPECT_TRUE(spool->append(*message(1000, payload), std::vector{one}, nullptr, why));
}

// However many are settled at once.
TEST_F(SpoolTest, AFullDiskIsDrained) {
  const testing::SmallDisk disk(directory_, "8m");
  if (!disk.why_not().empty()) GTEST_SKIP() << "cannot mount a file system: " << disk.why_not();
  const std::string payload(8000, 'x');
  std::uint64_t id = 1;
  for (int run = 0; run < 3; ++run) {
    const auto spool = open();
    const HandlerKey one = spool->handler("one");
    std::string why;
    while (spool->append(*message(id, payload), std::vector{one}, nullptr, why)) ++id;
    EXPECT_THAT(why, HasSubstr("full"));
    const std::uint64_t waiting = spool->waiting(one);
    EXPECT_GT(waiting, 100u);
    Changes every;
    for (std::uint64_t settled = id - waiting; settled < id; ++settled)
      every.list.push_back(Done{settled, one});
    spool->write(std::move(every));
    spool->flush(20s);
    EXPECT_EQ(spool->waiting(one), 0u) << "in run " << run;
  }
}

TEST_F(SpoolTest, TakesOverASpoolOfTheFirstFormat) {
  {
    sqlite::Database old(file_);
    old.run(R"(
      PRAGMA journal_mode=WAL;
      CREATE TABLE handlers(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
      CREATE TABLE messages(
        id INTEGER PRIMARY KEY, received_ns INTEGER NOT NULL, qos INTEGER NOT NULL,
        retain INTEGER NOT NULL, topic BLOB NOT NULL, payload BLOB NOT NULL, properties BLOB NOT NULL);
      CREATE TABLE deliveries(message INTEGER NOT NULL, handler INTEGER NOT NULL,
        PRIMARY KEY(message, handler)) WITHOUT ROWID;
      INSERT INTO handlers VALUES(1, x'6f6e65'), (2, x'74776f');
      INSERT INTO messages VALUES(7, 5, 1, 0, x'61', x'70', x''), (8, 6, 2, 1, x'62', x'71', x''),
        (9, 6, 2, 1, x'62', x'71', x'');
      INSERT INTO deliveries VALUES(7, 1), (8, 1), (8, 2), (9, 1), (9, 2);
      PRAGMA user_version=1;)");
  }
  const auto spool = open();
  const HandlerKey one = spool->handler("one"), two = spool->handler("two");
  EXPECT_THAT(left(*spool, one), ElementsAre(7, 8, 9));
  EXPECT_THAT(left(*spool, two), ElementsAre(8, 9));
  const MessagePtr kept = page(*spool, two).messages.at(0).message;
  const Message& m = *kept;
  EXPECT_EQ(m.topic(), "b");
  EXPECT_EQ(m.payload(), "q");
  EXPECT_EQ(m.qos(), 2);
  EXPECT_TRUE(m.retain());
  EXPECT_GT(spool->run_began(), 9u);
}

TEST_F(SpoolTest, TakesOverASpoolOfTheThirdFormat) {
  {
    const auto spool = open();
    const HandlerKey one = spool->handler("one");
    std::string why;
    ASSERT_TRUE(spool->append(*message(7, "x"), std::vector{one}, nullptr, why));
    spool->write({{RetryAt{7, one, 3, 2, 5, 1}}, false, {}});
    spool->set_paused(one, true);
  }
  {
    sqlite::Database old(file_);
    old.run("ALTER TABLE retries DROP COLUMN crashes; PRAGMA user_version=3");
  }
  const auto spool = open();
  const HandlerKey one = spool->handler("one");
  EXPECT_TRUE(spool->paused(one));
  const auto waiting = page(*spool, one).messages.at(0);
  EXPECT_EQ(waiting.attempts, 3u);
  EXPECT_EQ(waiting.failures, 2u);
  EXPECT_EQ(waiting.crashes, 0u);
}

TEST_F(SpoolTest, IsOfOneDaemonOnly) {
  const auto spool = open();
  EXPECT_THAT(refusal(), HasSubstr("another fastmqttd uses it"));
}

TEST_F(SpoolTest, IsNotMadeOfSomethingElse) {
  const std::string garbage(5000, 'x');
  std::ofstream(file_) << garbage;
  EXPECT_THAT(refusal(), HasSubstr("file is not a database"));
  std::ifstream in(file_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), garbage) << "it was touched";
}

TEST_F(SpoolTest, OfALaterVersionIsRefused) {
  open();
  {
    sqlite::Database database(file_);
    database.run("PRAGMA user_version=99");
  }
  EXPECT_THAT(refusal(), HasSubstr("was written by a later version"));
}

TEST_F(SpoolTest, WhatCannotBeUnderstoodHoldsUpNoOther) {
  const auto spool = open();
  const auto one = spool->handler("one");
  append(*spool, message(1), {one});
  append(*spool, message(2), {one});
  {
    sqlite::Database database(file_);
    database.run("UPDATE messages SET properties=x'ff00' WHERE id=1");
  }
  const Backlog::Page rest = page(*spool, one);
  ASSERT_EQ(rest.messages.size(), 1u);
  EXPECT_EQ(rest.messages[0].message->id(), 2u);
  EXPECT_EQ(spool->backlog(one)->one(1), std::nullopt);
  EXPECT_EQ(count("messages"), 2) << "it stays";
}

TEST_F(SpoolTest, TakesNoLetterOfWhatWasNotStoredBeyondItsLimit) {
  SpoolConfig small;
  small.max_size = 1 << 20;
  const auto spool = open(small);
  const auto one = spool->handler("one");
  const MessagePtr large = message(1, std::string(20'000, 'x'));
  int letters = 0;
  for (; letters < 1000 && spool->takes_letter(*large); ++letters)
    spool->write({{Dead{large, one, 1, "rejected", false}}, false, {}});
  EXPECT_GT(letters, 20);
  EXPECT_LT(letters, 60);
  spool->flush(10s);
  EXPECT_LE(spool->use().bytes, (1u << 20) + (64u << 10));
}

TEST_F(SpoolTest, AnExchangeThatIsOverTakesItsOwnRecordsOnly) {
  const auto spool = open();
  const ExchangeOver over{"me@broker", "s5-1", "this one", "sc5-1", 7};
  ASSERT_TRUE(spool->keep_packet({"me@broker", "s5-1", "another one"}));
  ASSERT_TRUE(spool->write_now({{Publish{7, spool->handler("one"), message(0)}, over}, true, {}}));
  EXPECT_TRUE(spool->unpublished().empty());
  EXPECT_THAT(spool->packets("me@broker"), ElementsAre(Pair("s5-1", "another one")));
  ASSERT_TRUE(spool->keep_packet({"me@broker", "s5-1", "this one"}));
  ASSERT_TRUE(spool->keep_packet({"me@broker", "sc5-1", "PUBREL"}));
  ASSERT_TRUE(spool->write_now({{over}, true, {}}));
  EXPECT_TRUE(spool->packets("me@broker").empty());
}

TEST_F(SpoolTest, IsRefusedWhenATableIsDamaged) {
  open()->handler("one");
  std::map<std::string, std::int64_t> pages;
  {
    sqlite::Database database(file_);
    sqlite::Statement roots(database, "SELECT name, rootpage FROM sqlite_schema");
    while (roots.step()) pages[std::string(roots.bytes(0))] = roots.number(1);
  }
  for (const char* name : {"handlers", "sqlite_autoindex_handlers_1", "recipients", "settled",
                           "retries", "outbox", "packets", "counters", "sqlite_sequence"}) {
    ASSERT_TRUE(pages.contains(name)) << name;
    const fs::path whole = directory_ / "whole";
    fs::copy_file(file_, whole, fs::copy_options::overwrite_existing);
    {
      std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp((pages[name] - 1) * 4096);
      file << std::string(60, '\x5a');
    }
    EXPECT_THAT(refusal(), HasSubstr("malformed")) << name;
    fs::copy_file(whole, file_, fs::copy_options::overwrite_existing);
  }
  open();
}

TEST_F(SpoolTest, IsNoOtherProgramsDatabase) {
  {
    sqlite::Database database(file_);
    database.run("CREATE TABLE x(a)");
  }
  EXPECT_THAT(refusal(), HasSubstr("is the database of another program"));
  fs::resize_file(file_, 0);
  testing::RecordedLog log;
  open();
  ASSERT_EQ(log.texts().size(), 1u);
  EXPECT_THAT(log.texts()[0], HasSubstr("spool.db is empty"));
}

TEST_F(SpoolTest, HasToBeWritable) {
  open();
  fs::remove(file_);
  fs::create_directory(file_);
  EXPECT_THAT(refusal(), HasSubstr("expected a file that the daemon's user may write"));
}

TEST_F(SpoolTest, NeedsADirectory) {
  fs::remove_all(directory_);
  std::ofstream(directory_) << "a file";
  EXPECT_THAT(refusal(), HasSubstr("spool.lock: Not a directory"));
}

TEST_F(SpoolTest, IsNotPutWhereOthersMayWrite) {
  fs::permissions(directory_, fs::perms(0777));
  try {
    open();
    FAIL() << "it can be used";
  } catch (const StartError& error) {
    EXPECT_EQ(error.status(), ExitStatus::unsafe);
  }
}

TEST_F(SpoolTest, SurvivesPowerWhenTold) {
  {
    const auto spool = open({.directory = {}, .durability = Durability::power});
    append(*spool, message(1), {spool->handler("one")});
  }
  const auto spool = open();
  EXPECT_THAT(left(*spool, spool->handler("one")), ElementsAre(1));
}

// However much goes through it.
TEST_F(SpoolTest, ItsLogStaysWithinBounds) {
  const auto spool = open();
  const auto one = spool->handler("one");
  const std::string payload(1000, 'x');
  std::uintmax_t largest = 0;
  for (std::uint64_t id = 1; id <= 20'000; ++id) {
    append(*spool, message(id, payload), {one});
    settle(*spool, id, one);
    if (id % 100 == 0) largest = std::max(largest, fs::file_size(directory_ / "spool.db-wal"));
  }
  // 20,000 appends of two pages each would be 160 MB.
  EXPECT_LT(largest, 100u << 20);
}

TEST_F(SpoolTest, EndsWithWhatItCannotWrite) {
  auto spool = open();
  const auto one = spool->handler("one");
  append(*spool, message(1), {one});
  sqlite::Database other(file_);
  other.run("BEGIN IMMEDIATE");
  settle(*spool, 1, one);
  spool->flush(1ms);
  spool.reset();
  other.run("ROLLBACK");
  EXPECT_EQ(count("messages"), 1);
}

// From two sides at once, as in the daemon.
TEST_F(SpoolTest, SettlesWhileItAppends) {
  const auto spool = open();
  const auto one = spool->handler("one");
  constexpr std::uint64_t kMessages = 2000;
  std::atomic<std::uint64_t> appended{0};
  std::jthread settling([&] {
    for (std::uint64_t id = 1; id <= kMessages; ++id) {
      while (appended < id) std::this_thread::yield();
      settle(*spool, id, one);
    }
  });
  for (std::uint64_t id = 1; id <= kMessages; ++id) {
    append(*spool, message(id), {one});
    appended = id;
  }
  settling.join();
  spool->flush(20s);
  EXPECT_EQ(count("messages"), 0);
}

// ---- what was in memory only -------------------------------------------------------------------

TEST_F(SpoolTest, KeepsWhatWasInMemoryForOneHandlerMore) {
  const auto spool = open();
  const HandlerKey one = spool->handler("one"), two = spool->handler("two");
  std::string why;
  ASSERT_TRUE(spool->append(*message(7, "shared"), std::vector{one}, nullptr, why));
  const std::vector<Kept> kept{{message(7, "shared"), 0, 0}, {message(8, "alone"), 3, 2}};
  EXPECT_EQ(spool->keep(kept, two, why), 2u) << why;
  EXPECT_THAT(left(*spool, one), ElementsAre(7));
  EXPECT_THAT(left(*spool, two), ElementsAre(7, 8));
  EXPECT_EQ(spool->waiting(two), 2u);
  const auto waiting = page(*spool, two).messages;
  EXPECT_EQ(waiting.at(0).attempts, 0u);
  EXPECT_EQ(waiting.at(1).attempts, 3u);
  EXPECT_EQ(waiting.at(1).failures, 2u);
  EXPECT_EQ(waiting.at(1).message->payload(), "alone");
  // Each for itself.
  settle(*spool, 7, one);
  spool->flush(20s);
  EXPECT_THAT(left(*spool, one), ElementsAre());
  EXPECT_THAT(left(*spool, two), ElementsAre(7, 8));
  settle(*spool, 7, two);
  settle(*spool, 8, two);
  spool->flush(20s);
  EXPECT_THAT(left(*spool, two), ElementsAre());
  EXPECT_EQ(spool->waiting(), 0u);
}

// Of two that it was for, one is done with it already.
TEST_F(SpoolTest, KeepsWhatOthersHaveSettledInPart) {
  const auto spool = open();
  const HandlerKey one = spool->handler("one"), two = spool->handler("two"),
                   three = spool->handler("three");
  std::string why;
  ASSERT_TRUE(spool->append(*message(7, "x"), std::vector{one, two}, nullptr, why));
  settle(*spool, 7, one);
  spool->flush(20s);
  EXPECT_EQ(spool->keep(std::vector<Kept>{{message(7, "x"), 0, 0}}, three, why), 1u);
  EXPECT_THAT(left(*spool, one), ElementsAre());
  EXPECT_THAT(left(*spool, two), ElementsAre(7));
  EXPECT_THAT(left(*spool, three), ElementsAre(7));
}

TEST_F(SpoolTest, RemembersWhoIsPaused) {
  {
    const auto spool = open();
    spool->set_paused(spool->handler("one"), true);
    spool->set_paused(spool->handler("two"), true);
    spool->set_paused(spool->handler("two"), false);
  }
  const auto spool = open();
  EXPECT_TRUE(spool->paused(spool->handler("one")));
  EXPECT_FALSE(spool->paused(spool->handler("two")));
}

TEST_F(SpoolTest, TakesAnotherSizeWhileItIsOpen) {
  const auto spool = open();
  const HandlerKey one = spool->handler("one");
  std::string why;
  SpoolConfig small;
  small.max_size = 1 << 20;
  spool->change(small);
  EXPECT_EQ(spool->use().max_bytes, small.max_size);
  const std::string payload(2 << 20, 'x');
  EXPECT_FALSE(spool->append(*message(1, payload), std::vector{one}, nullptr, why));
  spool->change({});
  EXPECT_TRUE(spool->append(*message(1, payload), std::vector{one}, nullptr, why)) << why;
}

}  // namespace
}  // namespace fastmqttd
