// The options of a C++ handler: what it asks for, what it gets, and what is said when it cannot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "fastmqtt/handler.hpp"
#include "fastmqtt/testing.hpp"

namespace {

using namespace std::chrono_literals;
using fastmqtt::Bytes;
using fastmqtt::Host;
using fastmqtt::testing::HandlerTester;
using ::testing::ElementsAre;
using ::testing::Pair;

// What the one handler does with its host when it is made.
std::function<void(Host)> at_start = [](Host) {};

class Asker {
 public:
  explicit Asker(Host host) { at_start(host); }
  fastmqtt::Result on_message(const fastmqtt::Message&) { return fastmqtt::Result::ok; }
};

using Options = std::initializer_list<fastmqtt::testing::Option>;

// What `ask` gives with these options.
template <class Ask>
auto value(Options options, Ask ask) {
  decltype(ask(std::declval<Host>())) result{};
  at_start = [&](Host host) { result = ask(host); };
  const HandlerTester tester(options);
  return result;
}

// What is said when it gives nothing.
template <class Ask>
std::string error(Options options, Ask ask) {
  try {
    value(options, ask);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return "it started";
}

TEST(Options, HaveDefaults) {
  EXPECT_EQ(value({}, [](Host h) { return h.option("x", 5); }), 5);
  EXPECT_EQ(value({}, [](Host h) { return h.option("x", "text"); }), "text");
  EXPECT_EQ(value({}, [](Host h) { return h.option("x", 10s); }), 10s);
  EXPECT_TRUE(value({}, [](Host h) { return h.option("x", true); }));
  EXPECT_THAT(value({}, [](Host h) { return h.list("x"); }), ElementsAre());
  EXPECT_THAT(value({}, [](Host h) { return h.map("x"); }), ElementsAre());
}

TEST(Options, AreWholeNumbersWithinTheirRange) {
  const auto ask = [](Host h) { return h.option("x", 5, -1, 9); };
  EXPECT_EQ(value({{"x", "-1"}}, ask), -1);
  EXPECT_EQ(value({{"x", "9"}}, ask), 9);
  for (const char* bad : {"10", "-2", "", "5x", " 5", "0x5", "5.0", "99999999999999999999"})
    EXPECT_EQ(error({{"x", bad}}, ask), "x: expected a whole number from -1 to 9") << bad;
  EXPECT_EQ(error({{"x", "-1"}}, [](Host h) { return h.option<std::uint8_t>("x", 1); }),
            "x: expected a whole number from 0 to 255");
  EXPECT_EQ(error({{"x", "0"}}, [](Host h) { return h.option("x", 5u, 1); }),
            "x: expected a whole number from 1 to 4294967295");
}

TEST(Options, AreNumbers) {
  EXPECT_EQ(value({{"x", "-1.5e3"}}, [](Host h) { return h.option("x", 0.0); }), -1500);
  for (const char* bad : {"nan", "inf", "one", "1,5", ""})
    EXPECT_EQ(error({{"x", bad}}, [](Host h) { return h.option("x", 0.0); }),
              "x: expected a number");
  EXPECT_EQ(error({{"x", "2"}}, [](Host h) { return h.option("x", 0.5, 0.0, 1.5); }),
            "x: expected a number from 0 to 1.5");
  EXPECT_EQ(error({{"x", "2"}}, [](Host h) { return h.option("x", 3.5f, 2.5f); }),
            "x: expected a number, at least 2.5");
}

TEST(Options, AreTrueOrFalse) {
  EXPECT_FALSE(value({{"x", "false"}}, [](Host h) { return h.option("x", true); }));
  for (const char* bad : {"yes", "1", "TRUE", ""})
    EXPECT_EQ(error({{"x", bad}}, [](Host h) { return h.option("x", true); }),
              "x: expected true or false");
}

TEST(Options, AreDurationsAsInTheRestOfTheConfiguration) {
  const auto ask = [](Host h) { return h.option("x", 1000ms, 1ms, 1h); };
  EXPECT_EQ(value({{"x", "250ms"}}, ask), 250ms);
  EXPECT_EQ(value({{"x", "10s"}}, ask), 10s);
  EXPECT_EQ(value({{"x", "5m"}}, ask), 5min);
  EXPECT_EQ(value({{"x", "1h"}}, ask), 1h);
  EXPECT_EQ(value({{"x", "60"}}, ask), 60s);
  EXPECT_EQ(value({{"x", "2d"}}, [](Host h) { return h.option("x", 1h); }), 48h);
  EXPECT_EQ(error({{"x", "2d"}}, [](Host h) { return h.option("x", 1h, 1h, 24h); }),
            "x: expected a duration in whole hours such as 1h, 7d from 1h to 1d");
  for (const char* bad : {"0", "61m", "-1s", "1.5s", "10 s", "1h30m", "99999999999999999999", "s"})
    EXPECT_EQ(error({{"x", bad}}, ask),
              "x: expected a duration such as 250ms, 10s, 5m, 1h, 7d from 1ms to 1h")
        << bad;
  // Never rounded to what was not said.
  EXPECT_EQ(error({{"x", "1500ms"}}, [](Host h) { return h.option("x", 5s); }),
            "x: expected a duration in whole seconds such as 10s, 5m, 1h, 7d");
  EXPECT_EQ(error({{"x", "90m"}}, [](Host h) { return h.option("x", 5h); }),
            "x: expected a duration in whole hours such as 1h, 7d");
  EXPECT_EQ(value({{"x", "3000ms"}}, [](Host h) { return h.option("x", 5s); }), 3s);
  EXPECT_EQ(error({{"x", "9000000000h"}}, [](Host h) { return h.option("x", 5ns); }),
            "x: expected a duration such as 250ms, 10s, 5m, 1h, 7d")
      << "more nanoseconds than there are";
  EXPECT_EQ(error({{"x", "2m"}}, [](Host h) { return h.option("x", 5s, 0s, 60s); }),
            "x: expected a duration in whole seconds such as 10s, 5m, 1h, 7d, at most 1m");
}

TEST(Options, AreSizes) {
  const auto ask = [](Host h) { return h.option("x", Bytes{1}, Bytes{1}, Bytes{1 << 20}).count; };
  EXPECT_EQ(value({{"x", "1MiB"}}, ask), 1u << 20);
  EXPECT_EQ(value({{"x", "2KiB"}}, ask), 2048u);
  EXPECT_EQ(value({{"x", "100"}}, ask), 100u);
  for (const char* bad : {"0", "2MiB", "1MB", "-1", "1 KiB", "KiB"})
    EXPECT_EQ(error({{"x", bad}}, ask),
              "x: expected a size such as 64MiB, 512KiB or a number of bytes from 1 to 1MiB")
        << bad;
}

TEST(Options, AreOneOfSeveralWords) {
  enum class Format { json, text };
  const auto ask = [](Host h) {
    return h.option("x", Format::json, {{"json", Format::json}, {"text", Format::text}});
  };
  EXPECT_EQ(value({}, ask), Format::json);
  EXPECT_EQ(value({{"x", "text"}}, ask), Format::text);
  EXPECT_EQ(error({{"x", "xml"}}, ask), "x: expected one of json, text");
}

TEST(Options, MayBeRequired) {
  EXPECT_EQ(value({{"x", "a"}}, [](Host h) { return h.required<std::string>("x"); }), "a");
  EXPECT_EQ(value({{"a.b", "3"}}, [](Host h) { return h.required<int>("a.b", 1, 5); }), 3);
  EXPECT_EQ(error({}, [](Host h) { return h.required<std::string>("x"); }), "x: expected text");
  EXPECT_EQ(error({}, [](Host h) { return h.required<int>("a.b", 1, 5); }),
            "a.b: expected a whole number");
  EXPECT_EQ(error({{"x", "9"}}, [](Host h) { return h.required<int>("x", 1, 5); }),
            "x: expected a whole number from 1 to 5");
}

TEST(Options, AreLists) {
  EXPECT_THAT(value({{"x.0", "/bin/echo"}, {"x.1", "hi"}}, [](Host h) { return h.list("x"); }),
              ElementsAre("/bin/echo", "hi"));
  EXPECT_THAT(value({{"x", "one"}}, [](Host h) { return h.list("x"); }), ElementsAre("one"));
  EXPECT_EQ(error({{"x.name", "a"}}, [](Host h) { return h.list("x"); }), "x: expected a list");
  EXPECT_EQ(error({{"x.0.deep", "a"}}, [](Host h) { return h.list("x"); }),
            "x.0: expected a single value");
  EXPECT_EQ(error({{"x.0", "a"}}, [](Host h) { return h.option("x", 5); }),
            "x: expected a single value");
}

TEST(Options, AreListsOfMaps) {
  EXPECT_THAT(value({{"rules.0.match", "a"}, {"rules.0.above", "3"}, {"rules.1.match", "b"}},
                    [](Host h) {
                      std::vector<std::string> found;
                      for (const std::string& i : h.members("rules"))
                        found.push_back(h.required<std::string>("rules." + i + ".match"));
                      return found;
                    }),
              ElementsAre("a", "b"));
}

TEST(Options, AreMaps) {
  EXPECT_THAT(value({{"x.Accept", "text/plain"}, {"x.b", "2"}}, [](Host h) { return h.map("x"); }),
              ElementsAre(Pair("Accept", "text/plain"), Pair("b", "2")));
  EXPECT_THAT(value({{"a", "1"}, {"b", "2"}}, [](Host h) { return h.map(""); }),
              ElementsAre(Pair("a", "1"), Pair("b", "2")));
  EXPECT_EQ(error({{"x", "a"}}, [](Host h) { return h.map("x"); }),
            "x: expected names, each with a value");
}

}  // namespace

FASTMQTT_HANDLER(Asker, "asker", "1.0", 0);
