#include "daemon/operate/dead_letter_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace fastmqttd {
namespace {

using ::testing::MatchesRegex;

using Json = nlohmann::ordered_json;

DeadLetter letter(std::string_view payload, const std::vector<fastmqtt_property>& properties = {}) {
  constexpr std::int64_t kReceived = 1'700'000'000'005'000'000;
  return {.id = 7,
          .handler = "archive",
          .reason = "rejected",
          .attempts = 3,
          .died_ns = kReceived + 1'500'000'000,
          .payload_bytes = payload.size(),
          .message = std::make_shared<Message>(Message::Parts{.topic = "a/b",
                                                              .payload = payload,
                                                              .qos = 1,
                                                              .retain = true,
                                                              .received_ns = kReceived,
                                                              .properties = properties})};
}

fastmqtt_view view(std::string_view text) { return {text.data(), text.size()}; }

TEST(DeadLetterJson, HasWhatAListShows) {
  Json json = to_json(letter("hello"));
  EXPECT_THAT(json.at("received").get<std::string>(),
              MatchesRegex("2023-11-1[45]T[0-9][0-9]:[0-9][0-9]:20\\.005[+-][0-9][0-9]:[0-9]+"));
  EXPECT_THAT(json.at("died").get<std::string>(), MatchesRegex(".*:21\\.505[+-].*"));
  json.erase("received");
  json.erase("died");
  EXPECT_EQ(json.dump(), R"({"id":7,"handler":"archive","topic":"a/b","qos":1,"retain":true,)"
                         R"("reason":"rejected","attempts":3,"payload_bytes":5})");
}

TEST(DeadLetterJson, HasTextAsItIsAndOtherBytesInBase64) {
  const auto content = [](std::string_view payload) {
    const Json json = to_json_with_content(letter(payload));
    return json.at("encoding").get<std::string>() + " " + json.at("payload").get<std::string>();
  };
  EXPECT_EQ(content(""), "text ");
  EXPECT_EQ(content("gr\u00fcn \x1b[0m"), "text gr\u00fcn \x1b[0m");
  EXPECT_EQ(content(std::string_view("\0", 1)), std::string("text \0", 6));
  EXPECT_EQ(content("\xff"), "base64 /w==");
  EXPECT_EQ(content("\xff\xfe"), "base64 //4=");
  EXPECT_EQ(content("\xff\xfe\xfd"), "base64 //79");
  EXPECT_EQ(content("\xed\xa0\x80"), "base64 7aCA");  // a surrogate
}

TEST(DeadLetterJson, HasTheProperties) {
  const Json json =
      to_json_with_content(letter("", {{FASTMQTT_PAYLOAD_FORMAT_INDICATOR, 1, {}, {}},
                                       {FASTMQTT_MESSAGE_EXPIRY_INTERVAL, 60, {}, {}},
                                       {FASTMQTT_CONTENT_TYPE, 0, {}, view("text/plain")},
                                       {FASTMQTT_RESPONSE_TOPIC, 0, {}, view("answers")},
                                       {FASTMQTT_CORRELATION_DATA, 0, {}, view("\xff")},
                                       {FASTMQTT_USER_PROPERTY, 0, view("a"), view("1")},
                                       {FASTMQTT_USER_PROPERTY, 0, view("a"), view("2")}}));
  EXPECT_EQ(json.at("properties").dump(),
            R"({"payload_format_indicator":1,"message_expiry_interval":60,)"
            R"("content_type":"text/plain","response_topic":"answers",)"
            R"("correlation_data":"/w==","correlation_data_encoding":"base64",)"
            R"("user_properties":[{"name":"a","value":"1"},{"name":"a","value":"2"}]})");
}

}  // namespace
}  // namespace fastmqttd
