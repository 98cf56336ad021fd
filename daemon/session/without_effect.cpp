#include "daemon/session/without_effect.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string_view>

#include "daemon/session/protocol_version.hpp"

namespace fastmqttd {
namespace {

// "a, b"
std::string keys_of_mqtt5(const MqttConfig& config, const SubscriptionPlan& plan) {
  std::string keys;
  const auto add = [&keys](bool set, std::string_view key) {
    if (set) keys += (keys.empty() ? "" : ", ") + std::string(key);
  };
  add(config.will_delay_interval > 0s, "will_delay_interval");
  add(config.session_expiry_interval && !config.clean_session, "session_expiry_interval");
  add(config.receive_maximum.has_value(), "receive_maximum");
  add(config.password && !config.username, "password (without username)");
  const auto any = [&](auto option) { return std::ranges::any_of(plan.subscriptions(), option); };
  using S = SubscriptionConfig;
  add(any([](const S& s) { return s.no_local; }), "no_local");
  add(any([](const S& s) { return s.retain_as_published; }), "retain_as_published");
  add(any([](const S& s) { return s.retain_handling_options != 0; }), "retain_handling_options");
  return keys;
}

}  // namespace

std::string without_effect(const MqttConfig& config, const SubscriptionPlan& plan,
                           const Client& client, const std::string& name) {
  if (client.version() != MqttVersion::v5) {
    const std::string keys = keys_of_mqtt5(config, plan);
    if (keys.empty()) return {};
    return fmt::format("these keys have no effect with MQTT {}: {}", version_text(client.version()),
                       keys);
  }
  if (client.broker().subscription_identifiers || !plan.mixes_options()) return {};
  return name +
         " has no subscription identifiers: where a filter covers another one, no_local, "
         "retain_as_published and retain_handling_options hold only as far as both ask for them";
}

}  // namespace fastmqttd
