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

std::uint32_t most_crashes(const RetryConfig& retry) {
  return std::min(kMostCrashes, retry.attempts.value_or(kMostCrashes));
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

void say_given_up(const Dead& dead, const Lane& lane) {
  const std::string attempts = std::to_string(dead.attempts);
  log::write(log::Level::error,
             fmt::format("{}: gave up on a message: {}: {} (attempt {})", lane.name(),
                         log::shown_topic(dead.message->topic()), dead.reason, attempts),
             {{"MESSAGE_ID", event::kDeadLetter},
              {"MQTT_HANDLER", lane.name()},
              {"MQTT_PLUGIN", lane.config().plugin},
              {"MQTT_TOPIC", dead.message->topic()},
              {"MQTT_QOS", std::to_string(dead.message->qos())},
              {"MQTT_RESULT", "dead"},
              {"MQTT_ATTEMPT", attempts}});
}

}  // namespace

void blame(const CrashNote& note, const Lane& lane, Spool& spool) {
  const RetryPolicy retry(lane.config().retry);
  const auto backlog = spool.backlog(lane.key());
  Changes changes;
  std::vector<std::string> again;
  for (const std::uint64_t id : note.messages) {
    auto waiting = backlog->one(id);
    if (!waiting) continue;
    const std::uint32_t attempts = waiting->attempts + 1, failures = waiting->failures + 1,
                        crashes = waiting->crashes + 1;
    if (crashes >= most_crashes(lane.config().retry)) {
      Dead dead{std::move(waiting->message), lane.key(), attempts,
                fmt::format("the handler {} at it {}", note.what, count(crashes, "time"))};
      say_given_up(dead, lane);
      ++lane.stats()->dead;
      changes.list.emplace_back(std::move(dead));
      continue;
    }
    again.emplace_back(waiting->message->topic());
    const auto due = realtime_ns() + std::chrono::nanoseconds(retry.pause(failures, 0.5)).count();
    changes.list.emplace_back(RetryAt{id, lane.key(), attempts, failures, due, crashes});
  }
  if (!again.empty()) say_again(note, lane, again);
  if (!changes.list.empty()) spool.write_now(std::move(changes));
}

}  // namespace fastmqttd
