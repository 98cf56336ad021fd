// Of the copies that a broker sends of one message, the one that each lane takes.
//
// A broker may send a message once per subscription that matches, each copy naming its own (MQTT
// 5.0 section 3.3.4).  A lane takes the copy for its first filter that is sure to get one.  What is
// sure is said by the session, as the broker answers; at first everything is.
//
// wants() is the receiving thread's; the rest any thread's.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "daemon/delivery/router.hpp"
#include "daemon/delivery/subscription_plan.hpp"
#include "daemon/message/message.hpp"

namespace fastmqttd {

class Copies {
 public:
  // The plan must outlive it.
  explicit Copies(const SubscriptionPlan& plan);

  // What SubscriptionPlan::carriers() said.  A copy for what another one carries is then one that
  // nobody counts on: it was queued before, and what else came with it is not known.
  void set_carriers(const std::vector<std::uint32_t>& carriers);
  // The QoS that the broker has granted to a subscription of the plan, -1 for none or when it is
  // not known: only where it is what was asked for is a copy sure to come.
  void set_granted(std::uint32_t place, int qos) { granted_[place] = qos; }

  // Whether this copy is the one that the route's lane takes.
  bool wants(const Route& route, const Message& message) const;

 private:
  // Whether all that the copy names is subscribed now: then it is known which others come with it.
  bool knows_all_of(const Message& message) const;
  // Whether a copy for this subscription is sure to come, of a message like this one.
  bool sure_to_come(std::uint32_t place, const Message& message) const;
  bool names(const Message& message, std::uint32_t place) const;

  const SubscriptionPlan& plan_;
  std::vector<std::atomic<std::uint32_t>> carrier_;  // by place
  std::vector<std::atomic<int>> granted_;            // by place
};

}  // namespace fastmqttd
