#include "daemon/delivery/dispatcher.hpp"

#include <algorithm>
#include <optional>

namespace fastmqttd {
namespace {

std::vector<std::unique_ptr<Lane>> make_lanes(const std::vector<HandlerToRun>& handlers,
                                              Outbox& outbox,
                                              const std::function<void()>& attention) {
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<Problem> problems;
  for (const HandlerToRun& handler : handlers) {
    try {
      lanes.push_back(std::make_unique<Lane>(handler.config, *handler.library, outbox, attention));
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
                       const std::function<void()>& attention)
    : lanes_(make_lanes(handlers, outbox_, attention)),
      plan_(filters_of(handlers)),
      router_(plan_),
      refused_(plan_.subscriptions().size()),
      attention_(attention) {}

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
  return !refused_[place] && !subscription.topic.shared() &&
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
    if (message->qos() > 0 && !lane.has_room(message->memory_bytes())) {
      full_lane_ = &lane;
      full_bytes_ = message->memory_bytes();
      return false;
    }
    targets_.push_back(&lane);
  }
  for (Lane* lane : targets_) lane->push(message);
  return true;
}

bool Dispatcher::has_drained() {
  Lane* const full = full_lane_;
  if (full && !full->has_room(full_bytes_)) return false;
  return std::ranges::all_of(lanes_, [](const auto& lane) { return lane->has_drained(); });
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
