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

TEST(PacketStore, TakesAMessageBeforeMqtt5FromItsPacketOnce) {
  PacketStore store;
  std::vector<std::string> taken;
  const auto take = [&](std::string_view packet) {
    taken.emplace_back(packet);
    return true;
  };
  store.new_client(take);
  store.put("r-1", Parts{mqtt::string_view("PUB"), mqtt::string_view("LISH")});
  EXPECT_THAT(taken, ElementsAre("PUBLISH"));
  store.new_client(take);
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
  store.new_client([](std::string_view) { return false; });
  store.put("r-1", Parts{mqtt::string_view("x")});
  EXPECT_THAT(keys(store), IsEmpty());
}

TEST(PacketStore, RemembersAMessageOfMqtt5OnceItWasTaken) {
  PacketStore store;
  store.new_client([](std::string_view) { return true; });
  store.put("r5-1", Parts{mqtt::string_view("x")});
  store.settle(true);
  store.put("r5-2", Parts{mqtt::string_view("y")});
  store.settle(false);
  store.put("r5-3", Parts{mqtt::string_view("z")});
  store.new_client([](std::string_view) { return true; });
  store.settle(true);  // of nothing
  store.put("r5-4", Parts{mqtt::string_view("repeated")});
  store.remove("r5-4");
  store.settle(true);
  EXPECT_THAT(keys(store), ElementsAre("r5-1"));
}

TEST(PacketStore, ForgetsWhatTheOldClientMeantToSend) {
  PacketStore store;
  store.new_client([](std::string_view) { return true; });
  store.put("c-1", Parts{mqtt::string_view("SUBSCRIBE")});
  store.put("s5-2", Parts{mqtt::string_view("PUBLISH")});
  EXPECT_TRUE(store.contains_key("c-1"));
  EXPECT_EQ(store.get("s5-2"), "PUBLISH");
  EXPECT_EQ(store.get("s5-3"), "");
  store.new_client([](std::string_view) { return true; });
  EXPECT_THAT(keys(store), IsEmpty());
}

}  // namespace
}  // namespace fastmqttd
