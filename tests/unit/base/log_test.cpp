#include "daemon/base/log.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/support/recorded_log.hpp"

namespace fastmqttd {
namespace {

class LogTest : public ::testing::Test {
 protected:
  testing::RecordedLog log_;
};

TEST_F(LogTest, CarriesTheFieldsOfItsLineOnly) {
  log::write(log::Level::info, "first", {{"MQTT_TOPIC", "a/b"}, {"MQTT_HANDLER", "h"}});
  EXPECT_EQ(log_.fields(),
            (std::map<std::string, std::string>{{"MQTT_TOPIC", "a/b"}, {"MQTT_HANDLER", "h"}}));
  log::write(log::Level::info, "second");
  EXPECT_TRUE(log_.fields().empty());
}

TEST_F(LogTest, DropsLinesBelowTheLevel) {
  log::set_level(log::Level::warning);
  log::info("{} not seen", 1);
  log::warning("{} seen", 2);
  EXPECT_EQ(log_.texts(), std::vector<std::string>{"2 seen"});
  EXPECT_FALSE(log::enabled(log::Level::info));
}

}  // namespace
}  // namespace fastmqttd
