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
  state.is_pending.assign(by_lane.size(), true);
  const auto& subscriptions = state.plan->subscriptions();
  for (std::uint32_t place = 0; place < subscriptions.size(); ++place)
    state.standings[place] = {subscriptions[place].qos, ++state.last};
  const auto carriers =
      state.plan->carriers(std::vector<bool>(subscriptions.size()), /*identifiers=*/true);
  for (std::uint32_t place = 0; place < subscriptions.size(); ++place)
    if (carriers[place] != place) state.standings[place] = {};
  state.before = state.last;
}

void Routing::change(const Filters& by_lane,
                     const std::vector<std::optional<std::uint32_t>>& lanes_before) {
  auto locked = state_.lock();
  const State& before = **locked;
  std::vector<SubscriptionPlan::Earlier> earlier;
  std::map<std::string, Standing> standings;
  for (std::uint32_t place = 0; place < before.plan->places(); ++place) {
    const Standing& standing = before.standings[place];
    if (standing.granted < 0) continue;
    const SubscriptionConfig& s = before.plan->at(place);
    earlier.push_back(
        {s, standing.identifier != 0 ? standing.identifier : before.plan->identifier(place)});
    standings[s.topic.text()] = standing;
    standings[s.topic.text()].identifier = earlier.back().identifier;
  }
  auto after = std::make_unique<State>(
      std::make_shared<const SubscriptionPlan>(by_lane, std::move(earlier)));
  for (const auto& [filter, standing] : standings)
    after->standings[after->plan->place(filter).value()] = standing;
  after->before = after->last = before.last;
  for (const auto& lane : lanes_before) {
    after->is_pending.push_back(!lane || before.is_pending[*lane]);
    after->is_new.push_back(after->is_pending.back());
  }
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
  // Only of those that were there before is it certain that a message has a copy for them.
  const auto was_there = [&](std::uint32_t place) {
    return state.standings[place].since <= state.before;
  };
  const auto rank = [&](std::uint32_t place, int qos) {
    const bool worse = !was_there(place) || state.standings[place].granted < qos;
    return std::pair(worse, state.standings[place].since);
  };
  std::optional<std::uint32_t> chosen;
  std::pair<bool, std::uint64_t> best;
  bool named = false, any_was_there = false;
  for (const std::uint32_t filter : route.filters) {
    const SubscriptionConfig& wanted = state.plan->at(filter);
    for (const std::uint32_t place : match.subscriptions) {
      const SubscriptionConfig& s = state.plan->at(place);
      if (is_leaving(place, state) || state.standings[place].granted < 0) continue;
      if (place != filter && !may_stand_for(s, wanted)) continue;
      named = named || contains(state.named, place);
      if (!is_sure(s, state.standings[place], message)) continue;
      any_was_there = any_was_there || was_there(place);
      const auto this_rank = rank(place, wanted.qos);
      if (chosen && best <= this_rank) continue;
      chosen = place;
      best = this_rank;
    }
  }
  // Where no copy is sure each one counts.
  const bool planned = chosen ? contains(state.named, *chosen) : named;
  if (any_was_there) return planned;
  bool leaving = false;
  switch (by_what_leaves(route, match, message, state, leaving)) {
    case Leaving::brings_all: return leaving;
    case Leaving::brings_some: return leaving || planned;
    case Leaving::brings_nothing: break;
  }
  return planned;
}

bool Routing::is_leaving(std::uint32_t place, const State& state) {
  return place >= state.plan->subscriptions().size();
}

// Whether subscriptions that nobody wants any more bring the lane all that is published, or some of
// it; and whether the copy is one of theirs.
Routing::Leaving Routing::by_what_leaves(const Route& route, const Router::Match& match,
                                         const Message& message, const State& state,
                                         bool& named) const {
  int wanted_qos = 0;
  for (const std::uint32_t filter : route.filters)
    wanted_qos = std::max(wanted_qos, state.plan->at(filter).qos);
  std::optional<std::uint32_t> oldest;
  bool any_named = false;
  for (const std::uint32_t place : match.subscriptions) {
    const Standing& standing = state.standings[place];
    if (!is_leaving(place, state) || standing.granted < 0) continue;
    any_named = any_named || contains(state.named, place);
    const bool all = is_sure(state.plan->at(place), standing, message) &&
                     standing.granted >= std::min(wanted_qos, 1);
    if (all && (!oldest || standing.since < state.standings[*oldest].since)) oldest = place;
  }
  named = oldest ? contains(state.named, *oldest) : any_named;
  if (oldest) return Leaving::brings_all;
  return any_named ? Leaving::brings_some : Leaving::brings_nothing;
}

void Routing::expect(const std::map<std::string, Standing>& standings) {
  auto locked = state_.lock();
  State& state = **locked;
  state.standings.assign(state.plan->places(), {});
  for (const auto& [filter, standing] : standings) {
    state.last = std::max(state.last, standing.since);
    if (const auto place = state.plan->place(filter)) state.standings[*place] = standing;
  }
  state.before = state.last;
}

// It is made anew when its copies were not sure to come before.
void Routing::set_granted(const std::string& filter, int qos, std::uint32_t identifier) {
  auto locked = state_.lock();
  State& state = **locked;
  const auto place = state.plan->place(filter);
  if (!place) return;
  Standing& standing = state.standings[*place];
  const int least = std::min(state.plan->at(*place).qos, 1);
  if (qos >= 0 && (standing.granted < least || standing.since == 0)) standing.since = ++state.last;
  standing.granted = qos;
  standing.identifier = identifier;
}

Routing::Standing Routing::standing(const std::string& filter) {
  auto locked = state_.lock();
  const auto place = (*locked)->plan->place(filter);
  return place ? (*locked)->standings[*place] : Standing();
}

Routing::Wanted Routing::wanted() {
  auto locked = state_.lock();
  const State& state = **locked;
  Wanted wanted{state.plan, {}};
  for (std::uint32_t lane = 0; lane < state.is_pending.size(); ++lane)
    if (state.is_pending[lane])
      wanted.retained.insert(state.plan->lane_filters()[lane].begin(),
                             state.plan->lane_filters()[lane].end());
  return wanted;
}

void Routing::is_subscribed(const PlanPtr& plan) {
  auto locked = state_.lock();
  State& state = **locked;
  if (state.plan == plan) state.is_pending.assign(state.is_pending.size(), false);
}

void Routing::all_are_new() {
  auto locked = state_.lock();
  (*locked)->is_new.assign((*locked)->is_new.size(), true);
}

}  // namespace fastmqttd
