#include "daemon/operate/reloader.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <utility>

#include "daemon/base/error.hpp"
#include "daemon/base/events.hpp"
#include "daemon/base/log.hpp"
#include "daemon/config/reader.hpp"
#include "daemon/config/schema.hpp"
#include "daemon/config/words.hpp"
#include "daemon/operate/control_socket.hpp"
#include "daemon/operate/log_sinks.hpp"
#include "daemon/operate/setup.hpp"
#include "daemon/plugin/handler_call.hpp"
#include "daemon/spool/state_directory.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kMostWaiting = 2;

using Kind = Reloader::Outcome::Kind;

// "2 handlers new (a, b)"
void add_to(std::string& text, const std::vector<std::string>& names, const char* what) {
  if (names.empty()) return;
  text +=
      fmt::format("{}{} {} ({})", text.empty() ? "" : ", ", names.size(), what, comma_list(names));
}

// The configuration is in force all the same, but that may not be what was meant.
std::string if_not_connected(const SessionState& session) {
  if (session.phase == SessionState::Phase::connected)
    return session.refused.empty() ? ""
                                   : fmt::format("; but the broker refuses {} of the subscriptions",
                                                 session.refused.size());
  return "; but it is " + describe(session);
}

std::string socket_of(const ControlConfig& config) {
  return config.socket ? config.socket->value() : default_control_socket().string();
}

}  // namespace

Reloader::Reloader(const Running& running, std::string file, Config config)
    : running_(running),
      file_(std::move(file)),
      config_(std::move(config)),
      client_id_(client_id(config_, file_)) {}

Reloader::~Reloader() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void Reloader::stop() {
  state_.lock()->stopping = true;
  changed_.notify_all();
}

Reloader::Outcome Reloader::reload() {
  auto state = state_.lock();
  if (!state->hanging.empty()) return {Kind::refused, "", {state->hanging}};
  if (state->waiting >= kMostWaiting)
    return {Kind::refused, "", {"reload: others are waiting for one already: try again"}};
  const std::uint64_t mine = ++state->asked;
  ++state->waiting;
  running_.loop.wake();
  while (state->answered < mine && !state->stopping) state.wait(changed_);
  --state->waiting;
  if (state->answered < mine) return {Kind::refused, "", {"reload: the daemon is stopping"}};
  return state->outcome;
}

void Reloader::begin() {
  auto state = state_.lock();
  if (!state->hanging.empty()) return log::error("cannot reload: {}", state->hanging);
  ++state->asked;
  state.unlock();
  look();
}

void Reloader::look() {
  if (preparing_) {
    auto state = state_.lock();
    auto prepared = std::exchange(state->prepared, std::nullopt);
    if (prepared) state->hanging.clear();
    state.unlock();
    if (!prepared) return;
    thread_.join();
    preparing_ = false;
    if (covers_ == 0) return look();  // nobody waits for it any more
    if (running_.supervisor.is_stopping())
      prepared->problems.push_back({{file_, 0, 0}, "", "the daemon is stopping", "", false});
    if (prepared->problems.empty())
      put_in_force(std::move(*prepared));
    else
      refuse(prepared->problems);
  }
  // Lanes that have ended go, whoever waits for it.
  const bool changing = running_.dispatcher.is_changing();
  if (changing_over_) finish_if_changed_over();
  if (unfinished_ && !changing && !running_.session.state().changing) {
    unfinished_ = false;
    log::info("the reload is complete now");
  }
  if (!changing_over_ && is_asked_for()) start_preparing();
}

bool Reloader::is_asked_for() {
  const auto state = state_.lock();
  return state->asked > state->answered;
}

void Reloader::start_preparing() {
  covers_ = state_.lock()->asked;
  preparing_ = true;
  const std::uint64_t round = ++round_;
  running_.supervisor.reloading();
  log::info("reloading {}", file_);
  running_.loop.once_after(kPrepare, [this, round] {
    if (round == round_ && preparing_) give_up_preparing();
  });
  thread_ = std::thread([this] {
    Prepared prepared = prepare();
    state_.lock()->prepared = std::move(prepared);
    running_.loop.wake();
  });
}

// Of a handler whose create() does not return: it goes on hanging, and nothing can be prepared
// beside it.
void Reloader::give_up_preparing() {
  const char* const handler = HandlerCall::starting();
  const Problem problem{{file_, 0, 0},
                        handler ? "handlers." + std::string(handler) : "",
                        "has not started within " + format_duration(kPrepare),
                        "a handler that starts; if it never does, a restart is the only way on",
                        false};
  refuse({problem});
  covers_ = 0;
  state_.lock()->hanging = to_string(problem);
}

// By the thread.  All that can be found is reported at once.
Reloader::Prepared Reloader::prepare() const {
  Prepared prepared;
  try {
    prepare(prepared);
  } catch (const StartError& error) {
    std::ranges::copy(error.problems(), std::back_inserter(prepared.problems));
  } catch (const std::exception& error) {
    prepared.problems.push_back({{file_, 0, 0}, "", error.what(), "", false});
  }
  return prepared;
}

void Reloader::prepare(Prepared& prepared) const {
  std::vector<Problem>& problems = prepared.problems;
  const Config& config = prepared.config = read_config(file_, problems);
  std::error_code none;
  if (std::filesystem::is_regular_file(file_, none) && std::filesystem::file_size(file_, none) == 0)
    problems.push_back({{file_, 0, 0},
                        "",
                        "is empty, as an interrupted save leaves it",
                        "a configuration; to take every handler out, 'handlers: {}'",
                        false});
  const bool all_read = all_is_read(problems);
  if (all_read) check_what_stays(config, problems);
  const auto attempt_if_good = [&](const char* key, auto act) {
    if (all_read && !concerns(problems, key)) attempt(problems, act);
  };
  attempt_if_good("mqtt.client_id", [&] { prepared.client_id = client_id(config, file_); });
  attempt_if_good("http", [&] {
    if (!(config.http == config_.http)) prepared.web = Web::listen(config.http);
  });
  // No handler is made for a configuration that will not be in force: its start, and its end, may
  // have effects.
  std::function<void(const std::vector<HandlerToRun>&)> make;
  if (problems.empty())
    make = [&](const std::vector<HandlerToRun>& handlers) {
      prepared.lineup =
          running_.dispatcher.prepare(handlers, config.mqtt.optimistic_acknowledgement);
    };
  std::vector<HandlerLibrary> libraries;
  set_up_handlers(config, libraries, problems, make);
  if (!problems.empty()) prepared.lineup = {};  // by this thread: a destroy() may hang
  prepared.idle = idle_plugins(config, libraries);
}

// What only a start can give another value.
void Reloader::check_what_stays(const Config& config, std::vector<Problem>& problems) const {
  const auto report = [&](const Place& place, const char* key, const std::string& before,
                          const std::string& after) {
    problems.push_back({place.file.empty() ? Place{file_, 0, 0} : place, key,
                        "cannot become '" + after + "' while the daemon runs",
                        "'" + before + "', or a restart", false});
  };
  const std::string spool = state_directory(config_.spool), other = state_directory(config.spool);
  if (spool != other && !concerns(problems, "spool")) report({}, "spool.directory", spool, other);
  const std::string socket = socket_of(config_.control), next = socket_of(config.control);
  if (socket != next && !concerns(problems, "control"))
    report(config.control.place, "control.socket", socket, next);
  if (config.log.target != config_.log.target && !concerns(problems, "log"))
    report({}, "log.target", word_of(config_.log.target), word_of(config.log.target));
}

void Reloader::put_in_force(Prepared prepared) {
  try {
    running_.spool.change(prepared.config.spool);  // the one that may fail comes first
  } catch (const std::exception& error) {
    return refuse({{{file_, 0, 0}, "spool", error.what(), "", false}});
  }
  set_log_levels(prepared.config);
  const bool other_web = !(prepared.config.http == config_.http);
  if (other_web) running_.web.serve(std::move(prepared.web), prepared.config.http);
  running_.supervisor.set_shutdown_timeout(prepared.config.shutdown_timeout);

  const std::size_t handlers = prepared.lineup.lanes.size();
  const auto changed = running_.dispatcher.change_to(std::move(prepared.lineup));
  const bool other_session =
      !(prepared.config.mqtt == config_.mqtt) || prepared.client_id != client_id_;
  if (other_session)
    running_.session.change(SessionSettings{prepared.config.mqtt, prepared.client_id});
  else
    running_.session.change(std::nullopt);
  config_ = std::move(prepared.config);
  client_id_ = std::move(prepared.client_id);

  std::string text;
  add_to(text, changed.added, "new");
  add_to(text, changed.replaced, "changed");
  add_to(text, changed.removed, "gone");
  summary_ = count(handlers, "handler") + (text.empty() ? ", all as before" : ": ") + text;
  if (other_session) summary_ += "; the session is made anew, since something in mqtt has changed";
  if (other_web)
    summary_ += config_.http.listen
                    ? fmt::format("; http listens on {}:{}", config_.http.listen->host,
                                  config_.http.listen->port)
                    : "; http listens no more";
  if (!prepared.idle.empty()) log::info("{}", prepared.idle);
  changing_over_ = true;
  running_.loop.once_after(kChangeOver, [this, round = round_] {
    if (round != round_ || !changing_over_) return;
    unfinished_ = true;
    finish({Kind::unfinished, summary_ + "; but " + what_is_left(), {}});
  });
}

void Reloader::refuse(const std::vector<Problem>& problems) {
  Outcome outcome{Kind::refused, "", {}};
  for (const Problem& problem : problems) {
    outcome.problems.push_back(to_string(problem));
    log_problem(problem);
  }
  finish(std::move(outcome));
}

void Reloader::finish_if_changed_over() {
  if (running_.dispatcher.is_changing() || running_.session.state().changing) return;
  finish({Kind::applied, summary_ + if_not_connected(running_.session.state()), {}});
}

// Of what has been put in force.
std::string Reloader::what_is_left() const {
  std::vector<std::string> names;
  for (const auto& handover : running_.dispatcher.handovers())
    names.push_back(handover->lane()->name());
  if (!names.empty())
    return "handlers are still busy with a message as they were before, and change when that is "
           "done: " +
           comma_list(names);
  const SessionState session = running_.session.state();
  return session.phase == SessionState::Phase::connected
             ? "the broker has not answered yet to what is subscribed"
             : describe(session);
}

void Reloader::finish(Outcome outcome) {
  changing_over_ = false;
  ++round_;
  ++(outcome.kind == Kind::refused ? running_.counts.refused : running_.counts.applied);
  if (outcome.kind == Kind::refused)
    log::write(
        log::Level::error,
        fmt::format("reload refused, everything goes on as before: {}{}", outcome.problems.front(),
                    outcome.problems.size() == 1
                        ? ""
                        : fmt::format("; and {} more", outcome.problems.size() - 1)),
        {{"MESSAGE_ID", event::kReloadRefused}});
  else
    log::write(outcome.kind == Kind::applied ? log::Level::info : log::Level::warning,
               "reloaded: " + outcome.text, {{"MESSAGE_ID", event::kReloadApplied}});
  running_.supervisor.reloaded();
  auto state = state_.lock();
  state->answered = covers_;
  state->outcome = std::move(outcome);
  state.unlock();
  changed_.notify_all();
}

}  // namespace fastmqttd
