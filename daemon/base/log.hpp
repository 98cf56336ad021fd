// One line to the operator, with the fields that journald keeps beside it.
//
// Any thread may log.  The text is whole in itself (a terminal shows nothing else); the fields are
// for `journalctl FIELD=value`.  Sinks are chosen once at start, see operate/log_sinks.hpp; before
// that, lines go to standard error.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace fastmqttd::log {

enum class Level { debug, info, warning, error };

// A journal field beside MESSAGE and PRIORITY; names are those of systemd.journal-fields(7) form.
struct Field {
  std::string_view name;
  std::string_view value;
};

void set_level(Level level);
Level level();
bool enabled(Level level);

// Lines with this field are about a handler, and go by its level where it has one of its own.
inline constexpr std::string_view kHandlerField = "MQTT_HANDLER";
// From now on these and no others have one.
void set_handler_levels(std::map<std::string, Level> levels);
void set_handler_level(const std::string& handler, Level level);
// The least level whose lines about that handler are written.
Level level_of(std::string_view handler);
// Another number after each change of a level.
std::uint64_t levels_changed();

// Fields are borrowed for the call.
void write(Level level, std::string_view text, std::span<const Field> fields);
inline void write(Level level, std::string_view text, std::initializer_list<Field> fields = {}) {
  write(level, text, std::span(fields.begin(), fields.size()));
}

// A topic as it stands in the text of a line: cut when it is very long (its field holds it whole).
std::string shown_topic(std::string_view topic);

// Inside a sink: the fields of the line being written by this thread.
std::span<const Field> current_fields();

template <class... Args>
void debug(fmt::format_string<Args...> form, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(form, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> form, Args&&... args) {
  write(Level::info, fmt::format(form, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> form, Args&&... args) {
  write(Level::warning, fmt::format(form, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> form, Args&&... args) {
  write(Level::error, fmt::format(form, std::forward<Args>(args)...));
}

}  // namespace fastmqttd::log
