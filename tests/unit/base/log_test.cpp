#include "daemon/base/log.hpp"

#include <gtest/gtest.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <map>
#include <mutex>

namespace fastmqttd {
namespace {

struct RecordingSink : spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(const spdlog::details::log_msg& line) override {
    texts.emplace_back(line.payload.data(), line.payload.size());
    fields.clear();
    for (const log::Field& field : log::current_fields())
      fields[std::string(field.name)] = std::string(field.value);
  }
  void flush_() override {}

  std::vector<std::string> texts;
  std::map<std::string, std::string> fields;
};

class LogTest : public testing::Test {
 protected:
  LogTest() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink_));
  }
  ~LogTest() override { spdlog::set_default_logger(before_); }

  std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
  std::shared_ptr<spdlog::logger> before_;
};

TEST_F(LogTest, CarriesTheFieldsOfItsLineOnly) {
  log::write(log::Level::info, "first", {{"MQTT_TOPIC", "a/b"}, {"MQTT_HANDLER", "h"}});
  EXPECT_EQ(sink_->fields,
            (std::map<std::string, std::string>{{"MQTT_TOPIC", "a/b"}, {"MQTT_HANDLER", "h"}}));
  log::write(log::Level::info, "second");
  EXPECT_TRUE(sink_->fields.empty());
}

TEST_F(LogTest, DropsLinesBelowTheLevel) {
  log::set_level(log::Level::warning);
  log::info("{} not seen", 1);
  log::warning("{} seen", 2);
  EXPECT_EQ(sink_->texts, std::vector<std::string>{"2 seen"});
  EXPECT_FALSE(log::enabled(log::Level::info));
}

}  // namespace
}  // namespace fastmqttd
