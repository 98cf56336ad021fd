// From a message to the lanes that take it.
//
// A broker may send a message once per subscription that matches, each copy naming its own (MQTT
// 5.0 section 3.3.4).  A lane takes one of them: of those that bring it what it asked for, that of
// the oldest subscription.  A message that was published before a younger one was made has no copy
// for that, whenever it comes.  A copy that names what is not known to be subscribed is taken by
// all: which others come with it cannot be known.
//
// Any thread may call.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/delivery/router.hpp"
#include "daemon/delivery/subscription_plan.hpp"
#include "daemon/message/message.hpp"

namespace fastmqttd {

class Routing {
 public:
  // The filters of each lane; the lane's number is its place.  At first all that is planned counts
  // as subscribed.
  explicit Routing(const std::vector<std::vector<SubscriptionConfig>>& by_lane);

  const SubscriptionPlan& plan() const { return plan_; }

  // The lanes that take the message, in order; false when none wants its topic at all.
  bool find(const Message& message, std::vector<std::uint32_t>& lanes);

  // How a subscription stands at the broker.
  struct Standing {
    int granted = kNone;      // the QoS
    std::uint64_t since = 0;  // grows with each that is made; 0: not made
    bool operator==(const Standing&) const = default;
  };
  static constexpr int kNone = -1;  // refused, or not subscribed, or not known

  // Before a connection: what the broker's session has, by place of the plan.
  void expect(const std::vector<Standing>& standings);
  // What the broker has answered; kNone for refused.
  void set_granted(std::uint32_t place, int qos);
  Standing standing(std::uint32_t place) { return state_.lock()->standings[place]; }

 private:
  struct State {
    explicit State(const SubscriptionPlan& plan);
    Router router;
    std::vector<Standing> standings;   // by place
    std::uint64_t last = 0;            // the youngest
    std::vector<std::uint32_t> named;  // by the message at hand
  };

  // What the copy names, in `state.named`; false when it is not known what other copies there are.
  bool knows_copies(const Message& message, const Router::Match& match, State& state) const;
  bool takes(const Route& route, const Router::Match& match, const Message& message,
             const State& state) const;

  const SubscriptionPlan plan_;
  Guarded<State> state_;
};

}  // namespace fastmqttd
