#include "daemon/ctl/terminal.hpp"

#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

TEST(Terminal, IsNotControlledByWhatItShows) {
  EXPECT_EQ(shown("plain gr\u00fcn \u20ac"), "plain gr\u00fcn \u20ac");
  EXPECT_EQ(shown("\x1b[31m\r\n\t\x7f"), "\\x1b[31m\\x0d\\x0a\\x09\\x7f");
  EXPECT_EQ(shown("\u009b31m"), "\\xc2\\x9b31m");
  EXPECT_EQ(shown("\u202Ecod.exe\u2066"), "\\xe2\\x80\\xaecod.exe\\xe2\\x81\\xa6");
  EXPECT_EQ(shown("a\xff\xc3"), "a\\xff\\xc3");
  EXPECT_EQ(shown("one\ntwo\r", true), "one\ntwo\\x0d");
}

TEST(Terminal, CutsBetweenCharacters) {
  EXPECT_EQ(shown_short(std::string(80, 'a')), std::string(80, 'a'));
  EXPECT_EQ(shown_short(std::string(79, 'a') + "\u20ac"), std::string(79, 'a') + "...");
}

TEST(Terminal, RoundsSizes) {
  EXPECT_EQ(roughly(1023), "1023 bytes");
  EXPECT_EQ(roughly(1536), "1.5KiB");
  EXPECT_EQ(roughly(123ull << 20), "123MiB");
  EXPECT_EQ(roughly(1ull << 30), "1.0GiB");
  EXPECT_EQ(roughly(1ull << 50), "1024TiB");
}

TEST(Table, StandsInColumns) {
  Table table({{"ID", true}, {"NAME"}, {"STATE"}});
  table.add({"7", "gr\u00fcn", "x"});
  table.add({"123", "b", ""});
  ::testing::internal::CaptureStdout();
  table.print();
  table.add({"1", "abcdef", "y"});
  table.print();
  EXPECT_EQ(::testing::internal::GetCapturedStdout(),
            " ID  NAME  STATE\n"
            "  7  gr\u00fcn  x\n"
            "123  b\n"
            "  1  abcdef  y\n");
}

}  // namespace
}  // namespace fastmqttd
