#include "handlers/thermostat/thermostat.cpp"

#include <gtest/gtest.h>

#include "fastmqtt/testing.hpp"

namespace {

using fastmqtt::testing::HandlerTester;

TEST(Thermostat, WarnsBelowTheLimit) {
  HandlerTester tester({{"limit", "20"}});
  EXPECT_EQ(tester.deliver("home/hall/temperature", "20.5"), fastmqtt::Result::ok);
  EXPECT_TRUE(tester.logs().empty());
  EXPECT_EQ(tester.deliver("home/hall/temperature", "19.5"), fastmqtt::Result::ok);
  EXPECT_EQ(tester.last_log(), "too cold");
}

TEST(Thermostat, RejectsWhatIsNoNumber) {
  HandlerTester tester;
  for (const char* payload : {"warm", "", "20 C", " 20", "nan", "inf"})
    EXPECT_EQ(tester.deliver("home/hall/temperature", payload), fastmqtt::Result::reject);
}

}  // namespace
