// From a topic to the lanes that want it: a tree of filters, and in front of it a bounded cache,
// since topics repeat.  Used by one thread, the one that receives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/delivery/filter_tree.hpp"
#include "daemon/delivery/subscription_plan.hpp"

namespace fastmqttd {

// That a message on the topic is for `lane`.
struct Route {
  std::uint32_t lane;
  // The places in the plan of its filters that match, in order.
  std::vector<std::uint32_t> filters;
};

class Router {
 public:
  explicit Router(const SubscriptionPlan& plan);
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  struct Match {
    std::vector<Route> routes;                 // each lane at most once, in the lanes' order
    std::vector<std::uint32_t> subscriptions;  // the places of all that match, in order
  };
  // Valid until the next call.
  const Match& match(std::string_view topic);

 private:
  // That a lane asked for the filter at that place of the plan, or none does any more.
  struct Entry {
    std::optional<std::uint32_t> lane;
    std::uint32_t filter;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

  void add(const SubscriptionPlan& plan, Entry entry);
  Match walk(std::string_view topic) const;

  FilterTree tree_;  // its values are places in entries_
  std::vector<Entry> entries_;
  std::unordered_map<std::string, Match, Hash, std::equal_to<>> cache_;
  Match uncached_;
};

}  // namespace fastmqttd
