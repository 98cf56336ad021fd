#include "tests/support/daemon.hpp"

#include <signal.h>

#include <algorithm>
#include <stdexcept>

namespace fastmqttd::testing {
namespace {

// The key of a line of a YAML map, "" when it has none.
std::string key_of(std::string_view line) {
  const std::size_t start = line.find_first_not_of(' ');
  const std::size_t end = line.find(':');
  if (start == std::string_view::npos || end == std::string_view::npos) return "";
  return std::string(line.substr(start, end - start));
}

}  // namespace

std::filesystem::path built_daemon() { return FASTMQTTD_TESTS_DAEMON; }

std::filesystem::path built_handler(std::string_view name) {
  return std::filesystem::path(FASTMQTTD_TESTS_HANDLERS) / (std::string(name) + ".so");
}

Finished run_ctl(const std::filesystem::path& socket, const std::vector<std::string>& arguments) {
  Command command{.argv = {FASTMQTTD_TESTS_CTL, "--socket", socket}};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return run(command);
}

Daemon::Daemon() : client_id_("it-" + directory_.path().filename().string()) {
  for (const char* name : {"plugins", "state", "runtime"}) {
    std::filesystem::create_directory(directory_ / name);
    set_mode(directory_ / name, 0755);
  }
}

std::string Daemon::mqtt_section(const Broker& broker, std::string_view more) const {
  const std::vector<std::string> given = split(more, '\n');
  std::string text = "mqtt:\n";
  for (const std::string& line :
       {std::string("  host: 127.0.0.1"), "  port: " + std::to_string(broker.port()),
        "  client_id: " + client_id_, std::string("  reconnect_delay: 100ms"),
        std::string("  reconnect_delay_max: 500ms")})
    if (std::ranges::find(given, key_of(line), key_of) == given.end()) text += line + "\n";
  text += more;
  return text.ends_with('\n') ? text : text + "\n";
}

void Daemon::add_plugin(std::string_view name, std::string_view file_name) {
  const std::string target = file_name.empty() ? std::string(name) + ".so" : std::string(file_name);
  std::filesystem::copy_file(built_handler(name), plugin_directory() / target);
  set_mode(plugin_directory() / target, 0755);
}

void Daemon::configure(std::string_view yaml) const {
  std::string text(yaml);
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  text += "plugin_directories: [" + plugin_directory().string() + "]\n";
  text += "log: {level: debug, target: stderr}\n";
  write_config(text);
}

Command Daemon::command(const std::vector<std::string>& arguments) const {
  Command command{.argv = {built_daemon()}};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  // What a service manager around the test set is not meant for this daemon.
  command.environment = {"WATCHDOG_USEC",         "WATCHDOG_PID",   "LISTEN_FDS",   "NOTIFY_SOCKET",
                         "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM", "INVOCATION_ID"};
  command.environment.push_back("STATE_DIRECTORY=" + file("state").string());
  command.environment.push_back("RUNTIME_DIRECTORY=" + file("runtime").string());
  command.environment.insert(command.environment.end(), environment_.begin(), environment_.end());
  return command;
}

void Daemon::start() {
  notify_->clear();
  Command start = command({"--config", config_file()});
  start.environment.push_back("NOTIFY_SOCKET=" + notify_->path());
  start.output = file("output");
  start.errors = file("log");
  process_.reset();
  process_ = std::make_unique<Process>(start);
}

bool Daemon::wait_ready() {
  const bool answered =
      eventually([this] { return notify_->count("READY=1") > 0 || !process_->running(); });
  return answered && notify_->count("READY=1") > 0;
}

void Daemon::start_ready() {
  start();
  if (!wait_ready()) throw std::runtime_error("fastmqttd does not get ready:\n" + tail(log()));
}

std::optional<Exit> Daemon::stop(Milliseconds within) {
  process_->signal(SIGTERM);
  return process_->wait(within);
}

void Daemon::kill() {
  process_->signal(SIGKILL);
  process_->wait();
}

Finished Daemon::run(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all{"--config", config_file()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return testing::run(command(all));
}

bool Daemon::logged(const std::string& pattern) const { return any_line_matches(log(), pattern); }

bool Daemon::wait_for_log(const std::string& pattern) const {
  return eventually([&] { return logged(pattern); });
}

}  // namespace fastmqttd::testing
