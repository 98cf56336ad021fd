#include "daemon/base/log_limit.hpp"

#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

using namespace std::chrono_literals;

TEST(LogLimit, AdmitsAFewInEachIntervalAndCountsTheOthers) {
  LogLimit limit;
  const TimePoint start = TimePoint() + 1h;
  int admitted = 0;
  for (int i = 0; i < 100; ++i) admitted += limit.admits(start + i * 1ms) ? 1 : 0;
  EXPECT_EQ(admitted, LogLimit::kLines);
  EXPECT_TRUE(limit.has_left_out());
  EXPECT_EQ(limit.take_left_out(start + 1s), 0u) << "the interval is not over";
  EXPECT_EQ(limit.take_left_out(start + LogLimit::kInterval), 95u);
  EXPECT_EQ(limit.take_left_out(start + LogLimit::kInterval), 0u);
  EXPECT_FALSE(limit.has_left_out());
  EXPECT_TRUE(limit.admits(start + LogLimit::kInterval));
}

}  // namespace
}  // namespace fastmqttd
