// fastmqttd: options → config → handlers → session → ready → wait → drain → stop.
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/base/build_info.hpp"
#include "daemon/base/error.hpp"
#include "daemon/base/log.hpp"
#include "daemon/config/print.hpp"
#include "daemon/config/reader.hpp"
#include "daemon/config/words.hpp"
#include "daemon/delivery/dispatcher.hpp"
#include "daemon/operate/control.hpp"
#include "daemon/operate/control_server.hpp"
#include "daemon/operate/control_socket.hpp"
#include "daemon/operate/crash_report.hpp"
#include "daemon/operate/log_sinks.hpp"
#include "daemon/operate/main_loop.hpp"
#include "daemon/operate/metrics.hpp"
#include "daemon/operate/reloader.hpp"
#include "daemon/operate/setup.hpp"
#include "daemon/operate/start_watch.hpp"
#include "daemon/operate/supervisor.hpp"
#include "daemon/operate/web.hpp"
#include "daemon/plugin/handler_library.hpp"
#include "daemon/session/session.hpp"
#include "daemon/spool/crash_note.hpp"
#include "daemon/spool/state_directory.hpp"

namespace fastmqttd {
namespace {

constexpr Duration kDestroyLimit = std::chrono::seconds(5);
constexpr Duration kFlushLimit = std::chrono::seconds(2);

struct CommandLine {
  std::string config = build::kConfigFile;
  bool check = false;
  bool print_config = false;
};

// The handlers' plugins and, built on them, the lanes.
struct Handlers {
  std::vector<HandlerLibrary> libraries;
  std::unique_ptr<Dispatcher> dispatcher;
};

// Throws StartError with every problem of every plugin and handler.
Handlers load_handlers(const Config& config, const std::function<void()>& attention, Spool* spool) {
  Handlers handlers;
  std::vector<Problem> problems;
  set_up_handlers(config, handlers.libraries, problems,
                  [&](const std::vector<HandlerToRun>& chosen) {
                    handlers.dispatcher = std::make_unique<Dispatcher>(
                        chosen, attention, spool, config.mqtt.optimistic_acknowledgement);
                  });
  if (!problems.empty()) throw StartError(std::move(problems));
  return handlers;
}

// Only where it was named: by itself the unit's is not there before systemd makes it.
std::optional<Problem> state_directory_problem(const Config& config) {
  if (!config.spool.directory && std::getenv("STATE_DIRECTORY") == nullptr) return std::nullopt;
  const std::filesystem::path directory = state_directory(config.spool);
  std::error_code error;
  const bool there = std::filesystem::exists(directory, error);
  const std::filesystem::path wanted = there ? directory : directory.parent_path();
  if ((!there || std::filesystem::is_directory(directory)) &&
      ::access(wanted.c_str(), W_OK | X_OK) == 0)
    return std::nullopt;
  return Problem{{directory.string(), 0, 0},
                 "spool.directory",
                 there ? "cannot be written, or is no directory" : "cannot be made",
                 "expected a directory that the daemon may write"};
}

// Root who checks the configuration of the service has its credentials to read, and no handler to
// run as root: it would leave files that the daemon cannot write, and see what the daemon does not.
void become_the_daemons_user(const std::string& config_file) {
  const bool of_the_service = std::filesystem::path(config_file).parent_path() ==
                              std::filesystem::path(build::kConfigFile).parent_path();
  const passwd* user = ::geteuid() == 0 && of_the_service ? ::getpwnam("fastmqttd") : nullptr;
  if (!user) return;
  if (::initgroups(user->pw_name, user->pw_gid) != 0 || ::setgid(user->pw_gid) != 0 ||
      ::setuid(user->pw_uid) != 0)
    throw StartError({{{config_file, 0, 0}, "", "cannot be checked as the user fastmqttd", ""}});
}

// All that can be said short of connecting.  `problems` are those of reading the configuration;
// they are told before any handler's code runs, which may end the process.
int check(const Config& config, const std::string& config_file, std::vector<Problem> problems) {
  std::size_t told = 0;
  const auto tell = [&] {
    for (; told < problems.size(); ++told) std::cerr << to_string(problems[told]) << std::endl;
  };
  const auto attempt_if_good = [&](const char* key, auto act) {
    if (all_is_read(problems) && !concerns(problems, key)) attempt(problems, act);
  };
  attempt_if_good("mqtt.client_id", [&] { client_id(config, config_file); });
  attempt_if_good("control", [&] { check_control_socket(config.control); });
  tell();
  std::vector<HandlerLibrary> libraries;
  std::size_t handlers = 0;
  {
    const StartWatch start_watch;
    set_up_handlers(
        config, libraries, problems,
        [&](const std::vector<HandlerToRun>& chosen) {
          tell();
          handlers = Dispatcher(chosen, [] {}).lanes().size();
        },
        [&] { become_the_daemons_user(config_file); });
  }
  const bool rest_is_good = problems.empty();
  if (all_is_read(problems) && !concerns(problems, "spool"))
    if (auto problem = state_directory_problem(config)) problems.push_back(std::move(*problem));
  tell();
  if (!problems.empty())
    return static_cast<int>(rest_is_good ? ExitStatus::spool : StartError(problems).status());
  std::cout << config_file << ": good: " << count(handlers, "handler") << "\n";
  if (const std::string idle = idle_plugins(config, libraries); !idle.empty())
    std::cout << idle << "\n";
  return 0;
}

// Of a configuration that is wrong, with what else is, short of making handlers.
[[noreturn]] void refuse(const Config& config, std::vector<Problem> problems) {
  const StartWatch start_watch;
  std::vector<HandlerLibrary> libraries;
  set_up_handlers(config, libraries, problems, {});
  throw StartError(std::move(problems));
}

UniqueFd listen_for_web(const Config& config) {
  try {
    return Web::listen(config.http);
  } catch (const Problem& problem) {
    throw StartError({problem});
  }
}

void log_counts(const Dispatcher& dispatcher) {
  for (const auto& lane : dispatcher.lanes()) {
    const Lane::Counts counts = lane->counts();
    std::string text = fmt::format(
        "{}: {} ok, {} retry, {} reject, {} given up, {} dropped, {} expired", lane->name(),
        counts.ok, counts.retry, counts.reject, counts.dead, counts.dropped, counts.expired);
    const Outbox::Counts published = lane->publish_counts();
    if (published.published + published.failed + published.waiting > 0)
      text += fmt::format(", {} published, {} not", published.published, published.failed);
    for (const auto& [name, value] : lane->stats()->own.values())
      text += fmt::format(", {} {}", name, value);
    log::write(log::Level::info, text, {{"MQTT_HANDLER", lane->name()}});
    if (published.waiting > 0)
      log::write(
          log::Level::warning,
          fmt::format("{}: {} not published yet: those of QoS 1 and 2 are kept for the next start",
                      lane->name(), count(published.waiting, "message was", "messages were")),
          {{"MQTT_HANDLER", lane->name()}});
  }
}

// What waits in memory only, of a handler that is paused, changing or out of time, waits in the
// spool for the next start; but for what is in the hands of one that hangs.
void keep_what_is_in_memory(const Dispatcher& dispatcher) {
  for (const auto& lane : dispatcher.all_lanes()) {
    const std::size_t before = lane->unstored();
    if (const std::size_t messages = before - std::min(before, lane->keep_unstored()); messages > 0)
      log::write(
          log::Level::error,
          fmt::format("{}: {} lost: what is in memory only, and in a call that has not returned",
                      lane->name(), count(messages, "message is", "messages are")),
          {{"MQTT_HANDLER", lane->name()}});
  }
}

// For a plugin whose destroy() does not return.
void exit_anyway_after(Duration limit, int status) {
  std::thread([limit, status] {
    std::this_thread::sleep_for(limit);
    log::error("a handler's destroy() has not returned for {}: exiting", format_duration(limit));
    std::_Exit(status);
  }).detach();
}

int run(const Config& config, const std::string& config_file) {
  MainLoop::block_signals();
  ::umask(::umask(0) | 0027);  // what is stored is nobody else's to read
  // Paho would send plain MQTT through these.
  ::unsetenv("http_proxy");
  ::unsetenv("https_proxy");
  log::info("fastmqttd {} starting", build::kVersion);

  Supervisor* supervisor = nullptr;
  Reloader* reloader = nullptr;
  MainLoop loop([&] {
    supervisor->look();
    reloader->look();
  });
  const auto attention = [&loop] { loop.wake(); };
  auto start_watch = std::make_unique<StartWatch>();
  const std::filesystem::path state = state_directory(config.spool);
  Spool spool(state, config.spool);
  open_crash_note(state);
  const Handlers handlers = load_handlers(config, attention, &spool);
  UniqueFd web_socket = listen_for_web(config);
  start_watch.reset();
  Dispatcher& dispatcher = *handlers.dispatcher;
  if (dispatcher.lanes().empty())
    log::warning(
        "no handlers: nothing is subscribed; name some under 'handlers', or drop a plugin "
        "with topics of its own into a plugin directory");
  if (const std::string idle = idle_plugins(config, handlers.libraries); !idle.empty())
    log::info("{}", idle);
  const Dispatcher::Restored restored = dispatcher.restore();
  if (restored.deliveries > 0)
    log::info("to be handled first: {} of an earlier run", count(restored.deliveries, "message"));
  if (restored.publishes > 0)
    log::info("to be published first: {} of an earlier run", count(restored.publishes, "message"));
  Session session({config.mqtt, client_id(config, config_file)}, state, spool, dispatcher,
                  attention);
  Supervisor the_supervisor(loop, dispatcher, session, config.shutdown_timeout);
  supervisor = &the_supervisor;
  ReloadCounts reloads;
  const Metrics metrics(dispatcher, session, spool, reloads);
  Web web(dispatcher, session, spool, metrics);
  web.serve(std::move(web_socket), config.http);
  Reloader the_reloader({loop, spool, dispatcher, session, the_supervisor, web, reloads},
                        config_file, config);
  reloader = &the_reloader;
  loop.on_signal(SIGHUP, [reloader] { reloader->begin(); });
  Control control(dispatcher, session, spool, the_reloader);
  std::unique_ptr<ControlServer> control_server;
  if (auto socket = open_control_socket(config.control))
    control_server = std::make_unique<ControlServer>(std::move(socket), control);

  dispatcher.start();
  log::info("connecting to {}", session.state().broker);
  session.start();
  const int status = loop.run();

  the_reloader.stop();
  control_server.reset();
  web.serve({}, {});
  keep_what_is_in_memory(dispatcher);
  log_counts(dispatcher);
  spool.flush(kFlushLimit);
  // What still hangs in a call cannot be destroyed under it.
  if (!dispatcher.finished() || session.state().phase != SessionState::Phase::stopped ||
      !reloader->may_go()) {
    log::info("stopped");
    std::_Exit(status);
  }
  dispatcher.outbox().close();  // to handlers that publish when they are destroyed
  exit_anyway_after(kDestroyLimit, status);
  MainLoop::unblock_signals();
  return status;
}

int fail(const StartError& error, bool printing) {
  for (const Problem& problem : error.problems()) {
    if (printing)
      std::cerr << to_string(problem) << "\n";
    else
      log_problem(problem, error.status());
  }
  // The last word, for systemctl status.
  if (!printing && !error.problems().empty()) {
    std::string status = "STATUS=cannot start: " + to_string(error.problems().front());
    std::ranges::replace_if(
        status, [](unsigned char c) { return c < 0x20; }, ' ');
    ::sd_notify(0, status.c_str());
  }
  return static_cast<int>(error.status());
}

int start(const CommandLine& command) {
  set_up_log({});
  install_crash_report();
  try {
    std::vector<Problem> problems;
    const Config config = read_config(command.config, problems);
    if (command.print_config) {
      if (!problems.empty()) throw StartError(std::move(problems));
      std::cout << print_config(config);
      return 0;
    }
    if (command.check) {
      set_log_levels(config);
      return check(config, command.config, std::move(problems));
    }
    if (!problems.empty()) refuse(config, std::move(problems));
    set_up_log(config.log);
    set_log_levels(config);
    const int status = run(config, command.config);
    log::info("stopped");
    return status;
  } catch (const StartError& error) {
    return fail(error, command.print_config);
  } catch (const std::exception& error) {
    log::error("internal error: {}", error.what());
    return static_cast<int>(ExitStatus::internal);
  }
}

}  // namespace
}  // namespace fastmqttd

int main(int argc, char** argv) {
  using namespace fastmqttd;
  CommandLine command;
  CLI::App app("Dispatches MQTT messages to local handlers, losing none.\nSee fastmqttd(8).",
               "fastmqttd");
  app.add_option("--config", command.config, "The configuration file")->capture_default_str();
  app.add_flag("--check", command.check,
               "Check everything short of connecting, report every problem, and exit");
  app.add_flag("--print-config", command.print_config,
               "Print the effective configuration, secrets masked, and exit");
  app.set_version_flag("--version", std::string("fastmqttd ") + build::kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitStatus::usage);
  }
  return start(command);
}
