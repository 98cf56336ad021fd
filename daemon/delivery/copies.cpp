#include "daemon/delivery/copies.hpp"

#include <algorithm>
#include <optional>

namespace fastmqttd {

Copies::Copies(const SubscriptionPlan& plan)
    : plan_(plan),
      carrier_(plan.subscriptions().size()),
      granted_(plan.subscriptions().size()) {
  for (std::uint32_t place = 0; place < granted_.size(); ++place)
    granted_[place] = plan.subscriptions()[place].qos;
  set_carriers(plan.carriers(std::vector<bool>(carrier_.size()), /*identifiers=*/true));
}

// First that it is not to be counted on, then who is.
void Copies::set_carriers(const std::vector<std::uint32_t>& carriers) {
  for (std::uint32_t place = 0; place < carriers.size(); ++place) {
    if (carriers[place] != place) granted_[place] = -1;
    carrier_[place] = carriers[place];
  }
}

bool Copies::wants(const Route& route, const Message& message) const {
  if (!knows_all_of(message)) return true;
  for (const std::uint32_t filter : route.filters) {
    const std::uint32_t place = carrier_[filter];
    if (sure_to_come(place, message)) return names(message, place);
  }
  // No copy is sure: each one counts.
  return std::ranges::any_of(route.filters, [&](std::uint32_t filter) {
    return names(message, carrier_[filter]);
  });
}

// Without identifiers nothing is known, but then no message is sent twice either: see Subscriber.
bool Copies::knows_all_of(const Message& message) const {
  const auto known = [&](std::uint32_t identifier) {
    const std::optional<std::uint32_t> place = plan_.place(identifier);
    return place && granted_[*place] >= 0 &&
           plan_.subscriptions()[*place].topic.matches(message.topic());
  };
  return !message.subscription_ids().empty() &&
         std::ranges::all_of(message.subscription_ids(), known);
}

bool Copies::sure_to_come(std::uint32_t place, const Message& message) const {
  const SubscriptionConfig& subscription = plan_.subscriptions()[place];
  // A shared one may go to another subscriber, a retained one need not come at all.
  // Of what this daemon publishes none comes where no_local says so.
  return granted_[place] >= subscription.qos && !subscription.no_local &&
         !subscription.topic.shared() &&
         !(message.retain() && subscription.retain_handling_options != 0);
}

bool Copies::names(const Message& message, std::uint32_t place) const {
  return std::ranges::find(message.subscription_ids(), plan_.identifier(place)) !=
         message.subscription_ids().end();
}

}  // namespace fastmqttd
