// Every handler behind one door: what is received goes in, and reaches the lanes that want it.
//
// accept() is called by the receiving thread and never waits for a handler; the rest by main.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "daemon/delivery/lane.hpp"
#include "daemon/delivery/router.hpp"
#include "daemon/delivery/subscription_plan.hpp"

namespace fastmqttd {

// A handler that is to run: its effective config and the plugin behind it.
struct HandlerToRun {
  HandlerConfig config;
  const HandlerLibrary* library = nullptr;
};

class Dispatcher {
 public:
  // Makes an instance of each.  Throws StartError with the problems of all of them.
  Dispatcher(const std::vector<HandlerToRun>& handlers, const std::function<void()>& attention);

  const SubscriptionPlan& plan() const { return plan_; }
  const std::vector<std::unique_ptr<Lane>>& lanes() const { return lanes_; }
  void start();

  // [receiving thread] True when every handler that wants the message has it.  False, and then none
  // has it, when one of them has no room: it must not be acknowledged.
  bool accept(const MessagePtr& message);
  // Whether it is worth receiving again after a refusal.
  bool has_drained();

  void close();
  void abandon();
  bool finished() const;
  std::size_t waiting();
  std::uint64_t unrouted() const { return unrouted_; }

 private:
  // Whether this copy of a message is the one that the route's lane takes.
  bool wants(const Route& route, const Message& message) const;

  std::vector<std::unique_ptr<Lane>> lanes_;
  SubscriptionPlan plan_;
  Router router_;
  std::vector<Lane*> targets_;  // of the message at hand; the receiving thread's own
  std::atomic<std::uint64_t> unrouted_{0};
};

}  // namespace fastmqttd
