#include "daemon/operate/status_json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "daemon/base/build_info.hpp"
#include "daemon/base/log.hpp"
#include "daemon/base/wall_time.hpp"
#include "daemon/config/schema.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

const std::int64_t kStarted = realtime_ns();

const char* name_of(SessionState::Phase phase) {
  switch (phase) {
    case SessionState::Phase::connecting: return "connecting";
    case SessionState::Phase::connected: return "connected";
    case SessionState::Phase::waiting: return "waiting";
    case SessionState::Phase::refusing: return "refusing";
    case SessionState::Phase::stopped: break;
  }
  return "stopped";
}

Json connection_json(const SessionState& session) {
  return {{"state", name_of(session.phase)}, {"since", local_time(session.since_ns)},
          {"broker", session.broker},        {"client_id", session.client_id},
          {"protocol", session.protocol},    {"connects", session.connects},
          {"reason", session.reason},        {"subscriptions_refused", session.refused},
          {"text", describe(session)}};
}

Json spool_json(Dispatcher& dispatcher, Spool& spool) {
  const Spool::Use use = spool.use();
  Json others = Json::array();
  for (const auto& [name, left] : dispatcher.left_for_others())
    others.push_back(
        {{"handler", name}, {"waiting", left.waiting}, {"dead_letters", left.dead_letters}});
  return {{"bytes", use.bytes},
          {"max_bytes", use.max_bytes},
          {"waiting", dispatcher.waiting()},
          {"not_configured", others}};
}

Json filters_json(const Lane& lane) {
  Json filters = Json::array();
  if (lane.config().subscribe)
    for (const SubscriptionConfig& s : *lane.config().subscribe)
      filters.push_back({{"filter", s.topic.text()}, {"qos", s.qos}});
  return filters;
}

Json trouble_json(const DeliveryLog& log) {
  const auto trouble = log.last_trouble();
  if (!trouble) return nullptr;
  return {
      {"time", local_time(trouble->time_ns)}, {"topic", trouble->topic}, {"text", trouble->what}};
}

Json stuck_json(const std::optional<Lane::Stuck>& stuck) {
  if (!stuck) return nullptr;
  return {{"seconds", seconds(stuck->since)}, {"topic", stuck->topic}};
}

Json next_try_json(const Lane& lane, TimePoint now) {
  const auto next = lane.next_try();
  return next ? Json(std::max(0.0, seconds(*next - now))) : Json();
}

}  // namespace

const char* state_of(Lane& lane) {
  if (lane.stuck(Clock::now())) return "stuck";
  if (!lane.started()) return "changing";
  if (lane.paused()) return "paused";
  return lane.suspended() ? "suspended" : "running";
}

Json handler_json(Lane& lane) {
  const TimePoint now = Clock::now();
  const Lane::Counts counts = lane.counts();
  const Outbox::Counts published = lane.publish_counts();
  const auto handling = lane.stats()->handling.Collect().histogram;
  const char* version = lane.library().handler->version;
  return {{"handler", lane.name()},
          {"plugin", lane.config().plugin},
          {"plugin_version", version ? Json(version) : Json()},
          {"filters", filters_json(lane)},
          {"workers", lane.config().workers},
          {"state", state_of(lane)},
          {"stuck", stuck_json(lane.stuck(now))},
          {"next_try_in_seconds", next_try_json(lane, now)},
          {"log_level", word_of(log::level_of(lane.name()))},
          {"waiting", lane.waiting()},
          {"waiting_in_memory", lane.unstored()},
          {"retrying", lane.retrying()},
          {"done", counts.ok},
          {"failed", counts.retry},
          {"rejected", counts.reject},
          {"given_up", counts.dead},
          {"dropped", counts.dropped},
          {"expired", counts.expired},
          {"dead_letters", lane.dead_letters()},
          {"published", published.published},
          {"not_published", published.failed},
          {"counters", lane.stats()->own.values()},
          {"handled", handling.sample_count},
          {"handling_seconds", handling.sample_sum},
          {"last_trouble", trouble_json(lane.log())}};
}

Json status_json(Dispatcher& dispatcher, const Session& session, Spool& spool) {
  Json handlers = Json::array();
  for (const LanePtr& lane : dispatcher.lanes()) handlers.push_back(handler_json(*lane));
  return {{"version", build::kVersion},
          {"started", local_time(kStarted)},
          {"connection", connection_json(session.state())},
          {"spool", spool_json(dispatcher, spool)},
          {"log_level", word_of(log::level())},
          {"publishing", dispatcher.outbox().waiting()},
          {"handlers", handlers}};
}

}  // namespace fastmqttd
