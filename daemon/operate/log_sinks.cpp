#include "daemon/operate/log_sinks.hpp"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "daemon/base/log.hpp"

namespace fastmqttd {
namespace {

// syslog(3) priorities.
int priority(spdlog::level::level_enum level) {
  if (level >= spdlog::level::err) return 3;
  if (level == spdlog::level::warn) return 4;
  return level == spdlog::level::info ? 6 : 7;
}

std::string_view text_of(const spdlog::details::log_msg& line) {
  return {line.payload.data(), line.payload.size()};
}

// What came from outside cannot drive the terminal that shows it, nor pass for binary data.
std::string escaped(std::string_view text, bool newlines) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 0x20 && byte != 0x7F) || c == '\t' || (newlines && c == '\n'))
      shown += c;
    else
      fmt::format_to(std::back_inserter(shown), "\\x{:02x}", byte);
  }
  return shown;
}

// One sd_journal_sendv(3) a line: MESSAGE, PRIORITY and the line's own fields.
class JournalSink : public spdlog::sinks::base_sink<std::mutex> {
 private:
  void sink_it_(const spdlog::details::log_msg& line) override {
    std::vector<std::string> fields;
    fields.reserve(8);
    fields.push_back("MESSAGE=" + escaped(text_of(line), /*newlines=*/true));
    fields.push_back("PRIORITY=" + std::to_string(priority(line.level)));
    for (const log::Field& field : log::current_fields())
      fields.push_back(std::string(field.name) + "=" + std::string(field.value));
    std::vector<iovec> parts;
    for (std::string& field : fields) parts.push_back({field.data(), field.size()});
    ::sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
  }
  void flush_() override {}
};

// A line of text each: what came from outside cannot forge one.
class StandardErrorSink : public spdlog::sinks::base_sink<std::mutex> {
 private:
  void sink_it_(const spdlog::details::log_msg& line) override {
    const std::time_t seconds = spdlog::log_clock::to_time_t(line.time);
    std::tm time{};
    char stamp[32];
    if (terminal_) {
      ::localtime_r(&seconds, &time);
      std::strftime(stamp, sizeof stamp, "%H:%M:%S", &time);
    } else {
      ::gmtime_r(&seconds, &time);
      std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &time);
    }
    std::string text = stamp;
    text += ' ';
    text += terminal_ ? coloured_name(line.level) : plain_name(line.level);
    text += ' ';
    text += escaped(text_of(line), /*newlines=*/false) + '\n';
    // One write, so that lines of several processes on one terminal stay whole.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  }
  void flush_() override {}

  static const char* plain_name(spdlog::level::level_enum level) {
    switch (priority(level)) {
      case 3: return "error  ";
      case 4: return "warning";
      case 6: return "info   ";
      default: return "debug  ";
    }
  }
  static const char* coloured_name(spdlog::level::level_enum level) {
    switch (priority(level)) {
      case 3: return "\x1b[31merror\x1b[0m  ";
      case 4: return "\x1b[33mwarning\x1b[0m";
      case 6: return "\x1b[32minfo\x1b[0m   ";
      default: return "\x1b[2mdebug\x1b[0m  ";
    }
  }
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
};

bool standard_error_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  unsigned long long device = 0, inode = 0;
  struct stat info {};
  return stream && std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
         ::fstat(STDERR_FILENO, &info) == 0 && info.st_dev == device && info.st_ino == inode;
}

bool journal_runs() { return ::access("/run/systemd/journal/socket", W_OK) == 0; }

}  // namespace

void set_up_log(const LogConfig& config) {
  const bool wanted = config.target == LogTarget::journal;
  const bool journal = wanted
                           ? journal_runs()
                           : config.target == LogTarget::automatic && standard_error_is_journal();
  spdlog::sink_ptr sink;
  if (journal)
    sink = std::make_shared<JournalSink>();
  else
    sink = std::make_shared<StandardErrorSink>();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("fastmqttd", sink));
  log::set_level(config.level);
  if (wanted && !journal)
    log::warning("log.target is journal, but no journal runs here: using standard error");
}

void set_log_levels(const Config& config) {
  log::set_level(config.log.level);
  std::map<std::string, log::Level> levels;
  for (const HandlerConfig& handler : config.handlers)
    if (handler.log_level) levels[handler.name] = *handler.log_level;
  log::set_handler_levels(std::move(levels));
}

}  // namespace fastmqttd
