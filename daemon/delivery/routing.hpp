// From a message to the lanes that take it.
//
// A broker may send a message once per subscription that matches, each copy naming its own (MQTT
// 5.0 section 3.3.4).  A lane takes one of them: of those that bring it what it asked for, that of
// the oldest subscription.  A message that was published before a younger one was made has no copy
// for that, whenever it comes.  A copy that names what is not known to be subscribed is taken by
// all: which others come with it cannot be known.
//
// The lanes and what they want may change while messages come; see change().
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
  // From the next message on other lanes want other filters.  What is subscribed stays so until the
  // broker says otherwise.  `is_new`, by lane: whether it was not there before.
  void change(const Filters& by_lane, std::vector<bool> is_new);

  // The lanes that take the message, in order; false when none wants its topic at all.
  bool find(const Message& message, std::vector<std::uint32_t>& lanes);

  // The places whose retained messages lanes are waiting for that are new.
  std::set<std::uint32_t> wanted_by_new_lanes();
  // Everything is about to be subscribed anew.
  void all_are_new();

  // How a subscription stands at the broker.
  struct Standing {
    int granted = kNone;      // the QoS
    std::uint64_t since = 0;  // grows with each that is made; 0: not made
    bool operator==(const Standing&) const = default;
  };
  static constexpr int kNone = -1;  // refused, or not subscribed, or not known

  // Before a connection: what the broker's session has, by filter.
  void expect(const std::map<std::string, Standing>& standings);
  // What the broker has answered; kNone for refused and unsubscribed.  Of filters that are neither
  // planned nor leaving nothing needs to be known.
  void set_granted(const std::string& filter, int qos);
  Standing standing(const std::string& filter);

 private:
  struct State {
    explicit State(PlanPtr the_plan)
        : plan(std::move(the_plan)), router(*plan), standings(plan->places()) {}
    PlanPtr plan;
    Router router;
    std::vector<Standing> standings;   // by place
    std::uint64_t last = 0;            // the youngest
    std::vector<bool> is_new;          // by lane
    std::vector<std::uint32_t> named;  // by the message at hand
  };

  // What the copy names, in `state.named`; false when it is not known what other copies there are.
  bool knows_copies(const Message& message, const Router::Match& match, State& state) const;
  bool takes(const Route& route, const Router::Match& match, const Message& message,
             const State& state) const;
  bool may_be_live(const Router::Match& match, const State& state) const;

  Guarded<std::unique_ptr<State>> state_;
};

}  // namespace fastmqttd
