#include "daemon/session/packet_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "daemon/spool/sqlite.hpp"

namespace fastmqttd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Parts = std::vector<mqtt::string_view>;

std::vector<std::string> keys(const PacketStore& store) {
  std::vector<std::string> keys;
  const mqtt::string_collection all = store.keys();
  for (std::size_t i = 0; i < all.size(); ++i) keys.push_back(all[i]);
  return keys;
}

PacketStore::Receiver taking() {
  return {[](auto, const auto&, bool&) { return true; }, [] {}};
}

// A PUBLISH of QoS 2 on the topic "t" with the packet identifier 1.
std::string publish(unsigned char header, const std::string& payload, bool mqtt5) {
  std::string packet{
      static_cast<char>(header), static_cast<char>(5 + mqtt5 + payload.size()), 0, 1, 't', 0, 1};
  if (mqtt5) packet += '\0';
  return packet + payload;
}

TEST(PacketStore, TakesAMessageBeforeMqtt5FromItsPacketOnce) {
  PacketStore store;
  std::vector<std::string> taken;
  const auto take = [&](std::string_view packet, const PacketRecord&, bool&) {
    taken.emplace_back(packet);
    return true;
  };
  store.new_client(false, {take, [] {}});
  store.put("r-1", Parts{mqtt::string_view("PUB"), mqtt::string_view("LISH")});
  EXPECT_THAT(taken, ElementsAre("PUBLISH"));
  store.new_client(false, {take, [] {}});
  EXPECT_THAT(keys(store), ElementsAre("r-1"));
  EXPECT_EQ(store.get("r-1").size(), 15u) << "who it was, and no more than a digest of it";
  const auto put = [&](unsigned char header, const std::string& payload) {
    store.put("r-1", Parts{publish(header, payload, false)});
    return taken.size();
  };
  EXPECT_EQ(put(0x34, "of a new session"), 2u);
  EXPECT_EQ(put(0x3c, "of a new session"), 2u) << "repeated";
  EXPECT_EQ(put(0x3c, "another, whose first sending was lost"), 3u);
  EXPECT_EQ(put(0x34, "another, whose first sending was lost"), 4u);
  store.remove("r-1");
  store.remove("r-1");
  EXPECT_THAT(keys(store), IsEmpty());
}

TEST(PacketStore, KeepsNothingThatMayNotBeTaken) {
  PacketStore store;
  store.new_client(false, {[](auto, const auto&, bool&) { return false; }, [] {}});
  store.put("r-1", Parts{mqtt::string_view("x")});
  EXPECT_THAT(keys(store), IsEmpty());
}

TEST(PacketStore, RemembersAMessageOfMqtt5OnceItWasTaken) {
  PacketStore store;
  store.new_client(true, taking());
  store.put("r5-1", Parts{mqtt::string_view("x")});
  store.settle(true, false);
  store.put("r5-2", Parts{mqtt::string_view("y")});
  store.settle(false, false);
  store.put("r5-3", Parts{mqtt::string_view("z")});
  store.new_client(true, taking());
  store.settle(true, false);  // of nothing
  store.put("r5-4", Parts{mqtt::string_view("repeated")});
  store.remove("r5-4");
  store.settle(true, false);
  EXPECT_THAT(keys(store), ElementsAre("r5-1"));
}

TEST(PacketStore, ForgetsWhatTheOldClientHadNotBegunToSend) {
  PacketStore store;
  store.new_client(true, taking());
  store.put("c5-1", Parts{mqtt::string_view("SUBSCRIBE")});
  store.put("s5-2", Parts{mqtt::string_view("PUBLISH")});
  store.put("sc5-3", Parts{mqtt::string_view("PUBREL")});
  EXPECT_TRUE(store.contains_key("c5-1"));
  EXPECT_EQ(store.get("s5-2"), "PUBLISH");
  EXPECT_EQ(store.get("s5-3"), "");
  store.new_client(true, taking());
  EXPECT_THAT(keys(store), ElementsAre("s5-2", "sc5-3"));
}

TEST(PacketStore, TellsWhenTheRecordOfASentPacketIsGone) {
  std::vector<int> gone;
  PacketStore store(nullptr, [&](int id) { gone.push_back(id); });
  store.new_client(true, taking());
  for (const char* key : {"s5-7", "sc5-7", "s-65535", "r5-9"})
    store.put(key, Parts{mqtt::string_view("x")});
  store.settle(true, false);
  EXPECT_TRUE(store.has_sent(7));
  EXPECT_FALSE(store.has_sent(9));
  for (const char* key : {"s5-7", "sc5-7", "s-7", "sc-7", "s-65535", "r5-9", "s5-7"})
    store.remove(key);
  EXPECT_THAT(gone, ElementsAre(7, 65535));
}

// A broker that begins another session gives its packet identifiers anew.
TEST(PacketStore, RefusesWhatPahoWouldTakeForARepetition) {
  PacketStore store;
  int refused = 0;
  store.new_client(true, {[](auto, const auto&, bool&) { return true; }, [&] { ++refused; }});
  const auto refusals_after = [&](unsigned char header, const std::string& payload) {
    store.put("r5-1", Parts{publish(header, payload, true)});
    return refused;
  };
  EXPECT_EQ(refusals_after(0x34, "one"), 0);
  store.settle(true, false);
  EXPECT_EQ(refusals_after(0x3c, "one"), 0) << "repeated";
  EXPECT_EQ(refusals_after(0x34, "one"), 1);
  EXPECT_THAT(keys(store), IsEmpty()) << "the next client takes it";
  EXPECT_EQ(refusals_after(0x34, "one"), 1);
  store.settle(true, false);
  EXPECT_EQ(refusals_after(0x3c, "another, whose first sending was lost"), 2);
}

TEST(PacketStore, GivesAClientThePacketsOfItsVersionOnly) {
  PacketStore store;
  store.new_client(true, taking());
  store.put("s5-1", Parts{mqtt::string_view("\x34")});
  store.put("s-2", Parts{mqtt::string_view("\x34")});
  EXPECT_THAT(keys(store), ElementsAre("s5-1"));
  store.new_client(false, taking());
  EXPECT_THAT(keys(store), ElementsAre("s-2"));
  EXPECT_THAT(store.sent_qos2(true), ::testing::SizeIs(1));
  store.keep_only(false);
  EXPECT_THAT(store.sent_qos2(true), IsEmpty());
}

// The other version is only tried at first: what was sent with this one may go on.
TEST(PacketStore, KeepsExchangesOfQos2ForTheirVersion) {
  PacketStore store;
  store.new_client(true, taking());
  store.put("s5-1", Parts{mqtt::string_view("\x34")});
  store.put("sc5-1", Parts{mqtt::string_view("PUBREL")});
  store.put("s5-2", Parts{mqtt::string_view("\x32")});
  store.forget_sent_qos1(true);
  store.new_client(true, taking());
  EXPECT_THAT(keys(store), ElementsAre("s5-1", "sc5-1"));
}

class StoredPackets : public ::testing::Test {
 protected:
  ~StoredPackets() override { std::filesystem::remove_all(directory_); }
  const std::filesystem::path directory_ =
      std::filesystem::path(::testing::TempDir()) /
      ("packets-" + std::to_string(::getpid()) +
       ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(StoredPackets, OfQos2OutliveTheProcess) {
  {
    Spool spool(directory_, {});
    PacketStore store(&spool);
    store.at("me@broker");
    store.new_client(true, taking());
    store.put("s5-1", Parts{mqtt::string_view("\x32 of QoS 1")});
    store.put("s5-2", Parts{mqtt::string_view("\x34 of QoS 2")});
    store.put("sc5-2", Parts{mqtt::string_view("PUBREL")});
    store.put("s5-3", Parts{mqtt::string_view("\x34 of QoS 2")});
    store.remove("s5-3");
    store.put("r5-4", Parts{mqtt::string_view("\x34")});
    std::string why;
    const PacketRecord record = store.undecided();
    const Message message({.topic = "t", .payload = "x", .qos = 2, .id = next_message_id()});
    ASSERT_TRUE(spool.append(message, std::vector{spool.handler("one")}, &record, why));
    store.settle(true, true);
  }
  Spool spool(directory_, {});
  PacketStore store(&spool);
  store.at("me@broker");
  store.new_client(true, taking());
  EXPECT_THAT(keys(store), ElementsAre("r5-4", "s5-2", "sc5-2"));
  EXPECT_EQ(store.sent_qos2(true), (std::map<int, std::string>{{2, "\x34 of QoS 2"}}));
  store.at("me@other");
  EXPECT_THAT(keys(store), IsEmpty());
  store.at("me@broker");
  EXPECT_THAT(keys(store), ElementsAre("r5-4")) << "what was sent goes another way";
  store.remove("r5-4");
  EXPECT_TRUE(spool.packets("me@broker").empty());
}

TEST_F(StoredPackets, AnExchangeDoesNotEndBeforeItsRecordIsGone) {
  Spool spool(directory_, {});
  std::string not_written;
  PacketStore store(
      &spool, [](int) {}, [](int) { return 7; },
      [&](const std::string& what) { not_written = what; });
  store.at("me@broker");
  int refusals = 0;
  store.new_client(
      false, {[](auto, const auto&, bool& stored) { return stored = true; }, [&] { ++refusals; }});
  ASSERT_TRUE(spool.keep_packet({"me@broker", "r-1", "x"}));
  store.put("r-1", Parts{mqtt::string_view("\x34")});
  store.put("s-2", Parts{mqtt::string_view("\x34 sent")});
  {
    // Whoever holds the database stands for a disk that takes nothing.
    sqlite::Database other(directory_ / "spool.db");
    other.run("BEGIN IMMEDIATE");
    store.remove("r-1");
    store.remove("s-2");
    other.run("ROLLBACK");
  }
  EXPECT_EQ(refusals, 1);
  EXPECT_EQ(not_written, "the end of a QoS 2 exchange");
  EXPECT_THAT(keys(store), ElementsAre("r-1"));
  spool.flush(10s);
  EXPECT_THAT(spool.packets("me@broker"), ElementsAre(::testing::Pair("r-1", "x")))
      << "the other one has gone by now";
  store.remove("r-1");
  EXPECT_TRUE(spool.packets("me@broker").empty());
}

}  // namespace
}  // namespace fastmqttd
