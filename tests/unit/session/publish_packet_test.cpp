#include "daemon/session/publish_packet.hpp"

#include <gtest/gtest.h>

#include <string>

namespace fastmqttd {
namespace {

using namespace std::string_literals;

TEST(PublishPacket, ReadsEveryField) {
  const std::string packet =
      "\x3d\x09\x00\x03"
      "a/b"
      "\x12\x34"
      "hi"s;
  const auto publish = parse_publish(packet);
  ASSERT_TRUE(publish);
  EXPECT_EQ(publish->topic, "a/b");
  EXPECT_EQ(publish->payload, "hi");
  EXPECT_EQ(publish->qos, 2);
  EXPECT_TRUE(publish->retain);
  EXPECT_TRUE(publish->dup);
}

TEST(PublishPacket, HasNoIdentifierAtQos0) {
  const std::string packet =
      "\x30\x05\x00\x01"
      "a"
      "hi"s;
  const auto publish = parse_publish(packet);
  ASSERT_TRUE(publish);
  EXPECT_EQ(publish->payload, "hi");
  EXPECT_FALSE(publish->retain);
}

TEST(PublishPacket, ReadsLengthsOfSeveralBytes) {
  const std::string payload(300, 'x');
  const std::string packet =
      "\x34\xb1\x02\x00\x01"
      "a"
      "\x00\x01"s +
      payload;
  const auto publish = parse_publish(packet);
  ASSERT_TRUE(publish);
  EXPECT_EQ(publish->payload, payload);
}

TEST(PublishPacket, RefusesAnythingElse) {
  const std::string good =
      "\x34\x07\x00\x01"
      "a"
      "\x00\x01"
      "hi"s;
  ASSERT_TRUE(parse_publish(good));
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(parse_publish(good.substr(0, size))) << size;
  EXPECT_FALSE(parse_publish(good + "more"));
  EXPECT_FALSE(parse_publish("\x44" + good.substr(1))) << "a PUBACK";
  EXPECT_FALSE(parse_publish("\x36" + good.substr(1))) << "QoS 3";
  EXPECT_FALSE(parse_publish("\x34\x80\x80\x80\x80\x01"s)) << "a length of five bytes";
  EXPECT_FALSE(
      parse_publish("\x34\x03\x00\x09"
                    "a"s))
      << "a topic that ends outside";
}

}  // namespace
}  // namespace fastmqttd
