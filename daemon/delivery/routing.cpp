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

Routing::Routing(const Filters& by_lane)
    : state_(std::make_unique<State>(std::make_shared<const SubscriptionPlan>(by_lane))) {
  auto locked = state_.lock();
  State& state = **locked;
  state.is_new.assign(by_lane.size(), true);
  const auto& subscriptions = state.plan->subscriptions();
  for (std::uint32_t place = 0; place < subscriptions.size(); ++place)
    state.standings[place] = {subscriptions[place].qos, ++state.last};
  const auto carriers =
      state.plan->carriers(std::vector<bool>(subscriptions.size()), /*identifiers=*/true);
  for (std::uint32_t place = 0; place < subscriptions.size(); ++place)
    if (carriers[place] != place) state.standings[place] = {};
}

void Routing::change(const Filters& by_lane, std::vector<bool> is_new) {
  auto locked = state_.lock();
  const State& before = **locked;
  std::vector<SubscriptionPlan::Earlier> earlier;
  std::map<std::string, Standing> standings;
  for (std::uint32_t place = 0; place < before.plan->places(); ++place) {
    if (before.standings[place] == Standing{}) continue;
    const SubscriptionConfig& s = before.plan->at(place);
    earlier.push_back({s, before.plan->identifier(place)});
    standings[s.topic.text()] = before.standings[place];
  }
  auto after = std::make_unique<State>(
      std::make_shared<const SubscriptionPlan>(by_lane, std::move(earlier)));
  for (const auto& [filter, standing] : standings)
    after->standings[after->plan->place(filter).value()] = standing;
  after->last = before.last;
  after->is_new = std::move(is_new);
  *locked = std::move(after);
}

bool Routing::find(const Message& message, std::vector<std::uint32_t>& lanes) {
  auto locked = state_.lock();
  State& state = **locked;
  lanes.clear();
  const Router::Match& match = state.router.match(message.topic());
  const bool known = knows_copies(message, match, state);
  const bool for_new = message.retain() && !may_be_live(match, state);
  for (const Route& route : match.routes) {
    if (known && !takes(route, match, message, state)) continue;
    if (for_new && !state.is_new[route.lane]) continue;
    lanes.push_back(route.lane);
  }
  return !match.subscriptions.empty();
}

// With retain_as_published the flag says nothing of when it was published (MQTT 5.0
// section 3.3.1.3).
bool Routing::may_be_live(const Router::Match& match, const State& state) const {
  return std::ranges::any_of(match.subscriptions, [&](std::uint32_t place) {
    return state.plan->at(place).retain_as_published;
  });
}

// Without identifiers nothing is known, but then no message is sent twice either: see Subscriber.
bool Routing::knows_copies(const Message& message, const Router::Match& match, State& state) const {
  state.named.clear();
  for (const std::uint32_t identifier : message.subscription_ids()) {
    const std::optional<std::uint32_t> place = state.plan->place(identifier);
    if (!place || state.standings[*place].granted < 0 || !contains(match.subscriptions, *place))
      return false;
    state.named.push_back(*place);
  }
  return !state.named.empty();
}

bool Routing::takes(const Route& route, const Router::Match& match, const Message& message,
                    const State& state) const {
  const auto rank = [&](std::uint32_t place, int qos) {
    return std::pair(state.standings[place].granted < qos, state.standings[place].since);
  };
  std::optional<std::uint32_t> chosen;
  std::pair<bool, std::uint64_t> best;
  bool named = false;
  for (const std::uint32_t filter : route.filters) {
    const SubscriptionConfig& wanted = state.plan->at(filter);
    for (const std::uint32_t place : match.subscriptions) {
      const SubscriptionConfig& s = state.plan->at(place);
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

void Routing::expect(const std::map<std::string, Standing>& standings) {
  auto locked = state_.lock();
  State& state = **locked;
  state.standings.assign(state.plan->places(), {});
  for (const auto& [filter, standing] : standings) {
    state.last = std::max(state.last, standing.since);
    if (const auto place = state.plan->place(filter)) state.standings[*place] = standing;
  }
}

// It is made anew when its copies were not sure to come before.
void Routing::set_granted(const std::string& filter, int qos) {
  auto locked = state_.lock();
  State& state = **locked;
  const auto place = state.plan->place(filter);
  if (!place) return;
  Standing& standing = state.standings[*place];
  const int least = std::min(state.plan->at(*place).qos, 1);
  if (qos >= 0 && (standing.granted < least || standing.since == 0)) standing.since = ++state.last;
  standing.granted = qos;
}

Routing::Standing Routing::standing(const std::string& filter) {
  auto locked = state_.lock();
  const auto place = (*locked)->plan->place(filter);
  return place ? (*locked)->standings[*place] : Standing();
}

std::set<std::uint32_t> Routing::wanted_by_new_lanes() {
  auto locked = state_.lock();
  const State& state = **locked;
  std::set<std::uint32_t> places;
  for (std::uint32_t lane = 0; lane < state.is_new.size(); ++lane)
    if (state.is_new[lane])
      places.insert(state.plan->lane_filters()[lane].begin(),
                    state.plan->lane_filters()[lane].end());
  return places;
}

void Routing::all_are_new() {
  auto locked = state_.lock();
  (*locked)->is_new.assign((*locked)->is_new.size(), true);
}

}  // namespace fastmqttd
