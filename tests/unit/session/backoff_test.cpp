#include "daemon/session/backoff.hpp"

#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, DoublesUpToTheLongest) {
  Backoff backoff(1s, 5s);
  EXPECT_EQ(backoff.next(0), 1s);
  EXPECT_EQ(backoff.next(0), 2s);
  EXPECT_EQ(backoff.next(0), 4s);
  EXPECT_EQ(backoff.next(0), 5s);
  EXPECT_EQ(backoff.next(0), 5s);
  backoff.reset();
  EXPECT_EQ(backoff.next(0), 1s);
}

TEST(Backoff, TheLongestLeavesTheOthersAsTheyWere) {
  Backoff backoff(1s, 60s);
  EXPECT_EQ(backoff.next(0), 1s);
  EXPECT_EQ(backoff.longest(0), 60s);
  EXPECT_EQ(backoff.longest(0.5), 54s);
  EXPECT_EQ(backoff.next(0), 2s);
}

TEST(Backoff, TakesUpToAFifthOff) {
  Backoff backoff(10s, 10s);
  EXPECT_EQ(backoff.next(0.5), 9s);
  EXPECT_GT(backoff.next(0.999), 8s);
}

}  // namespace
}  // namespace fastmqttd
