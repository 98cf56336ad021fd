// What is subscribed at the broker: one subscription per distinct filter of all handlers, with the
// strictest of the options asked, in a fixed order.
//
// Where a wider one brings the same messages a narrower one is not sent to the broker at all.
//
// On MQTT 5 each gets a subscription identifier, so that a copy the broker sends names the filters
// it is for: see Routing.  It follows from the filter and its options, so that it is the same in
// every configuration, and a copy that was queued under another one is known for what it is.  An
// identifier that a handler asked for goes to the broker instead when the filter overlaps with no
// other, for then nothing has to be told apart; the handler sees its own in any case, see Worker.
//
// While one plan follows another the broker still has subscriptions that are on their way out. They
// are known here too, in places behind the planned ones: what they bring has to be told apart from
// what those bring.
//
// Immutable; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/message/topic_filter.hpp"

namespace fastmqttd {

class SubscriptionPlan {
 public:
  // What the broker has from before.
  struct Earlier {
    SubscriptionConfig subscription;
    std::uint32_t identifier = 0;  // that it was made with
  };

  // The filters of each lane; the lane's number is its place.
  explicit SubscriptionPlan(const std::vector<std::vector<SubscriptionConfig>>& by_lane,
                            std::vector<Earlier> earlier = {});

  // In the order to subscribe: plain before shared, higher QoS first.
  const std::vector<SubscriptionConfig>& subscriptions() const { return subscriptions_; }
  // Of `earlier`, the filters that no lane wants any more.
  const std::vector<Earlier>& leaving() const { return leaving_; }
  // Of both, leaving() behind subscriptions().
  std::uint32_t places() const {
    return static_cast<std::uint32_t>(subscriptions_.size() + leaving_.size());
  }
  const SubscriptionConfig& at(std::uint32_t place) const {
    return place < subscriptions_.size() ? subscriptions_[place]
                                         : leaving_[place - subscriptions_.size()].subscription;
  }
  // For each lane the places of its filters in subscriptions().
  const std::vector<std::vector<std::uint32_t>>& lane_filters() const { return lane_filters_; }

  // The MQTT 5 subscription identifier for a place: the one asked for, where it can do no harm.
  std::uint32_t identifier(std::uint32_t place) const { return identifiers_[place]; }
  // The place that an identifier names, perhaps one that its filter had before; nothing when it
  // belongs to none of these.
  std::optional<std::uint32_t> place(std::uint32_t identifier) const;
  // That of a filter, as it was written.
  std::optional<std::uint32_t> place(const std::string& filter) const;

  bool lanes_want(const std::string& filter) const {
    const auto found = by_filter_.find(filter);
    return found != by_filter_.end() && found->second < subscriptions_.size();
  }

  // For each place that of the subscription which brings its messages: itself, or a wider one that
  // covers it and is not `refused`.  With `identifiers` only one that asks for the same does: where
  // the options differ copies are told apart.  Fewer copies are cheaper, and mosquitto 2.0.11 keeps
  // but one of them when it is restarted while its subscriber is away.
  std::vector<std::uint32_t> carriers(const std::vector<bool>& refused, bool identifiers) const;
  // What to subscribe with: the highest QoS of a subscription and all that it may carry and, where
  // these differ, the options that keep nothing away from any of them.
  const SubscriptionConfig& request(std::uint32_t place, bool identifiers) const {
    return covers(identifiers).requests[place];
  }
  // Whether options differ where one covers another.
  bool mixes_options() const { return mixes_options_; }

 private:
  struct Covers {
    std::vector<std::vector<std::uint32_t>> by;  // by place, the places of those that cover it
    std::vector<SubscriptionConfig> requests;    // by place
  };

  void find_covers();
  const Covers& covers(bool identifiers) const { return identifiers ? alike_ : all_; }
  void choose_identifiers();
  void keep_identifiers(std::vector<Earlier> earlier);

  std::vector<SubscriptionConfig> subscriptions_;
  std::vector<Earlier> leaving_;
  std::vector<std::vector<std::uint32_t>> lane_filters_;
  Covers all_;
  Covers alike_;  // by those that ask for the same
  bool mixes_options_ = false;
  std::vector<std::uint32_t> identifiers_;                          // by place
  std::unordered_map<std::uint32_t, std::uint32_t> by_identifier_;  // places
  std::unordered_map<std::string, std::uint32_t> by_filter_;
};

// Whether a broker would make no difference between them.
bool same_subscription(const SubscriptionConfig& one, const SubscriptionConfig& other);

// Whether the copies of one may be taken for those of the other, of a topic that both match, where
// copies can be told apart.  What is asked for with QoS 0 is not worth a handshake, nor a place on
// the disk, for the sake of a few.
bool may_stand_for(const SubscriptionConfig& one, const SubscriptionConfig& other);

}  // namespace fastmqttd
