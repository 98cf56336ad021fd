// From a message to the lanes that take it.
//
// A broker may send a message once per subscription that matches, each copy naming its own (MQTT
// 5.0 section 3.3.4).  A lane takes one of them: of those that bring it what it asked for, that of
// the oldest subscription.  A message that was published before a younger one was made has no copy
// for that, whenever it comes: a subscription is preferred for its QoS only once it has been there
// before the connection or the reload at hand.  A copy that names what is not known to be
// subscribed is taken by all: which others come with it cannot be known.
//
// The lanes and what they want may change while messages come; see change().  As long as a lane has
// nothing but subscriptions that are as young as that, what leaves brings it its messages, however
// it was subscribed.  Where it is not certain that two copies are of one message both are taken.
//
// A retained message that the broker sends because of a subscription (section 3.3.1.3) is for the
// lanes that are as new as that: not for those that had it before.
//
// Any thread may call.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/delivery/router.hpp"
#include "daemon/delivery/subscription_plan.hpp"
#include "daemon/message/message.hpp"

namespace fastmqttd {

class Routing {
 public:
  using Filters = std::vector<std::vector<SubscriptionConfig>>;
  using PlanPtr = std::shared_ptr<const SubscriptionPlan>;

  // The filters of each lane; the lane's number is its place.  At first all that is planned counts
  // as subscribed.
  explicit Routing(const Filters& by_lane);

  // What is to be subscribed now.
  PlanPtr plan() { return (*state_.lock())->plan; }
  // The same, with the places whose retained messages lanes are waiting for.
  struct Wanted {
    PlanPtr plan;
    std::set<std::uint32_t> retained;
  };
  Wanted wanted();
  // All of that plan is subscribed.
  void is_subscribed(const PlanPtr& plan);
  // From the next message on other lanes want other filters.  What is subscribed stays so until the
  // broker says otherwise.  `before`, by lane: the number that it had before, if it was there.
  void change(const Filters& by_lane, const std::vector<std::optional<std::uint32_t>>& before);

  // The lanes that take the message, in order; false when none wants its topic at all.
  bool find(const Message& message, std::vector<std::uint32_t>& lanes);

  // Everything is about to be subscribed anew.
  void all_are_new();

  // How a subscription stands at the broker.
  struct Standing {
    int granted = kNone;           // the QoS
    std::uint64_t since = 0;       // grows with each that is made; 0: not made
    std::uint32_t identifier = 0;  // that it was made with; 0: that of the plan
    bool operator==(const Standing&) const = default;
  };
  static constexpr int kNone = -1;  // refused, or not subscribed, or not known

  // Before a connection: what the broker's session has, by filter.
  void expect(const std::map<std::string, Standing>& standings);
  // What the broker has answered to a subscription with that identifier; kNone for refused and
  // unsubscribed.  Of filters that are neither planned nor leaving nothing needs to be known.
  void set_granted(const std::string& filter, int qos, std::uint32_t identifier = 0);
  Standing standing(const std::string& filter);

 private:
  struct State {
    explicit State(PlanPtr the_plan)
        : plan(std::move(the_plan)), router(*plan), standings(plan->places()) {}
    PlanPtr plan;
    Router router;
    std::vector<Standing> standings;   // by place
    std::uint64_t last = 0;            // the youngest
    std::uint64_t before = 0;          // those up to this were there before what is at hand
    std::vector<bool> is_new;          // by lane: retained messages are for it
    std::vector<bool> is_pending;      // likewise: and they have still to be asked for
    std::vector<std::uint32_t> named;  // by the message at hand
  };

  // What the copy names, in `state.named`; false when it is not known what other copies there are.
  bool knows_copies(const Message& message, const Router::Match& match, State& state) const;
  bool takes(const Route& route, const Router::Match& match, const Message& message,
             const State& state) const;
  enum class Leaving { brings_nothing, brings_some, brings_all };
  Leaving by_what_leaves(const Route& route, const Router::Match& match, const Message& message,
                         const State& state, bool& named) const;
  static bool is_leaving(std::uint32_t place, const State& state);
  bool may_be_live(const Router::Match& match, const State& state) const;

  Guarded<std::unique_ptr<State>> state_;
};

}  // namespace fastmqttd
