#include "handlers/webhook/body.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace fastmqtt::webhook {
namespace {

using ::testing::HasSubstr;

std::string filled(Format format, const std::string& text, const std::string& payload,
                   const std::string& topic = "a/b") {
  fastmqtt_message raw{};
  raw.size = sizeof raw;
  raw.topic = to_view(topic);
  raw.payload = to_view(payload);
  common::Source source{Message(&raw)};
  std::string problem;
  const auto body = Body(text, format).fill(source, problem);
  return body ? *body : "nothing: " + problem;
}

std::string mistake(Format format, const std::string& text) {
  try {
    Body(text, format);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "none";
}

TEST(WebhookBody, RawIsAsItIs) {
  const std::string payload("\"\\\0\n{", 5);
  EXPECT_EQ(filled(Format::raw, "{payload}", payload), payload);
  EXPECT_EQ(filled(Format::raw, "{{\"{payload}\\{topic}", "\""), "{\"\"\\a/b");
}

TEST(WebhookBody, JsonIsEscapedInQuotesAndCheckedElsewhere) {
  const std::string text = R"({{"text": "{topic}: {payload}", "n": {number|null}}})";
  EXPECT_EQ(filled(Format::json, text, "7.5"), R"({"text": "a/b: 7.5", "n": 7.5})");
  EXPECT_EQ(filled(Format::json, text, "say \"hi\"\\\n\x01"),
            "{\"text\": \"a/b: say \\\"hi\\\"\\\\\\n\\u0001\", \"n\": null}");
  EXPECT_EQ(filled(Format::json, "\"{payload}\"", std::string("\0\xff", 2)),
            "\"\\u0000\xef\xbf\xbd\"");
  EXPECT_EQ(filled(Format::json, "{payload}", R"({"a": [1]})"), R"({"a": [1]})");
  EXPECT_EQ(filled(Format::json, "[{json:/o}, {json:/s}, {json:/z}]",
                   R"({"o": {"x": "\""}, "s": "true", "z": null})"),
            R"([{"x":"\""}, true, null])");
}

TEST(WebhookBody, JsonTakesNothingThatIsNone) {
  for (const char* payload : {"", "warm", "1, \"admin\": true", "1}, {\"x\": 1", "{", "NaN"})
    EXPECT_THAT(filled(Format::json, R"({{"v": {payload}}})", payload), HasSubstr("is no JSON"))
        << payload;
  EXPECT_EQ(filled(Format::json, R"({{"v": {json:/v}}})", "{}"), "nothing: the payload has no /v");
  EXPECT_THAT(filled(Format::json, "{payload}", std::string(100'000, '[')),
              HasSubstr("is no JSON"));
}

// Whatever a message holds, the body is JSON with the same members.
TEST(WebhookBody, JsonStaysWhatItIs) {
  const std::string text = R"({{"a": "{payload}", "b": ["{topic}", "x\\"]}})";
  for (int c = 0; c < 256; ++c) {
    for (const std::string& payload :
         {std::string(1, static_cast<char>(c)), "\\" + std::string(1, static_cast<char>(c)),
          std::string(1, static_cast<char>(c)) + "\\\""}) {
      const auto json = nlohmann::json::parse(filled(Format::json, text, payload), nullptr, false);
      ASSERT_TRUE(json.is_object()) << c;
      EXPECT_EQ(json.size(), 2u);
      EXPECT_EQ(json["b"].size(), 2u);
    }
  }
}

TEST(WebhookBody, LineProtocolKnowsNamesAndStrings) {
  const std::string text = R"(m,room={topic} text="{payload}" 7)";
  EXPECT_EQ(filled(Format::line_protocol, text, "two words, \"a=b\" \\", "x y,z=1"),
            R"(m,room=x\ y\,z\=1 text="two words, \"a=b\" \\" 7)");
  EXPECT_EQ(filled(Format::line_protocol, text, "a\nb", "x\ny\r"),
            "m,room=x\\ny\\r text=\"a\nb\" 7");
  EXPECT_EQ(filled(Format::line_protocol, "m value={number}", "21.50"), "m value=21.5");
  EXPECT_EQ(filled(Format::line_protocol, "m value={payload}", "1,evil=2\nx y=1"),
            "m value=1\\,evil\\=2\\nx\\ y\\=1");
  EXPECT_THAT(filled(Format::line_protocol, text, "", "x\\"), HasSubstr("a backslash at an end"));
}

TEST(WebhookBody, FormsArePercentEncoded) {
  EXPECT_EQ(filled(Format::form, "a={payload}&b=\"{topic}\"", "x&y=z +"),
            "a=x%26y%3Dz%20%2B&b=\"a%2Fb\"");
}

TEST(WebhookBody, NamesMistakes) {
  EXPECT_EQ(mistake(Format::raw, "\""), "none");
  EXPECT_THAT(mistake(Format::raw, "{tpoic}"), HasSubstr("at character 1: '{tpoic}'"));
  EXPECT_THAT(mistake(Format::json, "{{\"a\": {payload}"), HasSubstr("is no JSON"));
  EXPECT_THAT(mistake(Format::json, "{{\"a\": -{payload}}}"), HasSubstr("is no JSON"));
  EXPECT_THAT(mistake(Format::json, "{{\"a\": 1{payload}}}"), HasSubstr("is no JSON"));
  EXPECT_THAT(mistake(Format::json, "{{{payload}: 1}}"), HasSubstr("is no JSON"));
  EXPECT_THAT(mistake(Format::json, R"("\{payload}")"), HasSubstr("a backslash before"));
  EXPECT_THAT(mistake(Format::json, "\"{payload}"), HasSubstr("without its end"));
  EXPECT_THAT(mistake(Format::line_protocol, "m,t=\\{topic} v=1"), HasSubstr("a backslash before"));
  EXPECT_THAT(mistake(Format::line_protocol, "m v=\"{payload}"), HasSubstr("without its end"));
}

TEST(WebhookBody, KnowsItsPieces) {
  const auto pieces = pieces_of("a{{b}}{topic}{payload|x}c");
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(pieces[0].text, "a{b}");
  EXPECT_EQ(pieces[1].text, "{topic}");
  EXPECT_EQ(pieces[2].text, "{payload|x}");
  EXPECT_TRUE(pieces[2].is_placeholder);
  EXPECT_EQ(sample_of(pieces, "7"), "a{b}77c");
}

}  // namespace
}  // namespace fastmqtt::webhook
