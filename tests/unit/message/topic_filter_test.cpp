#include "daemon/message/topic_filter.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace fastmqttd {
namespace {

bool match(const char* filter, const char* topic) { return TopicFilter(filter).matches(topic); }

// The examples of MQTT 5.0 sections 4.7.1.2, 4.7.1.3 and 4.7.2.
TEST(TopicFilter, MatchesAsTheStandardSays) {
  EXPECT_TRUE(match("sport/tennis/player1/#", "sport/tennis/player1"));
  EXPECT_TRUE(match("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
  EXPECT_TRUE(match("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
  EXPECT_TRUE(match("sport/#", "sport"));
  EXPECT_TRUE(match("#", "a"));
  EXPECT_TRUE(match("sport/tennis/+", "sport/tennis/player1"));
  EXPECT_FALSE(match("sport/tennis/+", "sport/tennis/player1/ranking"));
  EXPECT_FALSE(match("sport/+", "sport"));
  EXPECT_TRUE(match("sport/+", "sport/"));
  EXPECT_TRUE(match("+/+", "/finance"));
  EXPECT_TRUE(match("/+", "/finance"));
  EXPECT_FALSE(match("+", "/finance"));
  EXPECT_FALSE(match("#", "$SYS/broker"));
  EXPECT_FALSE(match("+/monitor/Clients", "$SYS/monitor/Clients"));
  EXPECT_TRUE(match("$SYS/#", "$SYS/broker"));
  EXPECT_TRUE(match("$SYS/monitor/+", "$SYS/monitor/Clients"));
}

TEST(TopicFilter, ComparesLevelsExactly) {
  EXPECT_TRUE(match("a/b", "a/b"));
  EXPECT_FALSE(match("a/b", "a/B"));
  EXPECT_FALSE(match("a/b", "a/b/"));
  EXPECT_FALSE(match("a", "ab"));
  EXPECT_FALSE(match("ab", "a"));
  EXPECT_TRUE(match("a//b", "a//b"));
  EXPECT_TRUE(match("a/+/b", "a//b"));
  EXPECT_TRUE(match("+/#", "a"));
  EXPECT_FALSE(match("a/+/#", "a"));
  EXPECT_FALSE(match("a", ""));
}

TEST(TopicFilter, SharedSubscriptionsMatchTheirFilter) {
  const TopicFilter filter("$share/group/site/+/t");
  EXPECT_TRUE(filter.shared());
  EXPECT_EQ(filter.pattern(), "site/+/t");
  EXPECT_TRUE(filter.matches("site/1/t"));
  EXPECT_FALSE(filter.matches("$share/group/site/1/t"));
  EXPECT_FALSE(TopicFilter("a/b").shared());
}

TEST(TopicFilter, RefusesWhatIsNoFilter) {
  for (const char* text :
       {"", "a#", "a/#/b", "#/", "a+", "+a/b", "sport/tennis#", "sport+", "$share/", "$share/g",
        "$share/g/", "$share//a", "$share/+/a", "$share/g/a#", "\xff", "a/\xc3", "\xed\xa0\x80",
        "\xc0\x80", "\xf5\x80\x80\x80"}) {
    EXPECT_NE(topic_filter_error(text), "") << text;
    EXPECT_THROW(TopicFilter{text}, std::invalid_argument) << text;
  }
  EXPECT_NE(topic_filter_error(std::string_view("a\0b", 3)), "");
  EXPECT_NE(topic_filter_error(std::string(65536, 'a')), "");
}

TEST(TopicFilter, AcceptsWhatIsOne) {
  for (const char* text : {"#", "+", "/", "//", "+/#", "a/+/b/#", "$SYS/#", "$share/g/#", "$shared",
                           "grün/über", "\xf0\x9f\x8c\xa1", " "})
    EXPECT_EQ(topic_filter_error(text), "") << text;
  EXPECT_EQ(topic_filter_error(std::string(65535, 'a')), "");
}

TEST(TopicName, HasNoWildcards) {
  EXPECT_EQ(topic_name_error("a/b"), "");
  EXPECT_EQ(topic_name_error("$SYS/x"), "");
  for (const char* text : {"", "a/+", "#", "a+b", "\xff"}) EXPECT_NE(topic_name_error(text), "");
}

TEST(TopicFilter, KnowsWhatItCovers) {
  const auto covers = [](const char* a, const char* b) {
    return TopicFilter(a).covers(TopicFilter(b));
  };
  EXPECT_TRUE(covers("a/#", "a/b"));
  EXPECT_TRUE(covers("a/#", "a"));
  EXPECT_TRUE(covers("a/#", "a/+/c"));
  EXPECT_TRUE(covers("a/#", "a/b/#"));
  EXPECT_TRUE(covers("a/+", "a/b"));
  EXPECT_TRUE(covers("a/b", "a/b"));
  EXPECT_TRUE(covers("#", "+/b"));
  EXPECT_FALSE(covers("a/+", "a/#"));
  EXPECT_FALSE(covers("a/b", "a/+"));
  EXPECT_FALSE(covers("+/b", "a/+"));
  EXPECT_FALSE(covers("#", "$SYS/#"));
  EXPECT_FALSE(covers("+/x", "$SYS/x"));
}

TEST(TopicLevels, SplitsAtEverySlash) {
  TopicLevels levels("a//b/");
  std::vector<std::string> seen;
  while (!levels.done()) seen.emplace_back(levels.next());
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "", "b", ""}));
}

}  // namespace
}  // namespace fastmqttd
