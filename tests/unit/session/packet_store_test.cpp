#include "daemon/session/packet_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  EXPECT_EQ(store.get("r-1"), "PUBLISH");
  store.put("r-1", Parts{mqtt::string_view("\x3c repeated")});
  EXPECT_EQ(taken.size(), 1u);
  store.put("r-1", Parts{mqtt::string_view("\x34 of a new session")});
  EXPECT_EQ(taken.size(), 2u);
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

}  // namespace
}  // namespace fastmqttd
