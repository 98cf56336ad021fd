// Brings what is subscribed at the broker in line with the plan: subscribes in packets that the
// broker takes, tells the dispatcher's side and the operator what was refused, and unsubscribes
// what an earlier configuration has left.
//
// The session's owner only.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "daemon/delivery/subscription_plan.hpp"
#include "daemon/session/client.hpp"
#include "daemon/session/kept_session.hpp"

namespace fastmqttd {

class Subscriber {
 public:
  // Called, with a place of the plan, for what the broker is not even asked for.
  using NotAsked = std::function<void(std::uint32_t place)>;

  // All must outlive it.
  Subscriber(const SubscriptionPlan& plan, KeptSession& kept, NotAsked not_asked);

  // False when the connection did not last.
  bool subscribe(Client& client, const Client::KeepWaiting& keep_waiting);

 private:
  bool subscribe_to(const std::vector<std::uint32_t>& places, Client& client,
                    const Client::KeepWaiting& keep_waiting);
  bool unsubscribe(const std::set<std::string>& filters, Client& client,
                   const Client::KeepWaiting& keep_waiting);
  std::vector<Client::SubscribeRequest> packets(const std::vector<std::uint32_t>& places,
                                                const Client& client);
  // Why the broker of this connection cannot be asked for it; empty when it can.
  std::string cannot_subscribe(std::uint32_t place, const Client& client, int& code) const;
  void judge(std::uint32_t place, int code);
  void refuse(std::uint32_t place, int code, const std::string& why);

  const SubscriptionPlan& plan_;
  KeptSession& kept_;
  const NotAsked not_asked_;
  std::vector<bool> refused_;     // by place, on the connection at hand
  std::set<std::string> active_;  // what was subscribed on it
};

}  // namespace fastmqttd
