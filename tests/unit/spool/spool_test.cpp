#include "daemon/spool/spool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "daemon/base/error.hpp"
#include "daemon/message/view.hpp"
#include "daemon/spool/sqlite.hpp"

namespace fastmqttd {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() { fs::create_directories(directory_); }
  ~SpoolTest() override { fs::remove_all(directory_); }

  std::unique_ptr<Spool> open(Durability durability = Durability::process) const {
    return std::make_unique<Spool>(directory_, durability);
  }
  static Message message(std::uint64_t id, std::string_view payload = "x") {
    return Message({.topic = "a/b", .payload = payload, .qos = 1, .received_ns = 5, .id = id});
  }
  static void append(Spool& spool, const Message& message, std::vector<Spool::Handler> handlers) {
    std::string why;
    ASSERT_TRUE(spool.append(message, handlers, why)) << why;
  }
  // "id handler", in order.
  static std::vector<std::string> left(Spool& spool) {
    std::vector<std::string> texts;
    for (const auto& [m, handler] : spool.unsettled())
      texts.push_back(std::to_string(m->id()) + " " + std::to_string(handler));
    return texts;
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
  EXPECT_TRUE(spool->unsettled().empty());
}

TEST_F(SpoolTest, MakesItsDirectory) {
  fs::remove_all(directory_);
  open();
  EXPECT_TRUE(fs::exists(file_));
}

TEST_F(SpoolTest, HandlersKeepTheirNumbers) {
  Spool::Handler one = 0, two = 0;
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
           Message({.topic = topic,
                    .payload = payload,
                    .qos = 2,
                    .retain = true,
                    .received_ns = 1'795'000'000'000'000'000,
                    .id = 11,
                    .properties = properties}),
           {spool->handler("one")});
  }
  const auto kept = open()->unsettled();
  ASSERT_EQ(kept.size(), 1u);
  const Message& m = *kept[0].message;
  EXPECT_EQ(m.topic(), topic);
  EXPECT_EQ(m.payload(), payload);
  EXPECT_EQ(m.qos(), 2);
  EXPECT_TRUE(m.retain());
  EXPECT_EQ(m.received_ns(), 1'795'000'000'000'000'000);
  EXPECT_EQ(m.id(), 11u);
  ASSERT_EQ(m.properties().size(), 2u);
  EXPECT_EQ(m.properties()[0].id, FASTMQTT_USER_PROPERTY);
  EXPECT_EQ(text_of(m.properties()[0].name), name);
  EXPECT_EQ(text_of(m.properties()[0].value), value);
  EXPECT_EQ(m.properties()[1].number, 4294967295u);
}

TEST_F(SpoolTest, KeepsAnEmptyPayload) {
  {
    const auto spool = open();
    append(*spool, message(1, ""), {spool->handler("one")});
  }
  EXPECT_EQ(open()->unsettled().at(0).message->payload(), "");
}

TEST_F(SpoolTest, KeepsWhatIsNotSettledInTheOrderOfArrival) {
  {
    const auto spool = open();
    const auto one = spool->handler("one"), two = spool->handler("two");
    append(*spool, message(3), {one, two});
    append(*spool, message(4), {one});
    append(*spool, message(5), {two});
    spool->settle(3, two);
    spool->settle(4, one);
  }
  const auto spool = open();
  EXPECT_THAT(left(*spool), ElementsAre("3 1", "5 2"));
  EXPECT_EQ(count("messages"), 2);
}

TEST_F(SpoolTest, SharesAMessageAmongItsHandlers) {
  const auto spool = open();
  append(*spool, message(1), {spool->handler("one"), spool->handler("two")});
  const auto kept = spool->unsettled();
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].message, kept[1].message);
}

TEST_F(SpoolTest, ForgetsWhatIsSettled) {
  const auto spool = open();
  const auto one = spool->handler("one");
  for (std::uint64_t id = 1; id <= 3000; ++id) {
    append(*spool, message(id), {one});
    spool->settle(id, one);
  }
  spool->flush(20s);
  EXPECT_EQ(count("messages"), 0);
  EXPECT_EQ(count("deliveries"), 0);
}

TEST_F(SpoolTest, NamesHandlersThatAreNotThere) {
  const auto spool = open();
  append(*spool, message(1), {spool->handler("gone"), spool->handler("here")});
  append(*spool, message(2), {spool->handler("gone")});
  const std::vector<std::string> names{"here"};
  EXPECT_THAT(spool->of_others(names), ElementsAre(Pair("gone", 2)));
}

TEST_F(SpoolTest, SaysWhenItCannotStore) {
  const auto spool = open();
  const auto one = spool->handler("one");
  append(*spool, message(1), {one});
  std::string why;
  // The same id again stands for any error of SQLite's.
  EXPECT_FALSE(spool->append(message(1), std::vector{one}, why));
  EXPECT_THAT(why, HasSubstr("spool.db: UNIQUE constraint failed"));
  append(*spool, message(2), {one});  // and goes on
  EXPECT_THAT(left(*spool), ElementsAre("1 1", "2 1"));
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

TEST_F(SpoolTest, WithDamagedPropertiesIsRefused) {
  {
    const auto spool = open();
    append(*spool, message(1), {spool->handler("one")});
  }
  {
    sqlite::Database database(file_);
    database.run("UPDATE messages SET properties=x'ff00'");
  }
  const auto spool = open();
  EXPECT_THROW(spool->unsettled(), StartError);
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
    const auto spool = open(Durability::power);
    append(*spool, message(1), {spool->handler("one")});
  }
  EXPECT_EQ(open()->unsettled().size(), 1u);
}

// However much goes through it.
TEST_F(SpoolTest, ItsLogStaysWithinBounds) {
  const auto spool = open();
  const auto one = spool->handler("one");
  const std::string payload(1000, 'x');
  std::uintmax_t largest = 0;
  for (std::uint64_t id = 1; id <= 20'000; ++id) {
    append(*spool, message(id, payload), {one});
    spool->settle(id, one);
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
  spool->settle(1, one);
  spool->flush(1ms);
  spool.reset();
  other.run("ROLLBACK");
  EXPECT_EQ(count("deliveries"), 1);
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
      spool->settle(id, one);
    }
  });
  for (std::uint64_t id = 1; id <= kMessages; ++id) {
    append(*spool, message(id), {one});
    appended = id;
  }
  settling.join();
  spool->flush(20s);
  EXPECT_EQ(count("deliveries"), 0);
}

}  // namespace
}  // namespace fastmqttd
