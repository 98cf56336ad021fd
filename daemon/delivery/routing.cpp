#include "daemon/delivery/routing.hpp"

#include <algorithm>
#include <utility>

namespace fastmqttd {
namespace {

bool contains(const std::vector<std::uint32_t>& places, std::uint32_t place) {
  return std::ranges::find(places, place) != places.end();
}

// Whether copies for it come of all that is published, be the daemon here or away.  Those of a
// shared one may go to another subscriber; of what this daemon publishes none comes where no_local
// says so; a retained message need not come again.
bool is_sure(const SubscriptionConfig& s, const Routing::Standing& standing,
             const Message& message) {
  return standing.granted >= std::min(s.qos, 1) && !s.topic.shared() && !s.no_local &&
         !(message.retain() && s.retain_handling_options != 0);
}

}  // namespace

Routing::State::State(const SubscriptionPlan& plan)
    : router(plan), standings(plan.subscriptions().size()) {
  for (std::uint32_t place = 0; place < standings.size(); ++place)
    standings[place] = {plan.subscriptions()[place].qos, ++last};
  const auto carriers = plan.carriers(std::vector<bool>(standings.size()), /*identifiers=*/true);
  for (std::uint32_t place = 0; place < standings.size(); ++place)
    if (carriers[place] != place) standings[place] = {};
}

Routing::Routing(const std::vector<std::vector<SubscriptionConfig>>& by_lane)
    : plan_(by_lane), state_(plan_) {}

bool Routing::find(const Message& message, std::vector<std::uint32_t>& lanes) {
  auto state = state_.lock();
  lanes.clear();
  const Router::Match& match = state->router.match(message.topic());
  const bool known = knows_copies(message, match, *state);
  for (const Route& route : match.routes)
    if (!known || takes(route, match, message, *state)) lanes.push_back(route.lane);
  return !match.routes.empty();
}

// Without identifiers nothing is known, but then no message is sent twice either: see Subscriber.
bool Routing::knows_copies(const Message& message, const Router::Match& match, State& state) const {
  state.named.clear();
  for (const std::uint32_t identifier : message.subscription_ids()) {
    const std::optional<std::uint32_t> place = plan_.place(identifier);
    if (!place || state.standings[*place].granted < 0 || !contains(match.subscriptions, *place))
      return false;
    state.named.push_back(*place);
  }
  return !state.named.empty();
}

bool Routing::takes(const Route& route, const Router::Match& match, const Message& message,
                    const State& state) const {
  const auto& subscriptions = plan_.subscriptions();
  const auto rank = [&](std::uint32_t place, int qos) {
    return std::pair(state.standings[place].granted < qos, state.standings[place].since);
  };
  std::optional<std::uint32_t> chosen;
  std::pair<bool, std::uint64_t> best;
  bool named = false;
  for (const std::uint32_t filter : route.filters) {
    const SubscriptionConfig& wanted = subscriptions[filter];
    for (const std::uint32_t place : match.subscriptions) {
      const SubscriptionConfig& s = subscriptions[place];
      if (state.standings[place].granted < 0) continue;
      if (place != filter && !may_stand_for(s, wanted)) continue;
      named = named || contains(state.named, place);
      if (!is_sure(s, state.standings[place], message)) continue;
      const auto this_rank = rank(place, wanted.qos);
      if (chosen && best <= this_rank) continue;
      chosen = place;
      best = this_rank;
    }
  }
  // Where no copy is sure each one counts.
  return chosen ? contains(state.named, *chosen) : named;
}

void Routing::expect(const std::vector<Standing>& standings) {
  auto state = state_.lock();
  state->standings = standings;
  for (const Standing& standing : standings) state->last = std::max(state->last, standing.since);
}

// It is made anew when its copies were not sure to come before.
void Routing::set_granted(std::uint32_t place, int qos) {
  auto state = state_.lock();
  Standing& standing = state->standings[place];
  const int least = std::min(plan_.subscriptions()[place].qos, 1);
  if (qos >= 0 && (standing.granted < least || standing.since == 0)) standing.since = ++state->last;
  standing.granted = qos;
}

}  // namespace fastmqttd
