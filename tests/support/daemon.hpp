// The real fastmqttd, with a directory of its own for its configuration, plugins and state.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/broker.hpp"
#include "tests/support/files.hpp"
#include "tests/support/notify_socket.hpp"
#include "tests/support/process.hpp"

namespace fastmqttd::testing {

// What the build made.
std::filesystem::path built_daemon();
std::filesystem::path built_handler(std::string_view name);

// fastmqttctl, to its end, on that socket.
Finished run_ctl(const std::filesystem::path& socket, const std::vector<std::string>& arguments);

// Not started by the constructor.  May be started again after it has ended.
class Daemon {
 public:
  Daemon();

  const std::string& client_id() const { return client_id_; }
  // The `mqtt` section: version 5, short pauses between attempts to connect.  `more` are further
  // lines of it, each indented by two spaces; a key given there replaces the one given here.
  std::string mqtt_section(const Broker& broker, std::string_view more = "") const;

  std::filesystem::path file(std::string_view name) const { return directory_ / name; }
  std::filesystem::path config_file() const { return directory_ / "fastmqttd.yaml"; }
  std::filesystem::path plugin_directory() const { return directory_ / "plugins"; }
  // Copies the built plugin, mode 0755, as NAME.so or as the file name given.
  void add_plugin(std::string_view name, std::string_view file_name = "");

  // The file as it is, and ...
  void write_config(std::string_view yaml) const { write_file(config_file(), yaml); }
  // ... with the plugin directory and a log on standard error added.
  void configure(std::string_view yaml) const;
  // NAME=VALUE, for all later runs.
  void set_environment(const std::string& variable) { environment_.push_back(variable); }

  void start();
  // For READY=1 of the present run.
  [[nodiscard]] bool wait_ready();
  // Starts it and throws when it does not get ready.
  void start_ready();
  // SIGTERM; how it ended, nothing when it did not.
  std::optional<Exit> stop(Milliseconds within = kPatience);
  void kill();  // SIGKILL
  // A run to its end, with the configuration file as the only argument but these.
  Finished run(const std::vector<std::string>& arguments) const;

  Finished ctl(const std::vector<std::string>& arguments) const {
    return run_ctl(file("runtime") / "control.sock", arguments);
  }

  bool started() const { return process_ != nullptr; }
  Process& process() { return *process_; }
  NotifySocket& notify() { return *notify_; }
  // Standard error of all runs started.
  std::string log() const { return read_file(directory_ / "log"); }
  // See any_line_matches.
  bool logged(const std::string& pattern) const;
  [[nodiscard]] bool wait_for_log(const std::string& pattern) const;

 private:
  Command command(const std::vector<std::string>& arguments) const;

  TempDir directory_;
  std::string client_id_;
  std::vector<std::string> environment_;
  std::unique_ptr<NotifySocket> notify_ = std::make_unique<NotifySocket>();
  std::unique_ptr<Process> process_;
};

}  // namespace fastmqttd::testing
