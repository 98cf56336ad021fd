#include "handlers/log/log.cpp"

#include <gtest/gtest.h>

#include "fastmqtt/testing.hpp"

namespace {

using fastmqtt::Result;
using fastmqtt::testing::HandlerTester;

TEST(LogHandler, WritesText) {
  HandlerTester tester;
  EXPECT_EQ(tester.deliver("home/hall/temperature", "17.5 \xc2\xb0\x43"), Result::ok);
  EXPECT_EQ(tester.last_log(), "17.5 \xc2\xb0\x43");
  tester.deliver({.topic = "a", .payload = "x", .retain = true});
  EXPECT_EQ(tester.last_log(), "(retained) x");
  tester.deliver("a", "");
  EXPECT_EQ(tester.last_log(), "");
}

TEST(LogHandler, WritesAnythingElseInHex) {
  HandlerTester tester;
  for (const auto& [payload, line] : std::vector<std::pair<std::string, std::string>>{
           {std::string("\0\xff", 2), "0x00ff"},
           {"line\nbreak", "0x6c696e650a627265616b"},
           {"\x1b[31m", "0x1b5b33316d"},  // would colour the operator's terminal
           {"\xc2\x9b", "0xc29b"},        // the same as a C1 control character
           {"\xe2\x80\xae"
            "x",
            "0xe280ae78"},                // right-to-left override
           {"\xed\xa0\x80", "0xeda080"},  // a surrogate
           {"\xe2\x82", "0xe282"}}) {     // cut short
    tester.deliver("a", payload);
    EXPECT_EQ(tester.last_log(), line);
  }
}

TEST(LogHandler, CutsLongPayloads) {
  HandlerTester tester({{"max_payload", "4"}});
  tester.deliver("a", "123456");
  EXPECT_EQ(tester.last_log(), "1234... (6 bytes)");
  tester.deliver("a", "1234");
  EXPECT_EQ(tester.last_log(), "1234");
  tester.deliver("a", "abc\xc2\xb0");  // never within a character
  EXPECT_EQ(tester.last_log(), "abc... (5 bytes)");
  tester.deliver("a", std::string("\0\0\0\0\0", 5));
  EXPECT_EQ(tester.last_log(), "0x00000000... (5 bytes)");
}

TEST(LogHandler, RefusesABadLimit) {
  EXPECT_THROW(
      try {
        HandlerTester({{"max_payload", "many"}});
      } catch (const std::exception& e) {
        EXPECT_STREQ(e.what(), "max_payload: expected a whole number from 0 to 65536");
        throw;
      },
      std::runtime_error);
}

TEST(LogHandler, AddsFieldsAndTakesALevel) {
  HandlerTester tester({{"level", "warning"},
                        {"fields.SENSOR", "{topic.2}"},
                        {"fields.VALUE", "{json:/value}"},
                        {"text", "{topic.2} is at {json:/value}"}});
  EXPECT_EQ(tester.deliver("home/hall", R"({"value": 17.5})"), Result::ok);
  EXPECT_EQ(tester.last_log(), "hall is at 17.5");
  EXPECT_EQ(tester.levels().back(), fastmqtt::Level::warning);
  EXPECT_EQ(tester.last_fields(),
            (std::map<std::string, std::string>{{"SENSOR", "hall"}, {"VALUE", "17.5"}}));
}

TEST(LogHandler, RejectsWhatHasNoSuchField) {
  HandlerTester tester({{"fields.VALUE", "{json:/value}"}});
  EXPECT_EQ(tester.deliver("a", "no JSON"), Result::reject);
  EXPECT_EQ(tester.last_log(), "the payload is no JSON, which fields.VALUE needs");
  EXPECT_EQ(tester.deliver("a", "{}"), Result::reject);
  EXPECT_EQ(tester.last_log(), "the payload has no /value, which fields.VALUE needs");
  HandlerTester with_default({{"fields.VALUE", "{json:/value|none}"}, {"text", "{payload}"}});
  EXPECT_EQ(with_default.deliver("a", "{}"), Result::ok);
  EXPECT_EQ(with_default.last_fields().at("VALUE"), "none");
  HandlerTester lenient({{"fields.VALUE", "{json:/value}"}, {"missing", "skip"}});
  EXPECT_EQ(lenient.deliver("a", "{}"), Result::ok);
  EXPECT_TRUE(lenient.logs().empty());
  EXPECT_EQ(lenient.counts().at("skipped"), 1u);
}

TEST(LogHandler, MakesADifferenceOfWhatIsRetained) {
  for (const auto& [word, live, retained] :
       {std::tuple("all", 1, 1), std::tuple("skip", 1, 0), std::tuple("only", 0, 1)}) {
    HandlerTester tester({{"retained", word}});
    EXPECT_EQ(tester.deliver("a", "x"), Result::ok);
    EXPECT_EQ(static_cast<int>(tester.logs().size()), live) << word;
    tester.deliver({.topic = "a", .payload = "x", .retain = true});
    EXPECT_EQ(static_cast<int>(tester.logs().size()), live + retained) << word;
  }
}

std::string refusal(std::initializer_list<fastmqtt::testing::Option> options) {
  try {
    HandlerTester tester(options);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(LogHandler, RefusesBadOptions) {
  EXPECT_EQ(refusal({{"level", "loud"}}), "level: expected one of debug, info, warning, error");
  EXPECT_EQ(refusal({{"retained", "no"}}), "retained: expected one of all, skip, only");
  for (const char* name : {"lower", "_PID", "MESSAGE", "MQTT_TOPIC", "A-B"})
    EXPECT_EQ(refusal({{std::string("fields.") + name, "x"}})
                  .find("fields: the name '" + std::string(name) + "': expected one of A-Z"),
              0u)
        << name;
  EXPECT_EQ(refusal({{"fields", "SITE"}}), "fields: expected names, each with a value");
  EXPECT_EQ(refusal({{"fields", "5"}}), "fields: expected names, each with a value");
  EXPECT_NE(refusal({{"fields.A", "{nothing}"}}).find("fields.A: "), std::string::npos);
  EXPECT_NE(refusal({{"text", "{json:/a"}}).find("text: "), std::string::npos);
}

}  // namespace
