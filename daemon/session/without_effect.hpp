// What of the configuration the broker at hand cannot do.
#pragma once

#include <string>

#include "daemon/config/config.hpp"
#include "daemon/delivery/subscription_plan.hpp"
#include "daemon/session/client.hpp"

namespace fastmqttd {

// Whole, for a warning; empty when it can do all of it.  `name` is the broker's.
std::string without_effect(const MqttConfig& config, const SubscriptionPlan& plan,
                           const Client& client, const std::string& name);

}  // namespace fastmqttd
