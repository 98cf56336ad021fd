#include "daemon/base/log.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>

#include "daemon/base/guarded.hpp"

namespace fastmqttd::log {
namespace {

// spdlog carries text alone.  Its sinks here are synchronous, so the fields of the line can wait in
// the thread that writes it.
thread_local std::span<const Field> fields_of_this_line;

// spdlog's own level is always the lowest: ours are looked at before.
std::atomic<Level> general_level{Level::info};
std::atomic<bool> any_handler_levels{false};
std::atomic<std::uint64_t> changes{0};
Guarded<std::map<std::string, Level, std::less<>>> handler_levels;

Level level_for(std::span<const Field> fields) {
  if (!any_handler_levels) return general_level;
  const auto handler = std::ranges::find(fields, kHandlerField, &Field::name);
  return handler == fields.end() ? general_level.load() : level_of(handler->value);
}

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

void set_level(Level level) {
  spdlog::default_logger_raw()->set_level(spdlog::level::debug);
  general_level = level;
  ++changes;
}

Level level() { return general_level; }

bool enabled(Level level) { return level >= general_level; }

void set_handler_levels(std::map<std::string, Level> levels) {
  auto all = handler_levels.lock();
  all->clear();
  all->insert(levels.begin(), levels.end());
  any_handler_levels = !levels.empty();
  ++changes;
}

void set_handler_level(const std::string& handler, Level level) {
  (*handler_levels.lock())[handler] = level;
  any_handler_levels = true;
  ++changes;
}

Level level_of(std::string_view handler) {
  if (!any_handler_levels) return general_level;
  const auto all = handler_levels.lock();
  const auto own = all->find(handler);
  return own == all->end() ? general_level.load() : own->second;
}

std::uint64_t levels_changed() { return changes; }

void write(Level level, std::string_view text, std::span<const Field> fields) {
  if (level < level_for(fields)) return;
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
