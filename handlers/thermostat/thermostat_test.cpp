#include "handlers/thermostat/thermostat.cpp"

#include <gtest/gtest.h>

#include "fastmqtt/testing.hpp"

namespace {

using fastmqtt::testing::HandlerTester;

TEST(Thermostat, WarnsBelowTheLimit) {
  HandlerTester tester({{"limit", "20"}});
  EXPECT_EQ(tester.deliver("home/hall/temperature", "20.5"), Result::ok);
  EXPECT_TRUE(tester.logs.empty());
  EXPECT_EQ(tester.deliver("home/hall/temperature", "19.5"), Result::ok);
  EXPECT_EQ(tester.logs.back(), "too cold: 19.5");
}

TEST(Thermostat, RejectsWhatIsNoNumber) {
  HandlerTester tester;
  EXPECT_EQ(tester.deliver("home/hall/temperature", "warm"), Result::reject);
}

}  // namespace
