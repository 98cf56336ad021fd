#include "daemon/base/units.hpp"

#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

using namespace std::chrono_literals;

TEST(Duration, ReadsEveryUnit) {
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("10s"), 10s);
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("1h"), 1h);
  EXPECT_EQ(parse_duration("7d"), 7 * 24h);
  EXPECT_EQ(parse_duration("60"), 60s);
  EXPECT_EQ(parse_duration("0"), 0s);
}

TEST(Duration, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "s", "-1s", "1.5s", "10 s", "10x", "1h30m", "99999999999999999999",
                           "9999999999999h", "1S"})
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
}

TEST(Size, ReadsEveryUnit) {
  EXPECT_EQ(parse_size("64MiB"), 64u << 20);
  EXPECT_EQ(parse_size("1GiB"), 1u << 30);
  EXPECT_EQ(parse_size("2KiB"), 2048u);
  EXPECT_EQ(parse_size("100"), 100u);
}

TEST(Size, RefusesWhatIsNoSize) {
  for (const char* text : {"", "MiB", "64MB", "64 MiB", "-1", "99999999999GiB"})
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
}

TEST(Units, FormatParsesBack) {
  for (const auto duration : {0ms, 250ms, 1000ms, 90000ms, 3600000ms, 1500ms})
    EXPECT_EQ(parse_duration(format_duration(duration)), duration) << format_duration(duration);
  for (const std::uint64_t size : {0ull, 100ull, 2048ull, 64ull << 20, 3ull << 30})
    EXPECT_EQ(parse_size(format_size(size)), size) << format_size(size);
  EXPECT_EQ(format_duration(90s), "90s");
  EXPECT_EQ(format_duration(1h), "1h");
  EXPECT_EQ(format_duration(36h), "36h");
  EXPECT_EQ(format_duration(48h), "2d");
  EXPECT_EQ(format_size(64 << 20), "64MiB");
}

TEST(Units, FormatsRoughlyForPeople) {
  EXPECT_EQ(format_roughly(0ms), "0ms");
  EXPECT_EQ(format_roughly(840ms), "840ms");
  EXPECT_EQ(format_roughly(4231ms), "4.2s");
  EXPECT_EQ(format_roughly(70s), "70s");
  EXPECT_EQ(format_roughly(4'199'732ms), "70m");
  EXPECT_EQ(format_roughly(210min), "3.5h");
}

}  // namespace
}  // namespace fastmqttd
