#include "daemon/delivery/crash_blame.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/events.hpp"
#include "daemon/base/log.hpp"
#include "daemon/config/words.hpp"
#include "daemon/delivery/retry_policy.hpp"

namespace fastmqttd {
namespace {

std::uint32_t most_crashes(const CrashNote& note, const RetryConfig& retry) {
  const std::uint32_t most = std::min(kMostCrashes, retry.attempts.value_or(kMostCrashes));
  return note.messages.size() > 1 ? std::max(most, 2u) : most;
}

// Why it is given up; empty to go on.
std::string reason_to_give_up(const CrashNote& note, const Backlog::Waiting& waiting,
                              const RetryConfig& retry) {
  if (note.crashed && waiting.crashes >= most_crashes(note, retry))
    return fmt::format("ended the daemon {}: the handler {}", count(waiting.crashes, "time"),
                       note.what);
  if (note.messages.size() > 1) return {};
  const std::chrono::nanoseconds age(realtime_ns() - waiting.message->received_ns());
  const char* reason =
      RetryPolicy(retry).give_up(waiting.failures, std::chrono::duration_cast<Duration>(age));
  return reason ? reason : "";
}

void say_again(const CrashNote& note, const Lane& lane, const std::vector<std::string>& topics) {
  log::write(
      log::Level::error,
      fmt::format("{}: {} in the last run at {}: {} tried again, alone", lane.name(), note.what,
                  topics.size() == 1 ? "a message on " + log::shown_topic(topics.front())
                                     : "one of " + count(topics.size(), "message"),
                  topics.size() == 1 ? "it is" : "each is"),
      {{"MESSAGE_ID", event::kHandlerDied},
       {"MQTT_HANDLER", lane.name()},
       {"MQTT_PLUGIN", lane.config().plugin},
       {"MQTT_TOPIC", topics.front()}});
}

constexpr std::uint32_t kRunsInARow = 4;  // more than one message takes
constexpr Duration kPause = std::chrono::seconds(10);
constexpr Duration kLongestPause = std::chrono::minutes(5);

}  // namespace

bool blame(const CrashNote& note, Lane& lane, Spool& spool) {
  const RetryConfig& retry = lane.config().retry;
  const auto backlog = spool.backlog(lane.key());
  Changes changes;
  std::vector<std::string> again;
  std::vector<Dead> dead;
  for (const InHand& one : note.messages) {
    auto waiting = backlog->one(one.message);
    if (!waiting || waiting->attempts >= one.attempt) continue;  // it has been answered since
    waiting->attempts = one.attempt;
    ++waiting->failures;
    ++waiting->crashes;
    const std::string reason = reason_to_give_up(note, *waiting, retry);
    if (!reason.empty()) {
      dead.push_back({waiting->message, lane.key(), waiting->attempts, reason});
      changes.list.emplace_back(dead.back());
      continue;
    }
    again.emplace_back(waiting->message->topic());
    const Duration pause = RetryPolicy(retry).pause(waiting->failures, 0.5);
    changes.list.emplace_back(RetryAt{one.message, lane.key(), waiting->attempts, waiting->failures,
                                      realtime_ns() + std::chrono::nanoseconds(pause).count(),
                                      waiting->crashes});
  }
  if (!changes.list.empty() && !spool.write_now(std::move(changes))) return false;
  if (!again.empty()) say_again(note, lane, again);
  for (const Dead& one : dead) lane.log().gave_up(*one.message, one.attempts, "dead", one.reason);
  lane.stats()->dead += dead.size();
  return true;
}

void suspend_if_it_crashes_often(const CrashNote& note, const Lane& lane) {
  if (!note.crashed || note.runs < kRunsInARow) return;
  Duration pause = kPause;
  for (std::uint32_t run = kRunsInARow; run < note.runs && pause < kLongestPause; ++run) pause *= 2;
  pause = std::min(pause, kLongestPause);
  lane.suspend_until(Clock::now() + pause);
  log::write(
      log::Level::error,
      fmt::format("{}: suspended: it has ended the last {} runs; one message is tried in {}, "
                  "and so on until one succeeds",
                  lane.name(), note.runs, format_duration(pause)),
      {{"MESSAGE_ID", event::kHandlerSuspended},
       {"MQTT_HANDLER", lane.name()},
       {"MQTT_PLUGIN", lane.config().plugin}});
}

}  // namespace fastmqttd
