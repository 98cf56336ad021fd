#include "daemon/session/client.hpp"

#include <MQTTAsync.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/message/publication.hpp"
#include "daemon/session/publish_packet.hpp"

namespace fastmqttd {
namespace {

// Paho looks at its timeouts every three seconds; past this much more it has forgotten one.
constexpr auto kPahoSlack = 5s;
constexpr auto kSubscribeTimeout = 30s;
constexpr auto kDisconnectTimeout = 2s;
constexpr auto kPoll = 20ms;
// Enough to keep a connection busy; Paho itself holds no more than 100 back.
constexpr std::size_t kMostOnWay = 64;
// Before MQTT 5 a broker cannot say how many it takes: mosquitto by default 20 of QoS 2.
constexpr std::size_t kUntoldReceiveMaximum = 17;
// In a CONNACK before MQTT 5.
constexpr int kUnacceptableVersion = 1;
constexpr int kBadCredentials = 4;
constexpr int kNotAuthorized = 5;

// Connection refusals of MQTT 3.1.1, section 3.2.2.3; from 128 on they are reason codes of MQTT 5.
std::string refusal_text(int code) {
  static const std::map<int, std::string> texts{{1, "unacceptable protocol version"},
                                                {2, "client identifier rejected"},
                                                {3, "server unavailable"},
                                                {4, "bad user name or password"},
                                                {5, "not authorized"}};
  if (const auto text = texts.find(code); text != texts.end()) return text->second;
  const char* name = ::MQTTReasonCode_toString(static_cast<MQTTReasonCodes>(code));
  return name ? name : "unknown reason";
}

// The reason code with which the broker refused, from either place where Paho may put it; 0 when it
// did not refuse.
int refusal_code(int reason_code, int return_code) {
  if (reason_code == mqtt::MQTTPP_V3_CODE) reason_code = 0;  // Paho's own, for "none"
  const int code = std::max(reason_code, return_code);
  return code >= 0x80 ? code : 0;
}

std::string failure_text(const mqtt::exception& failure, const Endpoint& endpoint) {
  const int code = failure.get_return_code();
  if (code == kUnacceptableVersion || code == MQTTREASONCODE_UNSUPPORTED_PROTOCOL_VERSION)
    return "refused: " + reason_text(code) + ": set mqtt.version to one that the broker speaks";
  if (code == kBadCredentials || code == kNotAuthorized ||
      code == MQTTREASONCODE_BAD_USER_NAME_OR_PASSWORD || code == MQTTREASONCODE_NOT_AUTHORIZED)
    return "refused: " + reason_text(code) +
           ": check mqtt.username, mqtt.password and the broker's access rules";
  if (code > 0) return "refused: " + reason_text(code);
  // Paho gives no errno: see for ourselves.
  const std::string error = probe(endpoint, 1s);
  if (!error.empty()) return endpoint.text() + ": " + error;
  return endpoint.text() +
         ": the broker ended the connection before it answered, or did not answer";
}

// What came with one property of an incoming PUBLISH (MQTT 5.0 section 2.2.2.2).
fastmqtt_property to_property(const MQTTProperty& raw) {
  fastmqtt_property property{static_cast<std::uint32_t>(raw.identifier), 0, {}, {}};
  const auto view = [](const MQTTLenString& text) {
    return fastmqtt_view{text.data, static_cast<std::size_t>(text.len)};
  };
  switch (::MQTTProperty_getType(raw.identifier)) {
    case MQTTPROPERTY_TYPE_BYTE: property.number = raw.value.byte; break;
    case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER: property.number = raw.value.integer2; break;
    case MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER:
    case MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER: property.number = raw.value.integer4; break;
    case MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR:
      property.name = view(raw.value.data);
      property.value = view(raw.value.value);
      break;
    default: property.value = view(raw.value.data); break;
  }
  return property;
}

// Waits for a token in slices.  False when `keep_waiting` said no or the time was up; throws
// mqtt::exception when what it stands for failed.
bool wait_for(mqtt::token& token, Duration timeout, const Client::KeepWaiting& keep_waiting) {
  const TimePoint deadline = Clock::now() + timeout;
  while (!token.wait_for(kPoll))
    if (!keep_waiting() || Clock::now() > deadline) return false;
  return true;
}

std::int64_t realtime_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Names for the properties of an outgoing PUBLISH; none other gets this far.
void add_property(const fastmqtt_property& p, std::chrono::seconds waited,
                  mqtt::properties& properties) {
  const auto text = [](fastmqtt_view view) { return std::string(view.data, view.size); };
  const auto code = static_cast<mqtt::property::code>(p.id);
  switch (p.id) {
    case FASTMQTT_PAYLOAD_FORMAT_INDICATOR:
      properties.add({code, static_cast<std::uint8_t>(p.number)});
      break;
    case FASTMQTT_MESSAGE_EXPIRY_INTERVAL:  // what is left of it
      properties.add(
          {code, static_cast<std::int32_t>(p.number - static_cast<std::uint32_t>(waited.count()))});
      break;
    case FASTMQTT_USER_PROPERTY: properties.add({code, text(p.name), text(p.value)}); break;
    default: properties.add({code, text(p.value)});
  }
}

}  // namespace

std::uint64_t Client::next_message_id() {
  // Unlike any id of an earlier run.
  static std::atomic<std::uint64_t> next{static_cast<std::uint64_t>(realtime_ns())};
  return next++;
}

std::string reason_text(int code) {
  return fmt::format("{} (0x{:02x})", refusal_text(code), static_cast<unsigned>(code));
}

Client::Client(const MqttConfig& config, const std::string& client_id, PacketStore& store,
               Callbacks callbacks)
    : config_(config),
      callbacks_(std::move(callbacks)),
      answers_(callbacks_),
      outcomes_(callbacks_),
      store_(store),
      // The address is given at each attempt.
      paho_("tcp://unset:1883", client_id,
            mqtt::create_options(config.version == MqttVersion::v5 ? MQTTVERSION_5
                                                                   : MQTTVERSION_3_1_1),
            (store.new_client([this](std::string_view packet) { return take_packet(packet); }),
             &store)) {
  paho_.set_message_callback(
      [this](const mqtt::const_message_ptr& message) { on_message(*message); });
  paho_.set_connection_lost_handler([this](const std::string& cause) { callbacks_.lost(cause); });
  // A DISCONNECT from the broker comes here alone, not to the handler above.
  paho_.set_disconnected_handler([this](const mqtt::properties& properties, int code) {
    std::string why = "the broker disconnected: " + reason_text(code);
    if (properties.contains(mqtt::property::REASON_STRING))
      why += ": " + mqtt::get<std::string>(properties, mqtt::property::REASON_STRING);
    callbacks_.lost(why);
  });
}

Client::~Client() = default;

// One named object, filled by setters and passed as an lvalue: Paho C++ 1.2.0 loses properties when
// options are moved.  The version goes first, since it resets the clean flags.
mqtt::connect_options Client::connect_options(const Endpoint& endpoint) const {
  mqtt::connect_options options;
  options.set_mqtt_version(static_cast<int>(config_.version));
  if (config_.version == MqttVersion::v5) {
    options.set_clean_start(config_.clean_session);
    // Without it a session ends with the connection; all ones: never (MQTT 5.0 3.1.2.11.2).
    const std::int32_t expiry = config_.clean_session ? 0 : -1;
    options.set_properties({{mqtt::property::SESSION_EXPIRY_INTERVAL, expiry}});
  } else {
    options.set_clean_session(config_.clean_session);
  }
  options.set_servers(std::make_shared<mqtt::string_collection>("tcp://" + endpoint.text()));
  options.set_keep_alive_interval(config_.keepalive);
  options.set_connect_timeout(
      std::max(1s, std::chrono::ceil<std::chrono::seconds>(config_.connect_timeout)));
  options.set_automatic_reconnect(false);
  if (config_.username) options.set_user_name(config_.username->value());
  if (config_.password) options.set_password(config_.password->value());
  if (config_.will_message_topic)
    options.set_will(mqtt::will_options(
        config_.will_message_topic->value(),
        config_.will_message_payload ? config_.will_message_payload->value() : std::string(),
        config_.will_message_qos, config_.will_message_retain));
  return options;
}

std::optional<Client::Connected> Client::connect(const Endpoint& endpoint,
                                                 const KeepWaiting& keep_waiting,
                                                 std::string& why) {
  endpoint_ = endpoint;
  older_sockets_ = sockets_to(endpoint);
  const mqtt::connect_options options = connect_options(endpoint);
  connecting_ = true;
  try {
    const mqtt::token_ptr token = paho_.connect(options);
    if (!wait_for(*token, config_.connect_timeout + kPahoSlack, keep_waiting)) {
      if (keep_waiting()) why = endpoint.text() + ": no answer within the connect timeout";
      return std::nullopt;
    }
    connecting_ = false;
    const std::vector<OwnSocket> sockets = new_sockets();
    for (const OwnSocket& socket : sockets) set_no_delay(socket);
    *sockets_.lock() = sockets;
    const mqtt::connect_response answer = token->get_connect_response();
    broker_ = config_.version == MqttVersion::v5
                  ? limits_of(answer.get_properties())
                  : BrokerLimits{.receive_maximum = kUntoldReceiveMaximum};
    return Connected{answer.is_session_present()};
  } catch (const mqtt::exception& failure) {
    connecting_ = false;
    why = failure_text(failure, endpoint);
  }
  return std::nullopt;
}

bool Client::subscribe(const SubscriptionPlan& plan, const KeepWaiting& keep_waiting) {
  std::vector<bool> refused(plan.subscriptions().size());
  if (broker_.subscription_identifiers) {
    std::vector<std::uint32_t> all(refused.size());
    std::iota(all.begin(), all.end(), 0u);
    return subscribe_to(all, plan, keep_waiting, refused);
  }
  // What a refused subscription was to cover is subscribed for itself.
  std::set<std::uint32_t> done;
  for (;;) {
    std::vector<std::uint32_t> places = plan.uncovered(refused);
    std::erase_if(places, [&](std::uint32_t place) { return !done.insert(place).second; });
    if (places.empty()) return true;
    if (!subscribe_to(places, plan, keep_waiting, refused)) return false;
  }
}

bool Client::subscribe_to(const std::vector<std::uint32_t>& places, const SubscriptionPlan& plan,
                          const KeepWaiting& keep_waiting, std::vector<bool>& refused) {
  std::vector<mqtt::token_ptr> tokens;
  try {
    for (const std::uint32_t place : places) tokens.push_back(send_subscribe(place, plan));
  } catch (const mqtt::exception&) {
    return false;  // not connected any more
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const SubscriptionConfig& s = plan.subscriptions()[places[i]];
    try {
      if (!wait_for(*tokens[i], kSubscribeTimeout, keep_waiting)) return false;
      const auto granted = tokens[i]->get_subscribe_response().get_reason_codes();
      if (!granted.empty() && static_cast<int>(granted.front()) < s.qos)
        log::warning("the broker grants {} only QoS {} instead of {}", s.topic.text(),
                     static_cast<int>(granted.front()), s.qos);
    } catch (const mqtt::exception& failure) {
      const int code = refusal_code(failure.get_reason_code(), failure.get_return_code());
      if (code == 0) return false;
      refused[places[i]] = true;
      log::write(
          log::Level::error,
          fmt::format("the broker refuses the subscription to {}: {}: check its access rules",
                      s.topic.text(), reason_text(code)),
          {{"MQTT_TOPIC", s.topic.text()}, {"MQTT_REASON", std::to_string(code)}});
    }
  }
  return true;
}

mqtt::token_ptr Client::send_subscribe(std::uint32_t place, const SubscriptionPlan& plan) {
  const SubscriptionConfig& s = plan.subscriptions()[place];
  const int qos = broker_.subscription_identifiers ? s.qos : plan.covering_qos(place);
  // Its number, as the context of the listener's call.
  void* const context = reinterpret_cast<void*>(static_cast<std::uintptr_t>(place));
  if (config_.version != MqttVersion::v5)
    return paho_.subscribe(s.topic.text(), qos, context, answers_);
  const mqtt::subscribe_options options(
      s.no_local, s.retain_as_published,
      static_cast<mqtt::subscribe_options::RetainHandling>(s.retain_handling_options));
  mqtt::properties properties;
  if (const std::uint32_t id = broker_.subscription_identifiers ? plan.identifier(place) : 0;
      id != 0)
    properties.add({mqtt::property::SUBSCRIPTION_IDENTIFIER, static_cast<std::int32_t>(id)});
  return paho_.subscribe(s.topic.text(), qos, context, answers_, options, properties);
}

void Client::Answers::answer(const mqtt::token& token, bool refused) {
  callbacks_.subscribed(
      static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(token.get_user_context())),
      refused);
}

void Client::Answers::on_success(const mqtt::token& token) { answer(token, false); }

void Client::Answers::on_failure(const mqtt::token& token) {
  // Otherwise the connection failed, and the broker has not said anything.
  if (refusal_code(token.get_reason_code(), token.get_return_code()) != 0) answer(token, true);
}

Client::BrokerLimits Client::limits_of(const mqtt::properties& connack) {
  using mqtt::property;
  BrokerLimits limits;
  if (connack.contains(property::RECEIVE_MAXIMUM))
    limits.receive_maximum = mqtt::get<std::uint16_t>(connack, property::RECEIVE_MAXIMUM);
  if (connack.contains(property::MAXIMUM_QOS))
    limits.maximum_qos = mqtt::get<std::uint8_t>(connack, property::MAXIMUM_QOS);
  if (connack.contains(property::RETAIN_AVAILABLE))
    limits.retain_available = mqtt::get<std::uint8_t>(connack, property::RETAIN_AVAILABLE) != 0;
  if (connack.contains(property::MAXIMUM_PACKET_SIZE))
    limits.maximum_packet_size = mqtt::get<std::uint32_t>(connack, property::MAXIMUM_PACKET_SIZE);
  // Without a word they are available.
  const auto identifiers = property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE;
  limits.subscription_identifiers =
      !connack.contains(identifiers) || mqtt::get<std::uint8_t>(connack, identifiers) != 0;
  return limits;
}

// Below the broker's Receive Maximum: once Paho reaches it, it stands still for a second.
std::size_t Client::window() const {
  return std::clamp<std::size_t>(broker_.receive_maximum - 1, 1, kMostOnWay);
}

std::string Client::cannot_publish(const Message& message, std::chrono::seconds waited) const {
  if (message.qos() > broker_.maximum_qos)
    return fmt::format("QoS {} is more than the broker takes, {}", message.qos(),
                       broker_.maximum_qos);
  if (message.retain() && !broker_.retain_available) return "the broker keeps no retained messages";
  if (const std::size_t bytes = packet_bytes(message); bytes > broker_.maximum_packet_size)
    return fmt::format("it is larger, {} bytes, than the broker takes, {}", bytes,
                       broker_.maximum_packet_size);
  for (const fastmqtt_property& p : message.properties())
    if (p.id == FASTMQTT_MESSAGE_EXPIRY_INTERVAL && waited.count() > 0 &&
        static_cast<std::uint64_t>(waited.count()) >= p.number)
      return "its expiry interval passed while it waited for the connection";
  return {};
}

std::optional<int> Client::publish(const Message& message, std::uint64_t number,
                                   std::chrono::seconds waited, std::string& why) {
  mqtt::properties properties;
  if (config_.version == MqttVersion::v5) {
    for (const fastmqtt_property& p : message.properties()) add_property(p, waited, properties);
  } else if (!message.properties().empty() && !std::exchange(properties_lost_, true)) {
    log::warning("handlers publish with properties, which only MQTT 5 can carry: leaving them out");
  }
  const auto packet = std::make_shared<mqtt::message>(
      std::string(message.topic()), message.payload().data(), message.payload().size(),
      message.qos(), message.retain(), properties);
  try {
    const mqtt::delivery_token_ptr token = paho_.publish(
        packet, reinterpret_cast<void*>(static_cast<std::uintptr_t>(number)), outcomes_);
    return message.qos() == 0 ? 0 : token->get_message_id();
  } catch (const mqtt::exception& failure) {
    const int code = failure.get_return_code();
    const bool passing = code == MQTTASYNC_DISCONNECTED || code == MQTTASYNC_NO_MORE_MSGIDS ||
                         code == MQTTASYNC_MAX_BUFFERED_MESSAGES;
    if (!passing) why = fmt::format("the client library refuses it: {}", failure.to_string());
    return std::nullopt;
  }
}

void Client::Outcomes::on_success(const mqtt::token& token) {
  callbacks_.published(reinterpret_cast<std::uintptr_t>(token.get_user_context()), 0);
}

void Client::Outcomes::on_failure(const mqtt::token& token) {
  const int code = refusal_code(token.get_reason_code(), token.get_return_code());
  callbacks_.published(reinterpret_cast<std::uintptr_t>(token.get_user_context()),
                       code == 0 ? std::nullopt : std::optional(code));
}

void Client::disconnect() {
  // Held open past Paho's close: what is left unread at a close makes the kernel reset the
  // connection, and the broker, losing the DISCONNECT with it, would send the will.
  const Linger linger(*sockets_.lock());
  try {
    paho_.disconnect(0)->wait_for(kDisconnectTimeout);
  } catch (const mqtt::exception&) {
    // Not connected: nothing to end.
  }
}

bool Client::settled_connection() { return paho_.is_connected(); }

void Client::on_message(const mqtt::message& message) noexcept {
  const bool qos2 = message.get_qos() == 2;
  if (qos2 && config_.version != MqttVersion::v5) return;  // taken already, see PacketStore
  const bool taken = take(parts_of(message));
  if (qos2) store_.settle(taken);
}

bool Client::take_packet(std::string_view packet) noexcept {
  const std::optional<PublishPacket> publish = parse_publish(packet);
  if (!publish) {
    log::error("cannot read a PUBLISH packet: not acknowledging it");
    refuse();
    return false;
  }
  return take({.topic = publish->topic,
               .payload = publish->payload,
               .qos = publish->qos,
               .retain = publish->retain,
               .dup = publish->dup});
}

bool Client::take(const Message::Parts& parts) noexcept {
  // What is still in the socket after a refusal comes again, in order, behind the refused one.
  if (refused_ && parts.qos > 0) return false;
  bool taken = false;
  try {
    Message::Parts whole = parts;
    whole.received_ns = realtime_ns();
    whole.id = next_message_id();
    taken = callbacks_.message(std::make_shared<Message>(whole));
  } catch (const std::exception& e) {  // out of memory, at best
    log::error("cannot take a message: {}: not acknowledging it", e.what());
  }
  if (!taken) refuse();
  return taken;
}

// Views into the message and into members, good until the next one.
Message::Parts Client::parts_of(const mqtt::message& message) {
  properties_.clear();
  subscription_ids_.clear();
  const MQTTProperties& raw = message.get_properties().c_struct();
  for (int i = 0; i < raw.count; ++i) {
    const fastmqtt_property property = to_property(raw.array[i]);
    if (property.id == FASTMQTT_SUBSCRIPTION_IDENTIFIER)
      subscription_ids_.push_back(property.number);  // ours alone, see SubscriptionPlan
    else
      properties_.push_back(property);
  }
  return {.topic = message.get_topic(),
          .payload = message.get_payload_ref().str(),
          .qos = message.get_qos(),
          .retain = message.is_retained(),
          .dup = message.is_duplicate(),
          .properties = properties_,
          .subscription_ids = subscription_ids_};
}

// Paho acknowledges when the callback returns, whatever it returns.  With the socket shut down
// nothing leaves any more, so the broker sends the message again on the next connection.
void Client::refuse() noexcept {
  refused_ = true;
  bool shut = false;
  for (const OwnSocket& socket : new_sockets()) shut |= shut_down(socket);
  // A socket whose peer has gone is not found by its address; nothing leaves through it either.
  for (const OwnSocket& socket : *sockets_.lock()) shut |= shut_down(socket);
  if (shut) return;
  log::error("cannot refuse a message without ending the process: exiting");
  std::_Exit(static_cast<int>(ExitStatus::internal));
}

// Those made since connect(): Paho's, and at the worst a handler's own to the same broker.
std::vector<OwnSocket> Client::new_sockets() const {
  std::vector<OwnSocket> sockets = sockets_to(endpoint_);
  std::erase_if(sockets, [this](const OwnSocket& socket) {
    return std::ranges::find(older_sockets_, socket) != older_sockets_.end();
  });
  return sockets;
}

}  // namespace fastmqttd
