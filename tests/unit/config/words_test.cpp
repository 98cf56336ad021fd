#include "daemon/config/words.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace fastmqttd {
namespace {

TEST(Printable, KeepsALineALine) {
  EXPECT_EQ(printable("caf\u00e9 ok"), "caf\u00e9 ok");
  EXPECT_EQ(printable(std::string_view("a\nb\0\x1b[1m\x7f", 9)), "a\\x0ab\\x00\\x1b[1m\\x7f");
}

TEST(Printable, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(printable(std::string(60, 'x')), std::string(60, 'x'));
  EXPECT_EQ(printable(std::string(61, 'x')), std::string(60, 'x') + "...");
  EXPECT_EQ(printable(std::string(59, 'x') + "\u00e9y"), std::string(59, 'x') + "...");
}

TEST(Lists, ReadAsText) {
  const std::vector<std::string> none, one{"a"}, three{"a", "b", "c"};
  EXPECT_EQ(one_of(none), "");
  EXPECT_EQ(one_of(one), "a");
  EXPECT_EQ(one_of(three), "a, b or c");
  EXPECT_EQ(comma_list(three), "a, b, c");
}

TEST(JoinPath, BeginsWithoutADot) {
  EXPECT_EQ(join_path("", "mqtt"), "mqtt");
  EXPECT_EQ(join_path("mqtt", "po\nrt"), "mqtt.po\\x0art");
}

}  // namespace
}  // namespace fastmqttd
