#include "daemon/session/subscriber.hpp"

#include <algorithm>
#include <optional>
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
    : plan_(routing.plan()), routing_(routing), kept_(kept) {}

void Subscriber::expect() const {
  const KeptSession::Filters filters = kept_.filters();
  std::vector<Routing::Standing> standings(plan_.subscriptions().size());
  for (std::uint32_t place = 0; place < standings.size(); ++place) {
    const auto found = filters.find(filter_at(place));
    if (found == filters.end()) continue;
    const auto& [qos, identifier, since] = found->second;
    if (qos == KeptSession::kUnknown || identifier != plan_.identifier(place)) continue;
    standings[place] = {qos, since};
  }
  routing_.expect(standings);
}

bool Subscriber::subscribe(Client& client, const Client::KeepWaiting& keep_waiting) {
  refused_.assign(plan_.subscriptions().size(), false);
  active_.clear();
  const KeptSession::Filters before = kept_.filters();
  // What a refused subscription was to carry is subscribed for itself.
  std::vector<bool> done(refused_.size());
  for (;;) {
    const std::vector<std::uint32_t> carriers =
        plan_.carriers(refused_, client.broker().subscription_identifiers);
    std::vector<std::uint32_t> places;
    for (std::uint32_t place = 0; place < carriers.size(); ++place) {
      if (carriers[place] != place || done[place]) continue;
      done[place] = true;
      places.push_back(place);
    }
    if (places.empty()) break;
    if (!subscribe_to(places, client, keep_waiting)) return false;
  }
  KeptSession::Filters left = before;
  for (const auto& [filter, subscription] : active_) left.erase(filter);
  // What was refused this time the broker may still have from before, and it is wanted.
  for (std::uint32_t place = 0; place < refused_.size(); ++place)
    if (refused_[place] && left.erase(filter_at(place)) > 0) active_[filter_at(place)] = {};
  if (!unsubscribe(left, client, keep_waiting)) return false;
  kept_.remember(active_);
  return true;
}

bool Subscriber::subscribe_to(const std::vector<std::uint32_t>& places, Client& client,
                              const Client::KeepWaiting& keep_waiting) {
  const std::vector<Client::SubscribeRequest> requests = packets(places, client);
  // Before the broker knows of them: should we end in between, they are not forgotten.
  KeptSession::Filters known = kept_.filters();
  for (const auto& request : requests)
    for (const std::uint32_t place : request.places) known.try_emplace(filter_at(place));
  kept_.remember(known);

  for (std::size_t first = 0; first < requests.size(); first += kPacketsOnWay) {
    const auto begin = requests.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end =
        begin + static_cast<std::ptrdiff_t>(std::min(kPacketsOnWay, requests.size() - first));
    const std::vector<Client::SubscribeRequest> batch(begin, end);
    const auto codes = client.subscribe(batch, plan_, keep_waiting);
    if (!codes) return false;
    for (std::size_t i = 0; i < batch.size(); ++i)
      for (std::size_t j = 0; j < batch[i].places.size(); ++j)
        judge(batch[i].places[j], (*codes)[i][j]);
  }
  return true;
}

// With MQTT 5 each filter has a packet of its own: an identifier belongs to a packet, and Paho C++
// 1.2.0 crashes over the options of several.
std::vector<Client::SubscribeRequest> Subscriber::packets(const std::vector<std::uint32_t>& places,
                                                          const Client& client) {
  std::vector<Client::SubscribeRequest> requests;
  for (const std::uint32_t place : places) {
    int code = 0;
    if (const std::string why = cannot_subscribe(place, client, code); !why.empty()) {
      routing_.set_granted(place, Routing::kNone);
      refuse(place, code, why);
      continue;
    }
    const std::uint32_t identifier =
        client.broker().subscription_identifiers ? plan_.identifier(place) : 0;
    const bool joins = client.version() != MqttVersion::v5 && !requests.empty() &&
                       requests.back().places.size() < kFiltersInPacket;
    if (!joins) requests.push_back({{}, identifier});
    requests.back().places.push_back(place);
  }
  return requests;
}

std::string Subscriber::cannot_subscribe(std::uint32_t place, const Client& client,
                                         int& code) const {
  const TopicFilter& topic = plan_.subscriptions()[place].topic;
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

void Subscriber::judge(std::uint32_t place, int code) {
  const SubscriptionConfig& s = plan_.subscriptions()[place];
  if (code >= reason::kUnspecified)
    return refuse(place, code, reason_text(code) + ": check its access rules");
  active_[s.topic.text()] = {code, plan_.identifier(place), routing_.standing(place).since};
  if (code < s.qos)
    log::write(log::Level::warning,
               fmt::format("the broker grants {} only QoS {} instead of {}",
                           log::shown_topic(s.topic.text()), code, s.qos),
               {{"MQTT_TOPIC", s.topic.text()}, {"MQTT_QOS", std::to_string(code)}});
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
              plan_.place(filter) ? "another one covers it" : "no handler wants it any more");
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
    if ((*codes)[i] < reason::kUnspecified) {
      // One that a wider filter now stands for.
      if (const auto place = plan_.place(filters[i])) routing_.set_granted(*place, Routing::kNone);
      continue;
    }
    active_[filters[i]] = {};
    log::write(log::Level::warning,
               fmt::format("the broker does not unsubscribe {}: {}: trying again at the next start",
                           log::shown_topic(filters[i]), reason_text((*codes)[i])),
               {{"MQTT_TOPIC", filters[i]}, {"MQTT_REASON", std::to_string((*codes)[i])}});
  }
  return true;
}

}  // namespace fastmqttd
