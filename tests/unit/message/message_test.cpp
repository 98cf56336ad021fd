#include "daemon/message/message.hpp"

#include <gtest/gtest.h>

#include <array>

namespace fastmqttd {
namespace {

std::string_view text(fastmqtt_view view) { return {view.data, view.size}; }

TEST(Message, OwnsACopyOfEverything) {
  std::string topic = "a/b", payload("p\0q", 3), name = "unit", value = "degC";
  const std::array properties{
      fastmqtt_property{
          FASTMQTT_USER_PROPERTY, 0, {name.data(), name.size()}, {value.data(), value.size()}},
      fastmqtt_property{FASTMQTT_MESSAGE_EXPIRY_INTERVAL, 30, {}, {}}};
  const std::array<std::uint32_t, 2> ids{7, 9};
  const Message message({.topic = topic,
                         .payload = payload,
                         .qos = 2,
                         .retain = true,
                         .dup = true,
                         .received_ns = 5,
                         .id = 11,
                         .properties = properties,
                         .subscription_ids = ids});
  topic = payload = name = value = "overwritten";

  EXPECT_EQ(message.topic(), "a/b");
  EXPECT_EQ(message.payload(), std::string_view("p\0q", 3));
  EXPECT_EQ(message.subscription_ids()[1], 9u);

  const fastmqtt_message view = message.view();
  EXPECT_EQ(view.size, sizeof(fastmqtt_message));
  EXPECT_EQ(view.qos, 2);
  EXPECT_EQ(view.retain, 1);
  EXPECT_EQ(view.dup, 1);
  EXPECT_EQ(view.message_id, 11u);
  EXPECT_EQ(view.received_ns, 5);
  EXPECT_EQ(text(view.topic), "a/b");
  ASSERT_EQ(view.property_count, 2u);
  EXPECT_EQ(text(view.properties[0].name), "unit");
  EXPECT_EQ(text(view.properties[0].value), "degC");
  EXPECT_EQ(view.properties[1].number, 30u);
  EXPECT_EQ(view.properties[1].value.data, nullptr);
}

TEST(Message, WeighsAtLeastWhatItHolds) {
  const std::string payload(1000, 'x');
  EXPECT_GE(Message({.topic = "t", .payload = payload}).memory_bytes(), 1001u);
}

}  // namespace
}  // namespace fastmqttd
