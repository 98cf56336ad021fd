#include "daemon/spool/message_log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "daemon/message/view.hpp"
#include "tests/support/files.hpp"

namespace fastmqttd {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr HandlerKey kOne = 1, kTwo = 2;

class MessageLogTest : public ::testing::Test {
 protected:
  static MessagePtr message(std::uint64_t id, std::string_view payload = "x") {
    return std::make_shared<Message>(
        Message::Parts{.topic = "a/b", .payload = payload, .qos = 1, .received_ns = 5, .id = id});
  }
  // As it is found: by the next run, or after a kill of one that goes on here.
  MessageLog found(MessageLog::Position moved_up_to = 0) const {
    return MessageLog(file_, {kOwner, moved_up_to});
  }
  static void append(MessageLog& log, const MessagePtr& message,
                     std::vector<HandlerKey> handlers = {kOne}) {
    ASSERT_TRUE(log.has_room(*message, handlers.size())) << message->id();
    log.append(message, handlers);
  }
  static void settle(MessageLog& log, std::uint64_t id, HandlerKey handler = kOne) {
    std::vector<Done> list{{id, handler}};
    log.settle(list);
    EXPECT_THAT(list, IsEmpty()) << id;
  }
  static std::vector<std::uint64_t> ids(const MessageLog& log, HandlerKey handler = kOne) {
    std::vector<std::uint64_t> ids;
    for (const MessagePtr& message : log.waiting(handler, 0, 1'000'000))
      ids.push_back(message->id());
    return ids;
  }
  // Messages of that size that are settled at once, until the next half has begun.
  static void fill_half(MessageLog& log, std::uint64_t& id) {
    const std::string payload(1000, 'y');
    const std::uint64_t last = id + MessageLog::kHalfBytes / 1000;
    for (; id < last; ++id) {
      append(log, message(id, payload));
      settle(log, id);
    }
  }
  std::string bytes() const { return testing::read_file(file_); }
  // Where the second begins to be another than the first.
  static std::size_t difference(const std::string& before, const std::string& after) {
    return static_cast<std::size_t>(
        std::distance(before.begin(), std::ranges::mismatch(before, after).in1));
  }
  void write(const std::string& bytes) const { std::ofstream(file_, std::ios::binary) << bytes; }

  static constexpr std::uint64_t kOwner = 77;
  testing::TempDir directory_;
  const fs::path file_ = directory_ / "spool.log";
};

TEST_F(MessageLogTest, KeepsAMessageWhole) {
  const std::string topic = "\xc3\xbc/b", payload("p\0q", 3), name = "unit", value("\0\xff", 2);
  const std::array properties{fastmqtt_property{
      FASTMQTT_USER_PROPERTY, 0, {name.data(), name.size()}, {value.data(), value.size()}}};
  MessageLog log = found();
  append(log,
         std::make_shared<Message>(Message::Parts{.topic = topic,
                                                  .payload = payload,
                                                  .qos = 2,
                                                  .retain = true,
                                                  .received_ns = 1'795'000'000'000'000'000,
                                                  .id = 11,
                                                  .properties = properties}),
         {kOne, kTwo});
  append(log, message(12, ""), {kTwo});
  const MessageLog after = found();
  const MessagePtr kept = after.one(kOne, 11);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->topic(), topic);
  EXPECT_EQ(kept->payload(), payload);
  EXPECT_EQ(kept->qos(), 2);
  EXPECT_TRUE(kept->retain());
  EXPECT_TRUE(kept->dup()) << "it may have been handed over before";
  EXPECT_EQ(kept->received_ns(), 1'795'000'000'000'000'000);
  ASSERT_EQ(kept->properties().size(), 1u);
  EXPECT_EQ(text_of(kept->properties()[0].name), name);
  EXPECT_EQ(text_of(kept->properties()[0].value), value);
  EXPECT_THAT(ids(after, kTwo), ElementsAre(11, 12));
  EXPECT_EQ(after.one(kTwo, 12)->payload(), "");
  EXPECT_EQ(after.newest(), 12u);
}

TEST_F(MessageLogTest, KnowsWhatIsSettled) {
  MessageLog log = found();
  for (std::uint64_t id = 1; id <= 4; ++id) append(log, message(id), {kOne, kTwo});
  std::vector<Done> list{{2, kOne}, {9, kOne}, {2, kTwo}, {3, kOne}, {3, 5}};
  log.settle(list);
  EXPECT_EQ(list.size(), 2u) << "the others are not in here";
  EXPECT_THAT(ids(log), ElementsAre(1, 4));
  EXPECT_THAT(ids(log, kTwo), ElementsAre(1, 3, 4));
  const MessageLog after = found();
  EXPECT_THAT(ids(after), ElementsAre(1, 4));
  EXPECT_THAT(ids(after, kTwo), ElementsAre(1, 3, 4));
  EXPECT_EQ(after.bytes(), log.bytes());
}

TEST_F(MessageLogTest, GoesOnWhereItWas) {
  std::uint64_t id = 1;
  for (int run = 0; run < 50; ++run) {
    MessageLog log = found();
    append(log, message(id++));
    append(log, message(id++));
    settle(log, id - 1);
  }
  EXPECT_EQ(ids(found()).size(), 50u);
}

TEST_F(MessageLogTest, TurnsRoundAndRound) {
  MessageLog log = found();
  std::uint64_t id = 1;
  for (int half = 0; half < 7; ++half) {
    fill_half(log, id);
    EXPECT_THAT(ids(found()), IsEmpty()) << half;
  }
  EXPECT_EQ(fs::file_size(file_), 2 * MessageLog::kHalfBytes);
  append(log, message(id));
  EXPECT_THAT(ids(found()), ElementsAre(id));
}

TEST_F(MessageLogTest, NeverWritesOverWhatWaits) {
  MessageLog log = found();
  std::uint64_t id = 1;
  append(log, message(id++));
  const std::string payload(1000, 'y');
  while (log.has_room(*message(id, payload), 1)) {
    append(log, message(id, payload));
    settle(log, id++);
  }
  EXPECT_THAT(ids(found()), ElementsAre(1));
  log.leave_what_is_old();
  EXPECT_THAT(log.leaving(), ::testing::SizeIs(1));
  EXPECT_FALSE(log.has_room(*message(id, payload), 1)) << "it is not moved yet";
  EXPECT_THAT(ids(log), ElementsAre(1)) << "and can be read meanwhile";
  std::vector<Done> list{{1, kOne}};
  log.settle(list);
  EXPECT_EQ(list.size(), 1u) << "it is settled elsewhere";
  const MessageLog::Position up_to = log.left_up_to();
  log.moved(up_to);
  EXPECT_TRUE(log.has_room(*message(id, payload), 1));
  append(log, message(id, payload));
  EXPECT_THAT(ids(log), ElementsAre(id));
  EXPECT_THAT(ids(found(up_to)), ElementsAre(id));
}

TEST_F(MessageLogTest, SettlesToTheLastByte) {
  MessageLog log = found();
  std::uint64_t id = 1;
  std::vector<Done> open;
  for (; log.has_room(*message(id), 1); ++id) {
    append(log, message(id));
    open.push_back({id, kOne});
  }
  for (std::size_t i = 0; i < open.size(); ++i) {
    std::vector<Done> one{open[i]};
    log.settle(one);
    if (one.empty()) continue;
    // Where there is no room left to say so, all that is left is for the database.
    EXPECT_EQ(log.leaving().size(), open.size() - i);
    EXPECT_EQ(ids(found()).size(), open.size() - i);
    return;
  }
  FAIL() << "there was room for all";
}

TEST_F(MessageLogTest, LeavesOutWhatIsMoved) {
  MessageLog log = found();
  append(log, message(1));
  append(log, message(2));
  log.leave_all();
  append(log, message(3));
  EXPECT_THAT(ids(found(log.left_up_to())), ElementsAre(3));
  EXPECT_THAT(ids(log), ElementsAre(1, 2, 3));
  log.moved(log.left_up_to());
  EXPECT_THAT(ids(log), ElementsAre(3));
  EXPECT_EQ(log.bytes(), found(log.left_up_to()).bytes());
}

TEST_F(MessageLogTest, APartThatIsMovedMayBeSmall) {
  MessageLog log = found();
  for (std::uint64_t id = 1; id <= 3; ++id) append(log, message(id));
  log.leave_all();
  log.moved(log.leaving()[1].position);
  EXPECT_THAT(ids(log), ElementsAre(2, 3));
}

// Whatever it ends in, nothing before is lost and nothing behind is made up.
TEST_F(MessageLogTest, ATornEndIsMissingAlone) {
  std::size_t before_last = 0;
  {
    MessageLog log = found();
    append(log, message(1, "first"));
    append(log, message(2, "second"));
    const std::string so_far = bytes();
    append(log, message(3, std::string(300, 'z')));
    before_last = difference(so_far, bytes());
  }
  const std::string whole = bytes();
  for (std::size_t kept = 0; kept < 300; kept += 7) {
    std::string torn = whole;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(before_last + kept), torn.end(), '\0');
    write(torn);
    MessageLog log = found();
    EXPECT_THAT(ids(log), ElementsAre(1, 2)) << kept;
    append(log, message(4));
    EXPECT_THAT(ids(found()), ElementsAre(1, 2, 4)) << kept;
  }
}

TEST_F(MessageLogTest, ADamagedRecordEndsIt) {
  {
    MessageLog log = found();
    append(log, message(1, "first"));
    append(log, message(2, "second"));
    append(log, message(3, "third"));
  }
  std::string damaged = bytes();
  damaged[damaged.find("second")] ^= 1;
  write(damaged);
  EXPECT_THAT(ids(found()), ElementsAre(1));
}

// A sender that knows the form of the file writes records into payloads.
TEST_F(MessageLogTest, APayloadIsNoRecord) {
  std::string forged;
  {
    MessageLog log = found();
    append(log, message(1, "forged"));
    const std::string all = bytes();
    forged = all.substr(all.find("fmqlog01") + 32, 200);
    ASSERT_NE(forged.find("forged"), std::string::npos);
  }
  fs::remove(file_);
  std::size_t end = 0;
  {
    MessageLog log = found();
    std::string payload;
    for (int i = 0; i < 100; ++i) payload += forged;
    append(log, message(1));
    const std::string so_far = bytes();
    append(log, message(2, payload));
    end = difference(so_far, bytes());
  }
  const std::string whole = bytes();
  const std::size_t at = whole.find("forged");
  ASSERT_NE(at, std::string::npos);
  // What stands there is moved to where a record is expected.
  std::string moved = whole;
  moved.replace(end, forged.size(), forged);
  write(moved);
  EXPECT_THAT(ids(found()), ElementsAre(1));
}

TEST_F(MessageLogTest, IsOfOneDatabaseOnly) {
  { MessageLog log = found(); }
  EXPECT_THROW(MessageLog(file_, {kOwner + 1, 0}), MessageLog::Foreign);
}

TEST_F(MessageLogTest, AFileThatIsGoneIsMadeAnew) {
  MessageLog::Position up_to = 0;
  {
    MessageLog log = found();
    std::uint64_t id = 1;
    for (int half = 0; half < 3; ++half) fill_half(log, id);
    append(log, message(id));
    log.leave_all();
    up_to = log.left_up_to();
  }
  for (const bool lost : {true, false}) {
    if (lost) fs::remove(file_);
    MessageLog log = found(up_to);
    append(log, message(lost ? 1'000'000 : 1'000'001));
  }
  EXPECT_THAT(ids(found(up_to)), ElementsAre(1'000'000, 1'000'001)) << "they are not moved";
}

TEST_F(MessageLogTest, IsNotForLongMessages) {
  EXPECT_TRUE(MessageLog::suits(*message(1, std::string(100'000, 'x'))));
  EXPECT_FALSE(MessageLog::suits(*message(1, std::string(500'000, 'x'))));
}

}  // namespace
}  // namespace fastmqttd
