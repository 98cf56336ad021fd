// What is subscribed at the broker: one subscription per distinct filter of all handlers, with the
// strictest of the options asked, in a fixed order.
//
// Where a wider one brings the same messages a narrower one is not sent to the broker at all.
//
// On MQTT 5 each gets a subscription identifier, so that a copy the broker sends names the filters
// it is for: see Copies.  The identifier holds the place in the plan and, in the bits that are
// left, a tag of the whole plan: a copy that was queued under an earlier configuration carries
// another tag and is not mistaken for a duplicate.  Subscribing in plan order keeps that true while
// the subscriptions of a kept session are being replaced.  An identifier that a handler asked for
// goes to the broker instead when the filter overlaps with no other, for then nothing has to be
// told apart; the handler sees its own in any case, see Worker.
//
// Immutable; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/message/topic_filter.hpp"

namespace fastmqttd {

class SubscriptionPlan {
 public:
  // The filters of each lane; the lane's number is its place.
  explicit SubscriptionPlan(const std::vector<std::vector<SubscriptionConfig>>& by_lane);

  // In the order to subscribe: plain before shared, higher QoS first.
  const std::vector<SubscriptionConfig>& subscriptions() const { return subscriptions_; }
  // For each lane the places of its filters in subscriptions().
  const std::vector<std::vector<std::uint32_t>>& lane_filters() const { return lane_filters_; }

  // The MQTT 5 subscription identifier for a place: the one asked for, where it can do no harm; 0
  // when there are too many filters to have one.
  std::uint32_t identifier(std::uint32_t place) const;
  // The place that an identifier names; nothing when it belongs to another plan.
  std::optional<std::uint32_t> place(std::uint32_t identifier) const;

  // For each place that of the subscription which brings its messages: itself, or a wider one that
  // covers it and is not `refused`.  With `identifiers` only one that asks for the same does: where
  // the options differ copies are told apart.  Fewer copies are cheaper, and mosquitto 2.0.11 keeps
  // but one of them when it is restarted while its subscriber is away.
  std::vector<std::uint32_t> carriers(const std::vector<bool>& refused, bool identifiers) const;
  // The QoS to subscribe with: the highest of a subscription and all that it may carry.
  int qos(std::uint32_t place, bool identifiers) const { return covers(identifiers).qos[place]; }

 private:
  struct Covers {
    std::vector<std::vector<std::uint32_t>> by;  // by place, the places of those that cover it
    std::vector<int> qos;                        // by place
  };

  void find_covers();
  const Covers& covers(bool identifiers) const { return identifiers ? alike_ : all_; }
  void choose_identifiers();

  std::vector<SubscriptionConfig> subscriptions_;
  std::vector<std::vector<std::uint32_t>> lane_filters_;
  Covers all_;
  Covers alike_;                                  // by those that ask for the same
  std::map<std::uint32_t, std::uint32_t> asked_;  // identifier to place, where it is used
  unsigned place_bits_ = 1;
  std::uint32_t tag_ = 0;
};

}  // namespace fastmqttd
