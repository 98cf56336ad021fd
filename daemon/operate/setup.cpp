#include "daemon/operate/setup.hpp"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "daemon/base/events.hpp"
#include "daemon/base/log.hpp"
#include "daemon/delivery/handlers_to_run.hpp"
#include "daemon/session/client_id.hpp"
#include "daemon/session/tls.hpp"

namespace fastmqttd {
namespace {

bool is_at_or_below(const std::string& key, const std::string& above) {
  return key == above || key.starts_with(above + ".");
}

std::vector<HandlerLibrary> load_libraries(const Config& config, std::vector<Problem>& problems) {
  return load_handler_libraries(config.plugin_directories, config.default_plugin_directories,
                                plugins_kept_off(config), problems);
}

// Files of mqtt.ssl that cannot be used; those that references name are looked at too.
void check_tls(const Config& config, std::vector<Problem>& problems) {
  if (!config.mqtt.ssl || concerns(problems, "mqtt.ssl")) return;
  const auto report = [&](const std::string& key, const std::string& what) {
    problems.push_back({config.mqtt.ssl->place, key, what, ""});
  };
  try {
    if (const auto problem = problem_of(expand(*config.mqtt.ssl)))
      report("mqtt.ssl." + problem->key, problem->what);
  } catch (const std::runtime_error& error) {
    report("mqtt.ssl", error.what());
  }
}

// Which handlers there are to be cannot be told: an entry has no name.
bool handlers_are_unclear(const Config& config, const std::vector<Problem>& problems) {
  return std::ranges::any_of(problems, [&](const Problem& problem) {
    if (problem.key == "handlers") return true;
    return problem.key.starts_with("handlers.") &&
           std::ranges::none_of(config.handlers, [&](const HandlerConfig& handler) {
             return is_at_or_below(problem.key, "handlers." + handler.name);
           });
  });
}

// Those with mistakes of their own would only make others of them.
Config without_bad_handlers(Config config, const std::vector<Problem>& problems) {
  for (HandlerConfig& handler : config.handlers)
    if (concerns(problems, "handlers." + handler.name)) handler.enabled = false;
  return config;
}

}  // namespace

bool all_is_read(const std::vector<Problem>& problems) {
  return std::ranges::none_of(problems, [](const Problem& p) { return p.key.empty(); });
}

bool concerns(const std::vector<Problem>& problems, const std::string& key) {
  return std::ranges::any_of(
      problems, [&](const Problem& problem) { return is_at_or_below(problem.key, key); });
}

std::string client_id(const Config& config, const std::string& file) {
  if (config.mqtt.client_id) return config.mqtt.client_id->value();
  if (auto id = default_client_id(std::filesystem::path(file).stem().string())) return *id;
  throw StartError({{{file, 0, 0},
                     "mqtt.client_id",
                     "is not set, and this machine has no /etc/machine-id to derive it from",
                     "a name that no other client of the broker uses",
                     false}});
}

void set_up_handlers(const Config& config, std::vector<HandlerLibrary>& libraries,
                     std::vector<Problem>& problems,
                     const std::function<void(const std::vector<HandlerToRun>&)>& make,
                     const std::function<void()>& before_any_code) {
  if (!all_is_read(problems)) return;
  const bool unclear = handlers_are_unclear(config, problems);
  const Config sound = without_bad_handlers(config, problems);
  check_tls(config, problems);
  if (concerns(problems, "plugin_directories")) return;
  if (before_any_code) before_any_code();
  libraries = load_libraries(config, problems);
  if (unclear) return;
  const auto chosen = choose_handlers(sound, libraries, problems);
  if (make) attempt(problems, [&] { make(chosen); });
}

void log_problem(const Problem& problem, ExitStatus status) {
  const std::filesystem::path file = problem.place.file;
  const std::string plugin = file.stem().string();
  std::vector<log::Field> fields;
  if (status == ExitStatus::spool)
    fields = {{"MESSAGE_ID", event::kSpoolUnusable}};
  else if (file.extension() == ".so")
    fields = {{"MESSAGE_ID", event::kPluginRefused}, {"MQTT_PLUGIN", plugin}};
  else if (problem.unsafe)
    fields = {{"MESSAGE_ID", event::kPluginRefused}};
  else
    fields = {{"MESSAGE_ID", event::kConfigError}};
  log::write(log::Level::error, to_string(problem), fields);
}

std::string idle_plugins(const Config& config, const std::vector<HandlerLibrary>& libraries) {
  std::string names;
  for (const std::string& name : plugins_without_entry(config, libraries))
    names += (names.empty() ? "" : ", ") + name;
  if (names.empty()) return {};
  return "plugins without topics of their own, which run once an entry under 'handlers' names "
         "them: " +
         names;
}

}  // namespace fastmqttd
