// Takes the place of the process-wide log while it lives, and keeps what is written.
#pragma once

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "daemon/base/log.hpp"

namespace fastmqttd::testing {

class RecordedLog {
 public:
  RecordedLog() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink_));
  }
  ~RecordedLog() { spdlog::set_default_logger(before_); }
  RecordedLog(const RecordedLog&) = delete;
  RecordedLog& operator=(const RecordedLog&) = delete;

  const std::vector<std::string>& texts() const { return sink_->texts; }
  // Of the latest line.
  const std::map<std::string, std::string>& fields() const { return sink_->fields; }

 private:
  struct Sink : spdlog::sinks::base_sink<std::mutex> {
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

  const std::shared_ptr<Sink> sink_ = std::make_shared<Sink>();
  const std::shared_ptr<spdlog::logger> before_;
};

}  // namespace fastmqttd::testing
