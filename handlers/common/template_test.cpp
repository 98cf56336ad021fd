#include "handlers/common/template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace fastmqtt::common {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A message on the stack.
struct Given {
  std::string topic = "site/7/temperature";
  std::string payload = "21.5";
  std::vector<std::pair<std::string, std::string>> user = {};
  std::string content_type = {};

  fastmqtt_message raw() {
    properties.clear();
    if (!content_type.empty())
      properties.push_back({FASTMQTT_CONTENT_TYPE, 0, {}, to_view(content_type)});
    for (const auto& [name, value] : user)
      properties.push_back({FASTMQTT_USER_PROPERTY, 0, to_view(name), to_view(value)});
    fastmqtt_message message{};
    message.size = sizeof message;
    message.topic = to_view(topic);
    message.payload = to_view(payload);
    message.qos = 1;
    message.message_id = 1'700'000'000'000'000'001;
    message.received_ns = 1'700'000'000'123'456'789;  // 2023-11-14T22:13:20.123Z
    message.properties = properties.data();
    message.property_count = properties.size();
    return message;
  }
  std::vector<fastmqtt_property> properties = {};
};

std::string filled(const std::string& text, Given given = {}, Escape escape = plain) {
  const fastmqtt_message raw = given.raw();
  Source source(Message(&raw), "archive");
  const auto found = Template(text).fill(source, escape);
  return found ? *found : "nothing: " + source.missing();
}

std::optional<Value> value(const std::string& text, Given given = {}) {
  const fastmqtt_message raw = given.raw();
  Source source(Message(&raw), "archive");
  return Template(text).value(source);
}

std::string mistake(const std::string& text) {
  try {
    Template{text};
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "none";
}

TEST(Template, FillsFromTheMessage) {
  EXPECT_EQ(filled(""), "");
  EXPECT_EQ(filled("as it is"), "as it is");
  EXPECT_EQ(filled("{topic}"), "site/7/temperature");
  EXPECT_EQ(filled("{topic.1}-{topic.2}-{topic.-1}"), "site-7-temperature");
  EXPECT_EQ(filled("<{payload}>"), "<21.5>");
  EXPECT_EQ(filled("{number}"), "21.5");
  EXPECT_EQ(filled("{qos} {retain} {handler}"), "1 false archive");
  EXPECT_EQ(filled("{message_id}"), "1700000000000000001");
  EXPECT_EQ(filled("{{{topic.2}}}"), "{7}");
  EXPECT_EQ(filled("{property.content_type} {property.unit}",
                   {.user = {{"unit", "C"}}, .content_type = "text/plain"}),
            "text/plain C");
}

TEST(Template, FillsFromJson) {
  const Given json{.payload =
                       R"({"a": {"b": [1, 2.5, "x", null, true]}, "~/": 18446744073709551615})"};
  EXPECT_EQ(filled("{json:/a/b/0} {json:/a/b/1} {json:/a/b/2} {json:/a/b/4}", json),
            "1 2.5 x true");
  EXPECT_EQ(filled("{json:/~0~1}", json), "18446744073709551615");
  EXPECT_EQ(filled("{json:/a}", json), R"({"b":[1,2.5,"x",null,true]})");
  EXPECT_EQ(filled("{json:/a/c}", json), "nothing: the payload has no /a/c");
  EXPECT_EQ(filled("{json:/a/b/3}", json), "nothing: the payload has null at /a/b/3");
  EXPECT_EQ(filled("{json:/a/b/9|none}{json:/a/b/3|-}", json), "none-");
  EXPECT_EQ(filled("{json:/a}", {.payload = "{"}), "nothing: the payload is no JSON");
  EXPECT_EQ(filled("{json:/a|0}", {.payload = "\xff"}), "0");
  EXPECT_EQ(filled("{json:|none}", {.payload = std::string(1'000'000, '[')}), "none");
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_EQ(filled("{json:}", {.payload = deep}), "nothing: the payload is no JSON");
}

TEST(Template, LeavesUnfilledWhatFindsNothing) {
  EXPECT_EQ(filled("{topic.4}"), "nothing: the topic has no level 4");
  EXPECT_EQ(filled("{topic.-4}"), "nothing: the topic has no level -4");
  EXPECT_EQ(filled("{topic.4|}"), "");
  EXPECT_EQ(filled("{number}", {.payload = "warm"}), "nothing: the payload is no number");
  EXPECT_EQ(filled("{property.unit}"), "nothing: the message has no property unit");
  EXPECT_EQ(filled("{topic.2}", {.topic = "a//b"}), "") << "an empty level is one";
}

TEST(Template, TellsWhatWasNotThereFromWhatWillNotDo) {
  Given given{.payload = R"({"a": null})", .user = {{"bytes", "\xff"}}};
  const fastmqtt_message raw = given.raw();
  Source source(Message(&raw), "archive");
  EXPECT_FALSE(source.found_nothing());
  for (const char* text : {"{topic.4}", "{number}", "{json:/b}", "{property.unit}", "{json:/a}"}) {
    EXPECT_EQ(Template(text).fill(source), std::nullopt) << text;
    EXPECT_TRUE(source.found_nothing()) << text;
  }
  EXPECT_EQ(Template("{json:/a}").value(source), Value(nullptr)) << "null is a value here";
  EXPECT_FALSE(source.found_nothing());
  EXPECT_EQ(source.missing(), "");
  EXPECT_EQ(Template("{json:/b}").json(source), std::nullopt);
  EXPECT_TRUE(source.found_nothing());
  EXPECT_EQ(Template("{property.bytes}").json(source), std::nullopt);
  EXPECT_EQ(source.missing(), "it is no UTF-8");
  EXPECT_FALSE(source.found_nothing());
}

TEST(Template, KnowsTheTime) {
  EXPECT_EQ(filled("{utc}"), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(filled("{utc:%F}/{utc:%H}"), "2023-11-14/22");
  EXPECT_EQ(filled("{time.s} {time.ms} {time.ns}"), "1700000000 1700000000123 1700000000123456789");
  ::setenv("TZ", "XYZ-5:30", 1);
  ::tzset();
  EXPECT_EQ(filled("{time}"), "2023-11-15T03:43:20.123+05:30");
  EXPECT_EQ(filled("{time:%F %T}"), "2023-11-15 03:43:20");
  EXPECT_EQ(filled("{utc:%n%t" + std::string(300, '-') + "}").size(), 302u);
}

TEST(Template, KeepsTheTypeOfOneValue) {
  const Given json{.payload = R"({"i": 7, "d": 7.5, "s": "7", "n": null, "t": true})"};
  EXPECT_EQ(value("{json:/i}", json), Value(std::int64_t{7}));
  EXPECT_EQ(value("{json:/d}", json), Value(7.5));
  EXPECT_EQ(value("{json:/s}", json), Value(std::string("7")));
  EXPECT_EQ(value("{json:/n}", json), Value(nullptr));
  EXPECT_EQ(value("{json:/t}", json), Value(true));
  EXPECT_EQ(value("{json:/i} ", json), Value(std::string("7 ")));
  EXPECT_EQ(value("{number}"), Value(21.5));
  EXPECT_EQ(value("{number}", {.payload = "-7"}), Value(std::int64_t{-7}));
  EXPECT_EQ(value("{payload}", {.payload = "7"}), Value(std::string("7")));
  EXPECT_EQ(value("{json:/x}", json), std::nullopt);
  EXPECT_EQ(value("{message_id}"), Value(std::int64_t{1'700'000'000'000'000'001}));
}

TEST(Template, WritesJson) {
  const Given given{.payload = R"( {"i": 7, "s": "a\"b", "n": null, "o": {"x": [1]}})"};
  const auto json = [&](const std::string& text, Given from) -> std::optional<Value> {
    const fastmqtt_message raw = from.raw();
    Source source(Message(&raw), "archive");
    return Template(text).json(source);
  };
  EXPECT_EQ(json("{json:/i}", given), Value("7"));
  EXPECT_EQ(json("{json:/s}", given), Value(R"("a\"b")"));
  EXPECT_EQ(json("{json:/o}", given), Value(R"({"x":[1]})"));
  EXPECT_EQ(json("{json:/n}", given), Value(nullptr));
  EXPECT_EQ(json("{json:/x}", given), std::nullopt);
  EXPECT_EQ(json("{json:/x|none}", given), Value(R"("none")"));
  EXPECT_EQ(json("{payload}", given), Value(given.payload)) << "as it stands there";
  EXPECT_EQ(json("{payload}", {.payload = "null"}), Value(nullptr));
  EXPECT_EQ(json("{payload}", {.payload = "{"}), std::nullopt);
  EXPECT_EQ(json("{topic.2}", given), Value(R"("7")"));
  EXPECT_EQ(json("{qos}", given), Value("1"));
  EXPECT_EQ(json("{retain}", given), Value("false"));
}

TEST(Template, TellsWhatItHolds) {
  const auto holds = [](const std::string& text) { return Template(text).holds(); };
  for (const char* text : {"", "x", "{topic}", "{payload}", "{qos} ", "{utc:%F}", "{property.x}"})
    EXPECT_EQ(holds(text), Template::Holds::text) << text;
  for (const char* text : {"{qos}", "{time.ns}", "{message_id}"})
    EXPECT_EQ(holds(text), Template::Holds::integer) << text;
  EXPECT_EQ(holds("{number|0}"), Template::Holds::number);
  EXPECT_EQ(holds("{retain}"), Template::Holds::boolean);
  EXPECT_EQ(holds("{json:/a}"), Template::Holds::json);
  EXPECT_EQ(holds("{utc}"), Template::Holds::time);
  for (const char* text : {"x{topic}", "{json:/a|}", "{number|0}"})
    EXPECT_TRUE(Template(text).always_fills()) << text;
  for (const char* text : {"{topic.2}", "x{json:/a}", "{number}", "{property.x}"})
    EXPECT_FALSE(Template(text).always_fills()) << text;
}

TEST(Template, EscapesWhatIsFilledInAndNothingElse) {
  const Given hostile{.topic = "a/../\"b\"", .payload = "x & y\n\xff/%"};
  EXPECT_EQ(filled(R"({{"p":"{payload}"}})", hostile, in_json),
            "{\"p\":\"x & y\\n\xef\xbf\xbd/%\"}");
  EXPECT_EQ(filled("http://h/?q={payload}&", hostile, in_url),
            "http://h/?q=x%20%26%20y%0A%FF%2F%25&");
  EXPECT_EQ(filled("/d/{topic}", hostile, in_file_name), "/d/a%2F..%2F\"b\"");
  EXPECT_EQ(filled("/d/{topic.2}/x", hostile, in_file_name), "/d/%2E./x");
}

TEST(Template, FileNamesStayInTheirDirectory) {
  for (const std::string& text :
       std::vector<std::string>{"", ".", "..", "/", "../x", "a/b", std::string("\0", 1), "\n"}) {
    const std::string name = in_file_name(text);
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(name.find('/'), std::string::npos) << name;
    EXPECT_NE(name, ".");
    EXPECT_NE(name, "..");
  }
  EXPECT_EQ(in_file_name(std::string(999, 'x')).size(), 255u);
  EXPECT_NE(in_file_name("%2F"), in_file_name("/"));
}

TEST(Template, NamesMistakes) {
  EXPECT_EQ(mistake("{topic}"), "none");
  EXPECT_THAT(mistake("a {topic"), HasSubstr("at character 3: a '{' without its '}'"));
  EXPECT_THAT(mistake("topic}"), HasSubstr("at character 6: a '}' without its '{'"));
  EXPECT_THAT(mistake("{}"), HasSubstr("'{}' is no placeholder: expected topic"));
  EXPECT_THAT(mistake("{tpoic}"), AllOf(HasSubstr("'{tpoic}' is no placeholder"),
                                        HasSubstr("'{{' for a brace that stands for itself")));
  for (const char* json : {R"({"token": "secret", "text": "{payload}"})", "{a: {payload}}",
                           "{\n  a: 1}", R"({"a": "{json:/a|-}"})"})
    EXPECT_EQ(mistake(json),
              "at character 1: a '{' that begins no placeholder: write '{{' and '}}' for braces "
              "that stand for themselves");
  EXPECT_THAT(mistake("{topic.0}"), HasSubstr("expected the number of a level"));
  EXPECT_THAT(mistake("{topic.x}"), HasSubstr("expected the number of a level"));
  EXPECT_THAT(mistake("{json:a}"), HasSubstr("'a' is no JSON pointer"));
  EXPECT_THAT(mistake("{json:/~2}"), HasSubstr("is no JSON pointer"));
  EXPECT_THAT(mistake("{time:}"), HasSubstr("expected a form of strftime(3)"));
  EXPECT_THAT(mistake(std::string("{time:\0%F}", 10)), HasSubstr("expected a form of strftime(3)"));
  EXPECT_THAT(mistake("{time:%99999999999F}"), HasSubstr("expected a form of strftime(3)"));
  EXPECT_THAT(mistake("{property.}"), HasSubstr("is no placeholder"));
}

}  // namespace
}  // namespace fastmqtt::common
