#include "daemon/delivery/dispatcher.hpp"

#include <algorithm>
#include <optional>

#include "daemon/base/log.hpp"

namespace fastmqttd {
namespace {

constexpr Duration kStoreAgain = std::chrono::seconds(1);
constexpr Duration kStoreAgainMost = std::chrono::minutes(1);

std::vector<Spool::Handler> keys_of(const std::vector<HandlerToRun>& handlers, Spool* spool) {
  std::vector<Spool::Handler> keys;
  for (const HandlerToRun& handler : handlers)
    keys.push_back(spool ? spool->handler(handler.config.name) : 0);
  return keys;
}

std::vector<std::unique_ptr<Lane>> make_lanes(const std::vector<HandlerToRun>& handlers,
                                              const std::vector<Spool::Handler>& keys, Spool* spool,
                                              Outbox& outbox, bool optimistic,
                                              const std::function<void()>& attention) {
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<Problem> problems;
  for (std::size_t i = 0; i < handlers.size(); ++i) {
    const HandlerToRun& handler = handlers[i];
    const auto settled = [spool, key = keys[i]](const Message& message) {
      if (spool && message.qos() > 0) spool->settle(message.id(), key);
    };
    try {
      lanes.push_back(std::make_unique<Lane>(handler.config, *handler.library, outbox, optimistic,
                                             settled, attention));
    } catch (const StartError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  }
  if (!problems.empty()) throw StartError(problems);
  return lanes;
}

std::vector<std::vector<SubscriptionConfig>> filters_of(const std::vector<HandlerToRun>& handlers) {
  std::vector<std::vector<SubscriptionConfig>> filters;
  for (const HandlerToRun& handler : handlers)
    filters.push_back(handler.config.subscribe.value_or(std::vector<SubscriptionConfig>()));
  return filters;
}

}  // namespace

Dispatcher::Dispatcher(const std::vector<HandlerToRun>& handlers,
                       const std::function<void()>& attention, Spool* spool, bool optimistic)
    : spool_(spool),
      optimistic_(optimistic),
      spool_keys_(keys_of(handlers, spool)),
      lanes_(make_lanes(handlers, spool_keys_, spool, outbox_, optimistic, attention)),
      plan_(filters_of(handlers)),
      router_(plan_),
      granted_(plan_.subscriptions().size()),
      attention_(attention) {
  for (std::atomic<bool>& granted : granted_) granted = true;
}

std::size_t Dispatcher::restore() {
  if (!spool_) return 0;
  std::size_t restored = 0;
  std::uint64_t last = 0;
  for (const auto& [message, handler] : spool_->unsettled()) {
    message_ids_beyond(message->id());
    const auto lane = std::ranges::find(spool_keys_, handler);
    if (lane == spool_keys_.end()) continue;
    lanes_[static_cast<std::size_t>(lane - spool_keys_.begin())]->restore(message);
    if (message->id() != last) ++restored;
    last = message->id();
  }
  std::vector<std::string> names;
  for (const auto& lane : lanes_) names.push_back(lane->name());
  for (const auto& [name, messages] : spool_->of_others(names))
    log::write(log::Level::warning,
               fmt::format("{} messages wait in the spool for the handler {}, which is not "
                           "configured: they stay there until it is",
                           messages, name),
               {{"MQTT_HANDLER", name}});
  return restored;
}

void Dispatcher::start() {
  for (const auto& lane : lanes_) lane->start();
}

bool Dispatcher::wants(const Route& route, const Message& message) const {
  if (message.subscription_ids().empty()) return true;
  for (const std::uint32_t identifier : message.subscription_ids()) {
    const std::optional<std::uint32_t> place = plan_.place(identifier);
    // Of an earlier configuration: which other copies come with it is not known.
    if (!place || !plan_.subscriptions()[*place].topic.matches(message.topic())) return true;
  }
  for (const std::uint32_t place : route.filters)
    if (sure_to_come(place, message)) return names(message, place);
  // No copy is sure: each one counts.
  return std::ranges::any_of(route.filters,
                             [&](std::uint32_t place) { return names(message, place); });
}

bool Dispatcher::sure_to_come(std::uint32_t place, const Message& message) const {
  const SubscriptionConfig& subscription = plan_.subscriptions()[place];
  // A shared one may go to another subscriber, a retained one need not come at all.
  // Of what this daemon publishes none comes where no_local says so.
  return granted_[place] && !subscription.no_local && !subscription.topic.shared() &&
         !(message.retain() && subscription.retain_handling_options != 0);
}

bool Dispatcher::names(const Message& message, std::uint32_t place) const {
  return std::ranges::find(message.subscription_ids(), plan_.identifier(place)) !=
         message.subscription_ids().end();
}

bool Dispatcher::accept(const MessagePtr& message) {
  const std::vector<Route>& routes = router_.match(message->topic());
  if (routes.empty()) {
    auto unrouted = unrouted_.lock();
    unrouted->topic = message->topic();
    if (unrouted->messages++ == 0) attention_();
    return true;
  }
  targets_.clear();
  for (const Route& route : routes) {
    Lane& lane = *lanes_[route.lane];
    if (!wants(route, *message) || (lane.config().skip_retained && message->retain())) continue;
    // Only this thread adds to a queue: the room that one finds stays.
    if (message->qos() > 0 && !optimistic_ && !lane.has_room(message->memory_bytes())) {
      full_lane_ = &lane;
      full_bytes_ = message->memory_bytes();
      *why_refused_.lock() = "the queue of the handler " + lane.name() + " is full";
      return false;
    }
    targets_.push_back(route.lane);
  }
  if (message->qos() > 0 && !store(*message)) return false;
  for (const std::uint32_t lane : targets_) lanes_[lane]->push(message);
  return true;
}

bool Dispatcher::store(const Message& message) {
  if (!stores() || targets_.empty()) return true;
  target_keys_.clear();
  for (const std::uint32_t lane : targets_) target_keys_.push_back(spool_keys_[lane]);
  std::string why;
  if (spool_->append(message, target_keys_, why)) {
    store_pause_ = {};
    return true;
  }
  store_pause_ = std::clamp<Duration>(2 * store_pause_, kStoreAgain, kStoreAgainMost);
  store_again_ = Clock::now() + store_pause_;
  *why_refused_.lock() = "a message cannot be stored: " + why;
  return false;
}

bool Dispatcher::has_drained() {
  if (Clock::now() < store_again_.load()) return false;
  Lane* const full = full_lane_;
  if (full && !(full->has_drained() && full->has_room(full_bytes_))) return false;
  full_lane_ = nullptr;
  return true;
}

void Dispatcher::close() {
  for (const auto& lane : lanes_) lane->close();
}

void Dispatcher::abandon() {
  for (const auto& lane : lanes_) lane->abandon();
}

bool Dispatcher::finished() const {
  return std::ranges::all_of(lanes_, [](const auto& lane) { return lane->finished(); });
}

std::size_t Dispatcher::waiting() {
  std::size_t messages = 0;
  for (const auto& lane : lanes_) messages += lane->waiting();
  return messages;
}

}  // namespace fastmqttd
