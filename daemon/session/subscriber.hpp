// Brings what is subscribed at the broker in line with the plan: subscribes in packets that the
// broker takes, tells the dispatcher's side and the operator what was refused, and unsubscribes
// what an earlier configuration has left.
//
// The session's owner only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/delivery/routing.hpp"
#include "daemon/session/client.hpp"
#include "daemon/session/kept_session.hpp"

namespace fastmqttd {

class Subscriber {
 public:
  // Both must outlive it.  `routing` learns what is subscribed, in order with the messages by
  // Client's callbacks.
  Subscriber(Routing& routing, KeptSession& kept);

  // Before a connection to the broker that `kept` is about: what is sure to be delivered at once.
  void expect() const;
  // Subscribes everything; or, of a session that has what was subscribed before by this process,
  // what has changed since.  False when the connection did not last: then everything is open.
  bool subscribe(Client& client, const Client::KeepWaiting& keep_waiting, bool everything);
  // The filters that this broker would not subscribe, the latest time.
  std::vector<std::string> refused() const;
  // Whether the plan is another one than that which was subscribed last.
  bool is_behind() const { return plan_ != routing_.plan(); }

 private:
  bool subscribe_to(const std::vector<std::uint32_t>& places, Client& client,
                    const Client::KeepWaiting& keep_waiting);
  bool is_as_before(std::uint32_t place, bool identifiers, bool wanted_anew,
                    const KeptSession::Filters& before) const;
  bool unsubscribe(const KeptSession::Filters& filters, Client& client,
                   const Client::KeepWaiting& keep_waiting);
  bool unsubscribe_packet(const std::vector<std::string>& filters, Client& client,
                          const Client::KeepWaiting& keep_waiting);
  std::vector<std::vector<std::uint32_t>> packets(const std::vector<std::uint32_t>& places,
                                                  const Client& client);
  Client::SubscribeRequest request(const std::vector<std::uint32_t>& places,
                                   const Client& client) const;
  // Why the broker of this connection cannot be asked for it; empty when it can.
  std::string cannot_subscribe(std::uint32_t place, const Client& client, int& code) const;
  void judge(std::uint32_t place, int code, const SubscriptionConfig& request);
  const std::string& filter_at(std::uint32_t place) const {
    return plan_->subscriptions()[place].topic.text();
  }
  void refuse(std::uint32_t place, int code, const std::string& why);

  Routing& routing_;
  KeptSession& kept_;
  Routing::PlanPtr plan_;
  // How each filter was subscribed by this process, as the broker granted it.
  std::map<std::string, SubscriptionConfig> requested_;
  std::vector<bool> refused_;    // by place, on the connection at hand
  KeptSession::Filters active_;  // what the session has, as far as is known
};

}  // namespace fastmqttd
