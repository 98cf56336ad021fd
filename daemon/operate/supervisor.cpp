#include "daemon/operate/supervisor.hpp"

#include <signal.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "daemon/base/error.hpp"
#include "daemon/base/events.hpp"
#include "daemon/base/log.hpp"
#include "daemon/config/words.hpp"
#include "daemon/spool/crash_note.hpp"

namespace fastmqttd {
namespace {

using Phase = SessionState::Phase;

constexpr auto kReadyLimit = 30s;      // a broker that says nothing is no reason to wait for longer
constexpr auto kStatusInterval = 10s;  // at least this often
constexpr auto kStatusPause = 500ms;   // and not more often than this
constexpr auto kReports = 10s;         // of losses, at most this often
constexpr auto kIdlePoll = 10ms;
constexpr auto kLongestGoodbye = 5s;
constexpr std::size_t kNames = 3;  // of handlers, in one line
constexpr auto kDestroyLimit = 30s;
constexpr auto kLastingRun = 15min;  // longer than a handler that ends runs is suspended
constexpr auto kStopSlack = 10s;     // beyond shutdown_timeout, for systemd

// "a, b, c and 4 more"
std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kNames; ++i)
    text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > kNames) text += fmt::format(" and {} more", names.size() - kNames);
  return text;
}

// "; a, b suspended; c paused"; empty when all run.
std::string handlers_at_rest(const Dispatcher& dispatcher) {
  std::vector<std::string> suspended, paused;
  for (const auto& lane : dispatcher.lanes()) {
    if (lane->paused())
      paused.push_back(lane->name());
    else if (lane->suspended())
      suspended.push_back(lane->name());
  }
  return (suspended.empty() ? "" : "; " + some_of(suspended) + " suspended") +
         (paused.empty() ? "" : "; " + some_of(paused) + " paused");
}

std::string refused_subscriptions(const SessionState& session) {
  if (session.refused.empty()) return "";
  return "; the broker refuses " + count(session.refused.size(), "subscription");
}

// What waits for nobody; empty when nothing does.
std::string left_behind(const Dispatcher& dispatcher) {
  std::uint64_t messages = 0;
  std::vector<std::string> names;
  for (const auto& [name, left] : dispatcher.left_for_others()) {
    if (left.waiting == 0) continue;
    names.push_back(name);
    messages += left.waiting;
  }
  if (names.empty()) return "";
  const bool one = names.size() == 1;
  return fmt::format("; {} for the {} {}, which {} not configured",
                     count(messages, "message waits", "messages wait"),
                     one ? "handler" : "handlers", some_of(names), one ? "is" : "are");
}

void notify(const std::string& state) { ::sd_notify(0, state.c_str()); }

}  // namespace

Supervisor::Supervisor(MainLoop& loop, Dispatcher& dispatcher, Session& session,
                       Duration shutdown_timeout)
    : loop_(loop), dispatcher_(dispatcher), session_(session), shutdown_timeout_(shutdown_timeout) {
  loop_.on_signal(SIGTERM, [this] { stop(SIGTERM); });
  loop_.on_signal(SIGINT, [this] { stop(SIGINT); });
  std::uint64_t watchdog_us = 0;
  watched_ = ::sd_watchdog_enabled(0, &watchdog_us) > 0;
  const auto half =
      std::chrono::duration_cast<Duration>(std::chrono::microseconds(watchdog_us / 2));
  const Duration interval = watched_ ? std::min<Duration>(half, kStatusInterval) : kStatusInterval;
  loop_.once_after(kReadyLimit, [this] { become_ready(); });
  loop_.once_after(kLastingRun, [] { forget_crashed_runs(); });
  loop_.every(std::max(interval, Duration(1)), [this] { tick(); });
}

void Supervisor::become_ready() {
  if (ready_ || stopping_) return;
  ready_ = true;
  send_status();
  notify("READY=1");
  log::info("ready: {}, {}", count(dispatcher_.lanes().size(), "handler"),
            describe(session_.state()));
}

// The time says which reload it is (sd_notify(3)).
void Supervisor::reloading() {
  if (!ready_ || stopping_) return;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  notify(
      fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1'000'000 + now.tv_nsec / 1000));
}

void Supervisor::reloaded() {
  if (ready_ && !stopping_) notify("READY=1");
}

void Supervisor::look() {
  const SessionState session = session_.state();
  if (session.first_answer) become_ready();
  if (session.gave_up && !stopping_) {
    exit_status_ = static_cast<int>(ExitStatus::unavailable);
    begin_stop();
  }
  if (stopping_ && !closed_ && session.phase == Phase::stopped) {
    closed_ = true;
    dispatcher_.close();
  }
  if (closed_ && dispatcher_.finished()) loop_.finish(exit_status_);
  report_losses();
  show_status();
}

// The first signal stops in order: the handlers work off what they have, with the connection while
// that is quick, then without new messages.
void Supervisor::stop(int signal) {
  if (stopping_) {
    log::warning("second signal: exiting at once, {} not handled",
                 count(dispatcher_.waiting(), "message"));
    ::signal(signal, SIG_DFL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    ::raise(signal);
  }
  begin_stop();
}

void Supervisor::begin_stop() {
  stopping_ = true;
  stop_began_ = Clock::now();
  log::info("stopping: {} to be handled, within {}", count(dispatcher_.waiting(), "message"),
            format_duration(shutdown_timeout_));
  const auto allowed = std::chrono::microseconds(shutdown_timeout_ + kStopSlack).count();
  notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + std::to_string(allowed));
  loop_.once_after(shutdown_timeout_, [this] { give_up(); });
  send_what_is_published();
}

// What handlers make of their last messages may have to go out: the connection stays until for once
// nothing waits, if that comes soon.
void Supervisor::send_what_is_published() {
  const bool idle = dispatcher_.at_rest() && dispatcher_.outbox().waiting() == 0;
  const bool connected = session_.state().phase == Phase::connected;
  const Duration limit = std::min<Duration>(shutdown_timeout_ / 2, kLongestGoodbye);
  if (!idle && connected && Clock::now() - stop_began_ < limit)
    loop_.once_after(kIdlePoll, [this] { send_what_is_published(); });
  else
    session_.stop();
}

void Supervisor::give_up() {
  session_.stop();
  dispatcher_.abandon();
  for (const auto& lane : dispatcher_.lanes())
    if (const std::size_t waiting = lane->waiting(); waiting > 0 && !lane->finished())
      log::write(
          log::Level::warning,
          fmt::format("{}: {} not handled within the shutdown timeout of {}: kept for the next "
                      "start",
                      lane->name(), count(waiting, "message was", "messages were"),
                      format_duration(shutdown_timeout_)),
          {{"MQTT_HANDLER", lane->name()}});
  // Lanes between two calls end in no time; one that hangs in a call never does.
  loop_.once_after(200ms, [this] { loop_.finish(exit_status_); });
}

void Supervisor::tick() {
  const std::map<std::string, Stuck> now_stuck = stuck();
  note_stuck(now_stuck);
  for (const auto& [who, what] : now_stuck) {
    if (!known_stuck_.contains(who)) say(who, what);
    if (what.abort) abort_for(who, what);
  }
  for (const auto& [who, what] : known_stuck_)
    if (!now_stuck.contains(who))
      log::write(log::Level::info, who + ": makes progress again", fields_of(who, what));
  known_stuck_ = now_stuck;
  report_losses();
  if (watched_ && now_stuck.empty()) notify("WATCHDOG=1");
  show_status();
}

// For the next start, however this run ends: else it would hang at the same message for ever.
void Supervisor::note_stuck(const std::map<std::string, Stuck>& now_stuck) const {
  const auto one = std::ranges::find_if(
      now_stuck, [](const auto& stuck) { return !stuck.second.messages.empty(); });
  if (one != now_stuck.end())
    note_hang(one->first.c_str(), one->second.messages);
  else if (!known_stuck_.empty())
    forget_hang();
}

std::map<std::string, Supervisor::Stuck> Supervisor::stuck() {
  std::map<std::string, Stuck> all;
  const TimePoint now = Clock::now();
  if (const auto session = session_.stuck(now)) all["session"] = {.text = *session};
  for (const LanePtr& lane : dispatcher_.all_lanes()) {
    const auto held_up = lane->stuck(now);
    if (!held_up) continue;
    const auto& abort_after = lane->config().abort_after;
    all[lane->name()] = {
        .text = fmt::format(
            "stuck in a call for {}{}", format_roughly(held_up->since),
            held_up->topic.empty() ? "" : ", in a message on " + log::shown_topic(held_up->topic)),
        .topic = held_up->topic,
        .messages = held_up->messages,
        .is_handler = true,
        .abort = abort_after && held_up->since >= *abort_after};
  }
  for (const auto& handover : dispatcher_.handovers())
    if (handover->lane()->finished() && now - handover->began() > kDestroyLimit)
      all.try_emplace(handover->lane()->name(),
                      Stuck{.text = "its destroy() has not returned", .is_handler = true});
  return all;
}

std::vector<log::Field> Supervisor::fields_of(const std::string& who, const Stuck& what) {
  std::vector<log::Field> fields;
  if (what.is_handler) fields.push_back({"MQTT_HANDLER", who});
  if (!what.topic.empty()) fields.push_back({"MQTT_TOPIC", what.topic});
  return fields;
}

void Supervisor::say(const std::string& who, const Stuck& what) const {
  std::vector<log::Field> fields = fields_of(who, what);
  if (what.is_handler) fields.push_back({"MESSAGE_ID", event::kHandlerStuck});
  log::write(log::Level::error,
             fmt::format("{}: {}{}", who, what.text,
                         watched_ ? ": the watchdog is not fed" : ": its messages wait"),
             fields);
}

// What waits is in the spool; the service manager starts the daemon again.
void Supervisor::abort_for(const std::string& who, const Stuck& what) {
  std::vector<log::Field> fields = fields_of(who, what);
  fields.push_back({"MESSAGE_ID", event::kHandlerStuck});
  log::write(log::Level::error,
             fmt::format("{}: {}: aborting, as handlers.{}.abort_after says", who, what.text, who),
             fields);
  std::abort();
}

// What is dropped or wanted by nobody; what follows a report is summed up in the next.
void Supervisor::report_losses() {
  if (report_timer_) return;
  const auto report = [this](const Lane& lane, std::uint64_t messages, const char* what) {
    if (messages == 0) return;
    log::write(log::Level::warning,
               fmt::format("{}: {} {}", lane.name(), count(messages, "message"), what),
               {{"MQTT_HANDLER", lane.name()}});
    report_timer_ = true;
  };
  for (const auto& lane : dispatcher_.all_lanes()) {
    report(*lane, lane->take_unreported_drops(), "dropped: its queue is full");
    report(*lane, lane->take_unreported_expired(),
           "expired while they waited, and were not delivered");
    if (lane->log().tell_left_out()) report_timer_ = true;
  }
  if (const auto unrouted = dispatcher_.take_unrouted(); unrouted.messages > 0) {
    log::write(log::Level::warning,
               fmt::format("{} that no handler wants, one of them on {}: the broker keeps a "
                           "subscription of an earlier configuration, ignoring",
                           count(unrouted.messages, "message"), log::shown_topic(unrouted.topic)),
               {{"MQTT_TOPIC", unrouted.topic}});
    report_timer_ = true;
  }
  if (!report_timer_) return;
  loop_.once_after(kReports, [this] {
    report_timer_ = false;
    report_losses();
  });
}

void Supervisor::show_status() {
  if (status_timer_) return;
  send_status();
  status_timer_ = true;
  loop_.once_after(kStatusPause, [this] {
    status_timer_ = false;
    send_status();
  });
}

void Supervisor::send_status() {
  std::uint64_t dead = 0;
  for (const auto& lane : dispatcher_.lanes()) dead += lane->counts().dead;
  std::string status =
      fmt::format("{}{}; {}, {} waiting, {} given up", stopping_ ? "stopping: " : "",
                  describe(session_.state()), count(dispatcher_.lanes().size(), "handler"),
                  count(dispatcher_.waiting(), "message"), dead);
  if (const std::size_t unsent = dispatcher_.outbox().waiting(); unsent > 0)
    status += fmt::format(", {} to be published", unsent);
  std::vector<std::string> names;
  for (const auto& [who, what] : known_stuck_) names.push_back(who);
  if (!names.empty()) status += "; " + some_of(names) + " stuck";
  status += handlers_at_rest(dispatcher_) + refused_subscriptions(session_.state()) +
            left_behind(dispatcher_);
  // sd_notify takes a line a variable, and the reason may quote the broker.
  std::ranges::replace_if(
      status, [](unsigned char c) { return c < 0x20; }, ' ');
  if (status == status_) return;
  status_ = status;
  notify("STATUS=" + status);
}

}  // namespace fastmqttd
