#include "daemon/session/subscriber.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "daemon/base/events.hpp"
#include "daemon/base/log.hpp"
#include "daemon/session/reason.hpp"

namespace fastmqttd {
namespace {

// Some brokers take no more filters than this in one packet.
constexpr std::size_t kFiltersInPacket = 8;
// SUBSCRIBE packets that wait for their answer at once.
constexpr std::size_t kPacketsOnWay = 64;
// The fixed header, the packet identifier, and the properties with an identifier.
constexpr std::size_t kPacketOverhead = 5 + 2 + 6;
// Of a filter: its length before it, its options behind it.
constexpr std::size_t kFilterOverhead = 3;

}  // namespace

Subscriber::Subscriber(Routing& routing, KeptSession& kept)
    : routing_(routing), kept_(kept), plan_(routing.plan()) {}

void Subscriber::expect() const {
  const Routing::PlanPtr plan = routing_.plan();
  std::map<std::string, Routing::Standing> standings;
  for (const auto& [filter, subscription] : kept_.filters()) {
    const auto& [qos, identifier, since] = subscription;
    const auto place = plan->place(filter);
    // One that goes by another identifier brings copies of which nothing is known.
    if (qos != KeptSession::kUnknown && place && plan->place(identifier) == place)
      standings[filter] = {qos, since, identifier};
  }
  routing_.expect(standings);
}

bool Subscriber::subscribe(Client& client, const Client::KeepWaiting& keep_waiting,
                           bool everything) {
  auto [plan, wanted_anew] = routing_.wanted();
  plan_ = std::move(plan);
  if (everything) {
    requested_.clear();
    routing_.all_are_new();
  }
  const bool identifiers = client.broker().subscription_identifiers;
  refused_.assign(plan_->subscriptions().size(), false);
  active_.clear();
  const KeptSession::Filters before = kept_.filters();
  // What a refused subscription was to carry is subscribed for itself.
  std::vector<bool> done(refused_.size());
  for (;;) {
    const std::vector<std::uint32_t> carriers = plan_->carriers(refused_, identifiers);
    for (const std::uint32_t place : std::set(wanted_anew)) wanted_anew.insert(carriers[place]);
    std::vector<std::uint32_t> places;
    bool any = false;
    for (std::uint32_t place = 0; place < carriers.size(); ++place) {
      if (carriers[place] != place || done[place]) continue;
      any = done[place] = true;
      if (is_as_before(place, identifiers, wanted_anew.contains(place), before))
        active_[filter_at(place)] = before.at(filter_at(place));
      else
        places.push_back(place);
    }
    if (!any) break;
    if (!subscribe_to(places, client, keep_waiting)) return false;
  }
  KeptSession::Filters left = before;
  for (const auto& [filter, subscription] : active_) left.erase(filter);
  // What was refused this time the broker may still have from before, and it is wanted.
  for (std::uint32_t place = 0; place < refused_.size(); ++place)
    if (refused_[place] && left.erase(filter_at(place)) > 0) active_[filter_at(place)] = {};
  // Should the connection end before the answers, nobody knows whether they bring anything.
  KeptSession::Filters unsure = active_;
  for (const auto& [filter, subscription] : left) unsure[filter] = {};
  kept_.remember(unsure);
  if (!unsubscribe(left, client, keep_waiting)) return false;
  kept_.remember(active_);
  routing_.is_subscribed(plan_);
  return true;
}

std::vector<std::string> Subscriber::refused() const {
  std::vector<std::string> filters;
  for (std::uint32_t place = 0; place < refused_.size(); ++place)
    if (refused_[place]) filters.push_back(filter_at(place));
  return filters;
}

// Then nothing is said to the broker, but that a handler is there which wants what it has retained.
bool Subscriber::is_as_before(std::uint32_t place, bool identifiers, bool wanted_anew,
                              const KeptSession::Filters& before) const {
  const SubscriptionConfig& wanted = plan_->request(place, identifiers);
  const auto requested = requested_.find(filter_at(place));
  const auto known = before.find(filter_at(place));
  if (requested == requested_.end() || known == before.end()) return false;
  // Of what has the flag in any case nobody could tell that it was sent again.
  return known->second.identifier == plan_->identifier(place) &&
         same_subscription(requested->second, wanted) &&
         (!wanted_anew || wanted.retain_as_published || wanted.topic.shared());
}

bool Subscriber::subscribe_to(const std::vector<std::uint32_t>& places, Client& client,
                              const Client::KeepWaiting& keep_waiting) {
  const auto all = packets(places, client);
  // Before the broker knows of them: should we end in between, they are not forgotten.
  KeptSession::Filters known = kept_.filters();
  for (const auto& packet : all)
    for (const std::uint32_t place : packet) known.try_emplace(filter_at(place));
  kept_.remember(known);

  for (std::size_t first = 0; first < all.size(); first += kPacketsOnWay) {
    const auto batch = std::span(all).subspan(first, std::min(kPacketsOnWay, all.size() - first));
    std::vector<Client::SubscribeRequest> requests;
    for (const auto& packet : batch) requests.push_back(request(packet, client));
    const auto codes = client.subscribe(requests, keep_waiting);
    if (!codes) return false;
    for (std::size_t i = 0; i < batch.size(); ++i)
      for (std::size_t j = 0; j < batch[i].size(); ++j)
        judge(batch[i][j], (*codes)[i][j], requests[i].subscriptions[j]);
  }
  return true;
}

// With MQTT 5 each filter has a packet of its own: an identifier belongs to a packet, and Paho C++
// 1.2.0 crashes over the options of several.
std::vector<std::vector<std::uint32_t>> Subscriber::packets(
    const std::vector<std::uint32_t>& places, const Client& client) {
  std::vector<std::vector<std::uint32_t>> packets;
  for (const std::uint32_t place : places) {
    int code = 0;
    if (const std::string why = cannot_subscribe(place, client, code); !why.empty()) {
      routing_.set_granted(filter_at(place), Routing::kNone);
      refuse(place, code, why);
      continue;
    }
    const bool joins = client.version() != MqttVersion::v5 && !packets.empty() &&
                       packets.back().size() < kFiltersInPacket;
    if (!joins) packets.emplace_back();
    packets.back().push_back(place);
  }
  return packets;
}

Client::SubscribeRequest Subscriber::request(const std::vector<std::uint32_t>& places,
                                             const Client& client) const {
  const bool identifiers = client.broker().subscription_identifiers;
  Client::SubscribeRequest request;
  for (const std::uint32_t place : places)
    request.subscriptions.push_back(plan_->request(place, identifiers));
  if (identifiers) request.identifier = plan_->identifier(places.front());
  return request;
}

std::string Subscriber::cannot_subscribe(std::uint32_t place, const Client& client,
                                         int& code) const {
  const TopicFilter& topic = plan_->subscriptions()[place].topic;
  const Client::BrokerLimits& broker = client.broker();
  if (topic.shared() && !broker.shared_subscriptions) {
    code = reason::kNoSharedSubscriptions;
    return "it has no shared subscriptions";
  }
  if (topic.pattern().find_first_of("+#") != std::string_view::npos && !broker.wildcards) {
    code = reason::kNoWildcards;
    return "it takes no wildcards";
  }
  if (topic.text().size() + kFilterOverhead + kPacketOverhead > broker.maximum_packet_size) {
    code = reason::kPacketTooLarge;
    return fmt::format("it takes packets of {} bytes at most", broker.maximum_packet_size);
  }
  return {};
}

void Subscriber::judge(std::uint32_t place, int code, const SubscriptionConfig& request) {
  const SubscriptionConfig& s = plan_->subscriptions()[place];
  const std::string& filter = s.topic.text();
  requested_.erase(filter);
  if (code >= reason::kUnspecified)
    return refuse(place, code, reason_text(code) + ": check its access rules");
  requested_.emplace(filter, request);
  // Perhaps Client's callback is still to come.
  routing_.set_granted(filter, code, plan_->identifier(place));
  active_[filter] = {code, plan_->identifier(place), routing_.standing(filter).since};
  if (code < s.qos)
    log::write(log::Level::warning,
               fmt::format("the broker grants {} only QoS {} instead of {}",
                           log::shown_topic(filter), code, s.qos),
               {{"MQTT_TOPIC", filter}, {"MQTT_QOS", std::to_string(code)}});
}

void Subscriber::refuse(std::uint32_t place, int code, const std::string& why) {
  refused_[place] = true;
  const std::string& filter = filter_at(place);
  log::write(
      log::Level::error,
      fmt::format("the broker refuses the subscription to {}: {}", log::shown_topic(filter), why),
      {{"MESSAGE_ID", event::kSubscriptionRefused},
       {"MQTT_TOPIC", filter},
       {"MQTT_REASON", std::to_string(code)}});
}

bool Subscriber::unsubscribe(const KeptSession::Filters& filters, Client& client,
                             const Client::KeepWaiting& keep_waiting) {
  std::vector<std::string> packet;
  std::size_t bytes = kPacketOverhead;
  const auto send = [&] {
    const bool lasted = packet.empty() || unsubscribe_packet(packet, client, keep_waiting);
    packet.clear();
    bytes = kPacketOverhead;
    return lasted;
  };
  for (const auto& [filter, subscription] : filters) {
    log::info("unsubscribing {}: {}", log::shown_topic(filter),
              plan_->lanes_want(filter) ? "another one covers it" : "no handler wants it any more");
    const std::size_t size = filter.size() + kFilterOverhead;
    const bool full =
        packet.size() == kFiltersInPacket || bytes + size > client.broker().maximum_packet_size;
    if (full && !send()) return false;
    packet.push_back(filter);
    bytes += size;
  }
  return send();
}

// What the broker will not give up stays in mind, for another time.
bool Subscriber::unsubscribe_packet(const std::vector<std::string>& filters, Client& client,
                                    const Client::KeepWaiting& keep_waiting) {
  const auto codes = client.unsubscribe(filters, keep_waiting);
  if (!codes) return false;
  for (std::size_t i = 0; i < filters.size(); ++i) {
    requested_.erase(filters[i]);
    if ((*codes)[i] < reason::kUnspecified) continue;
    active_[filters[i]] = {};
    log::write(log::Level::warning,
               fmt::format("the broker does not unsubscribe {}: {}: trying again at the next start",
                           log::shown_topic(filters[i]), reason_text((*codes)[i])),
               {{"MQTT_TOPIC", filters[i]}, {"MQTT_REASON", std::to_string((*codes)[i])}});
  }
  return true;
}

}  // namespace fastmqttd
