#include "daemon/message/publication.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace fastmqttd {
namespace {

using ::testing::HasSubstr;

fastmqtt_view view(std::string_view text) { return {text.data(), text.size()}; }

class Publication : public ::testing::Test {
 protected:
  Publication() {
    message_.size = sizeof message_;
    message_.topic = view("a/b");
    message_.payload = view("x");
  }
  std::string error() {
    message_.properties = properties_.data();
    message_.property_count = properties_.size();
    return publication_error(message_);
  }
  std::string error_of(const fastmqtt_property& property) {
    properties_ = {property};
    return error();
  }

  fastmqtt_message message_{};
  std::vector<fastmqtt_property> properties_;
};

TEST_F(Publication, MayHaveEveryPropertyOfAClientsPublish) {
  properties_ = {{FASTMQTT_PAYLOAD_FORMAT_INDICATOR, 1, {}, {}},
                 {FASTMQTT_MESSAGE_EXPIRY_INTERVAL, 0xFFFFFFFF, {}, {}},
                 {FASTMQTT_CONTENT_TYPE, 0, {}, view("text/plain")},
                 {FASTMQTT_RESPONSE_TOPIC, 0, {}, view("r/1")},
                 {FASTMQTT_CORRELATION_DATA, 0, {}, view(std::string_view("\0\xff", 2))},
                 {FASTMQTT_USER_PROPERTY, 0, view("k"), view("v")},
                 {FASTMQTT_USER_PROPERTY, 0, view("k"), view("")}};
  EXPECT_EQ(error(), "");
  message_.payload = {};
  EXPECT_EQ(error(), "") << "an empty payload takes a retained message away";
}

TEST_F(Publication, IsCheckedFieldByField) {
  message_.qos = 3;
  EXPECT_EQ(error(), "QoS is 0, 1 or 2");
  message_.qos = 0;
  message_.topic = view("a/#");
  EXPECT_THAT(error(), HasSubstr("no wildcards"));
  message_.topic = {};
  EXPECT_THAT(error(), HasSubstr("at least one character"));
  message_.topic = {nullptr, 3};
  EXPECT_EQ(error(), "it has a size without data");
  message_.topic = view("a\xff");
  EXPECT_THAT(error(), HasSubstr("UTF-8"));
  message_.topic = view("a");
  message_.payload = {"", 300u << 20};
  EXPECT_EQ(error(), "it is larger than any MQTT packet, 256 MiB");
  message_.payload = {};
  message_.size = offsetof(fastmqtt_message, properties);
  EXPECT_THAT(error(), HasSubstr("set it to sizeof(fastmqtt_message)"));
}

TEST_F(Publication, MayComeFromAnOlderHeaderThatEndsWithWhatPublishHeeds) {
  message_.size = offsetof(fastmqtt_message, id);
  EXPECT_EQ(error(), "");
}

TEST_F(Publication, HasPropertiesThatMqttAllows) {
  EXPECT_THAT(error_of({FASTMQTT_PAYLOAD_FORMAT_INDICATOR, 2, {}, {}}), HasSubstr("0 or 1"));
  EXPECT_THAT(error_of({FASTMQTT_CONTENT_TYPE, 0, {}, view("\xff")}), HasSubstr("UTF-8"));
  EXPECT_THAT(error_of({FASTMQTT_RESPONSE_TOPIC, 0, {}, view("r/+")}), HasSubstr("wildcards"));
  EXPECT_THAT(error_of({FASTMQTT_SUBSCRIPTION_IDENTIFIER, 1, {}, {}}), HasSubstr("MQTT-3.3.4-6"));
  EXPECT_THAT(error_of({FASTMQTT_TOPIC_ALIAS, 1, {}, {}}), HasSubstr("daemon's own"));
  EXPECT_THAT(error_of({0x11, 1, {}, {}}), HasSubstr("no property 17"));
  EXPECT_THAT(error_of({0x80, 1, {}, {}}), HasSubstr("no property 128"));
  EXPECT_THAT(error_of({FASTMQTT_USER_PROPERTY, 0, view(std::string_view("\0", 1)), {}}),
              HasSubstr("null character"));
  EXPECT_THAT(error_of({FASTMQTT_USER_PROPERTY, 0, {nullptr, 1}, {}}),
              HasSubstr("a size without data"));
  const std::string long_text(65536, 'x');
  EXPECT_THAT(error_of({FASTMQTT_CORRELATION_DATA, 0, {}, view(long_text)}), HasSubstr("65535"));
  EXPECT_THAT(error_of({FASTMQTT_USER_PROPERTY, 0, view(long_text), {}}), HasSubstr("65535"));
  properties_ = {{FASTMQTT_CONTENT_TYPE, 0, {}, view("a")}, {FASTMQTT_CONTENT_TYPE, 0, {}, {}}};
  EXPECT_EQ(error(), "property 3 stands there twice");
}

// Against the packet written out by hand: fixed header 2, topic 2+3, packet identifier 2,
// properties 1 + (1+4) + (1+2+1+2+2), payload 4.
TEST_F(Publication, WeighsNoLessThanItsPacket) {
  properties_ = {{FASTMQTT_MESSAGE_EXPIRY_INTERVAL, 60, {}, {}},
                 {FASTMQTT_USER_PROPERTY, 0, view("k"), view("vv")}};
  message_.payload = view("1234");
  ASSERT_EQ(error(), "");
  const std::size_t bytes = packet_bytes(*copy_publication(message_));
  EXPECT_GE(bytes, 2u + 5 + 2 + 1 + 5 + 8 + 4);
  EXPECT_LE(bytes, 2u + 5 + 2 + 1 + 5 + 8 + 4 + 12);
}

}  // namespace
}  // namespace fastmqttd
