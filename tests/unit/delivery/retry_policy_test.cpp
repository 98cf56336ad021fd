#include "daemon/delivery/retry_policy.hpp"

#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

TEST(RetryPolicy, DoublesUpToItsMaximum) {
  const RetryPolicy policy(
      RetryConfig{.attempts = 12, .delay = 1s, .delay_max = 5s, .max_age = {}});
  EXPECT_EQ(policy.pause(1, 0.5), 1s);
  EXPECT_EQ(policy.pause(2, 0.5), 2s);
  EXPECT_EQ(policy.pause(3, 0.5), 4s);
  EXPECT_EQ(policy.pause(4, 0.5), 5s);
  EXPECT_EQ(policy.pause(4'000'000'000u, 0.5), 5s);
}

TEST(RetryPolicy, SpreadsByAFifth) {
  const RetryPolicy policy(
      RetryConfig{.attempts = 12, .delay = 1s, .delay_max = 1s, .max_age = {}});
  EXPECT_EQ(policy.pause(1, 0.0), 800ms);
  EXPECT_NEAR(static_cast<double>(policy.pause(1, 0.999).count()), 1200, 1);
}

TEST(RetryPolicy, GivesUpByAttemptsAndByAge) {
  const RetryPolicy policy(
      RetryConfig{.attempts = 3, .delay = 1s, .delay_max = 1s, .max_age = 60s});
  EXPECT_EQ(policy.give_up(2, 59s), nullptr);
  EXPECT_STREQ(policy.give_up(3, 1s), "retries used up");
  EXPECT_STREQ(policy.give_up(1, 60s), "too old");
  const RetryPolicy patient(
      RetryConfig{.attempts = {}, .delay = 1s, .delay_max = 1s, .max_age = {}});
  EXPECT_EQ(patient.give_up(1'000'000, 10'000h), nullptr);
}

}  // namespace
}  // namespace fastmqttd
