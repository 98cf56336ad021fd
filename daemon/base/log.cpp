#include "daemon/base/log.hpp"

#include <spdlog/spdlog.h>

namespace fastmqttd::log {
namespace {

// spdlog carries text alone.  Its sinks here are synchronous, so the fields of the line can wait in
// the thread that writes it.
thread_local std::span<const Field> fields_of_this_line;

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: break;
  }
  return spdlog::level::err;
}

}  // namespace

void set_level(Level level) { spdlog::default_logger_raw()->set_level(to_spdlog(level)); }

bool enabled(Level level) { return spdlog::default_logger_raw()->should_log(to_spdlog(level)); }

void write(Level level, std::string_view text, std::span<const Field> fields) {
  fields_of_this_line = fields;
  spdlog::default_logger_raw()->log(to_spdlog(level),
                                    spdlog::string_view_t(text.data(), text.size()));
  fields_of_this_line = {};
}

std::string shown_topic(std::string_view topic) {
  constexpr std::size_t kLongest = 256;
  if (topic.size() <= kLongest) return std::string(topic);
  return fmt::format("{}... ({} bytes)", topic.substr(0, kLongest), topic.size());
}

std::span<const Field> current_fields() { return fields_of_this_line; }

}  // namespace fastmqttd::log
