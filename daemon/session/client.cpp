#include "daemon/session/client.hpp"

#include <MQTTAsync.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/message/publication.hpp"
#include "daemon/session/pinned_address.hpp"
#include "daemon/session/publish_packet.hpp"
#include "daemon/session/reason.hpp"
#include "daemon/session/tls.hpp"

namespace fastmqttd {
namespace {

constexpr auto kPahoSlack = 5s;
constexpr auto kSubscribeTimeout = 30s;
constexpr auto kDisconnectTimeout = 2s;
constexpr auto kPoll = 20ms;
constexpr std::uint32_t kNever = 0xFFFFFFFF;  // of a session expiry interval
constexpr auto kProbe = 1s;
// In Paho's text when the connection ended before CONNACK.
constexpr std::string_view kEndedBeforeConnack = "completion failure";
// Enough to keep a connection busy; Paho itself holds no more than 100 back.
constexpr std::size_t kMostOnWay = 64;
// Before MQTT 5 a broker cannot say how many it takes: mosquitto by default 20 of QoS 2.
constexpr std::size_t kUntoldReceiveMaximum = 17;

// The reason code with which the broker refused, from either place where Paho may put it; 0 when it
// did not refuse.
int refusal_code(int reason_code, int return_code) {
  if (reason_code == mqtt::MQTTPP_V3_CODE) reason_code = 0;  // Paho's own, for "none"
  const int code = std::max(reason_code, return_code);
  return code >= 0x80 ? code : 0;
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

// In a CONNACK; without a word it is.
bool available(const mqtt::properties& connack, mqtt::property::code what) {
  return !connack.contains(what) || mqtt::get<std::uint8_t>(connack, what) != 0;
}

// Without one a session ends with the connection (MQTT 5.0 section 3.1.2.11.2).
std::uint32_t session_expiry(const MqttConfig& config) {
  if (config.clean_session) return 0;
  const auto& expiry = config.session_expiry_interval;
  return expiry ? static_cast<std::uint32_t>(expiry->count()) : kNever;
}

void fill(mqtt::ssl_options& options, const TlsSettings& settings) {
  options = mqtt::ssl_options();
  if (!settings.ca_file.empty()) options.set_trust_store(settings.ca_file);
  if (!settings.ca_path.empty()) options.ca_path(settings.ca_path);
  if (!settings.cert_file.empty()) options.set_key_store(settings.cert_file);
  if (!settings.key_file.empty()) options.set_private_key(settings.key_file);
  if (!settings.key_password.empty()) options.set_private_key_password(settings.key_password);
  if (const std::string ciphers = settings.effective_ciphers(); !ciphers.empty())
    options.set_enabled_cipher_suites(ciphers);
  if (!settings.alpn.empty()) options.set_alpn_protos(settings.alpn);
  options.set_enable_server_cert_auth(settings.verify);
  options.set_verify(settings.verify);  // the name; off unless asked for
}

// The address, where the name does not say it.
std::string at(const BrokerAddress& broker) {
  return broker.host == broker.endpoint.host() ? "" : broker.endpoint.host() + ": ";
}

// What SUBACK grants, a code for each filter of the packet.
std::vector<int> granted(const mqtt::token& token, std::size_t filters) {
  std::vector<int> codes;
  const mqtt::subscribe_response answer = token.get_subscribe_response();
  for (const mqtt::ReasonCode code : answer.get_reason_codes())
    codes.push_back(static_cast<int>(code));
  codes.resize(filters, reason::kUnspecified);  // [MQTT-3.9.3-1] has one for each
  return codes;
}

// The same of UNSUBACK, which older versions have no codes in; nothing when the connection ended
// instead.  Paho throws what it takes for a failure, a subscription that there was not among it.
std::optional<std::vector<int>> unsubscribed(const mqtt::token& token, bool mqtt5,
                                             std::size_t filters) {
  std::vector<int> codes;
  try {
    if (mqtt5) {
      const mqtt::unsubscribe_response answer = token.get_unsubscribe_response();
      for (const mqtt::ReasonCode code : answer.get_reason_codes())
        codes.push_back(static_cast<int>(code));
    }
    codes.resize(filters, 0);
  } catch (const mqtt::exception& failure) {
    const int code = refusal_code(failure.get_reason_code(), failure.get_return_code());
    if (code == 0 && failure.get_return_code() != MQTTASYNC_SUCCESS) return std::nullopt;
    codes.assign(filters, code);
  }
  return codes;
}

// A number of seconds as Paho has to be given it.  Paho C before 1.3.13 writes four bytes by
// arithmetic on signed numbers: all ones would go out as 00 00 00 ff, four minutes instead of
// never. The number for never is one that it makes ff ff ff ff of; a later Paho writes it as it
// stands, 136 years.  Others are cut at 68 years.
std::int32_t four_bytes(std::uint32_t seconds) {
  if (seconds == kNever) return -0x01010101;
  return static_cast<std::int32_t>(std::min<std::uint32_t>(seconds, 0x7FFFFFFF));
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
      properties.add({code, four_bytes(p.number - static_cast<std::uint32_t>(waited.count()))});
      break;
    case FASTMQTT_USER_PROPERTY: properties.add({code, text(p.name), text(p.value)}); break;
    default: properties.add({code, text(p.value)});
  }
}

}  // namespace

Client::Client(const MqttConfig& config, MqttVersion version, const std::string& client_id,
               PacketStore& store, Callbacks callbacks)
    : config_(config),
      version_(version),
      callbacks_(std::move(callbacks)),
      answers_(callbacks_),
      ends_(callbacks_, version == MqttVersion::v5),
      outcomes_(callbacks_),
      store_(store),
      // The address is given at each attempt.
      paho_("tcp://unset:1883", client_id,
            mqtt::create_options(version == MqttVersion::v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1),
            (store.new_client(
                 version == MqttVersion::v5,
                 {.take = [this](std::string_view packet, const PacketRecord& record,
                                 bool& stored) { return take_packet(packet, record, stored); },
                  .refuse = [this] { refuse(); }}),
             &store)) {
  // Else Paho notes each of its steps in a ring in memory, for a quarter of its time.
  ::MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
  paho_.set_message_callback(
      [this](const mqtt::const_message_ptr& message) { on_message(*message); });
  paho_.set_connection_lost_handler(
      [this](const std::string& cause) { callbacks_.lost(cause, 0); });
  // A DISCONNECT from the broker comes here alone, not to the handler above.
  paho_.set_disconnected_handler([this](const mqtt::properties& properties, int code) {
    std::string why = "the broker disconnected: " + reason_text(code);
    if (properties.contains(mqtt::property::REASON_STRING))
      why += ": " + mqtt::get<std::string>(properties, mqtt::property::REASON_STRING);
    if (properties.contains(mqtt::property::SERVER_REFERENCE))
      why += ": it names the server " +
             mqtt::get<std::string>(properties, mqtt::property::SERVER_REFERENCE);
    if (const std::string hint = refusal_hint(code); !hint.empty()) why += ": " + hint;
    callbacks_.lost(why, code);
  });
}

Client::~Client() = default;

// One named object, filled by setters and passed as an lvalue: Paho C++ 1.2.0 loses properties when
// options are moved.  The version goes first, since it resets the clean flags.
mqtt::connect_options Client::connect_options(const BrokerAddress& broker, const Login& login,
                                              std::chrono::seconds keepalive) {
  mqtt::connect_options options;
  options.set_mqtt_version(static_cast<int>(version_));
  if (mqtt5()) {
    options.set_clean_start(config_.clean_session);
    mqtt::properties properties{
        {mqtt::property::SESSION_EXPIRY_INTERVAL, four_bytes(session_expiry(config_))}};
    if (config_.receive_maximum)
      properties.add({mqtt::property::RECEIVE_MAXIMUM, *config_.receive_maximum});
    options.set_properties(properties);
  } else {
    options.set_clean_session(config_.clean_session);
  }
  options.set_keep_alive_interval(keepalive);
  // Ours comes first: Paho looks at its own every three seconds.
  options.set_connect_timeout(
      std::chrono::ceil<std::chrono::seconds>(config_.connect_timeout + kPahoSlack));
  options.set_automatic_reconnect(false);
  if (login.username) options.set_user_name(*login.username);
  // [MQTT-3.1.2-22]: before MQTT 5 not without a user name.
  if (login.password && (mqtt5() || login.username)) options.set_password(*login.password);
  if (const auto& will = login.will) {
    mqtt::properties properties;
    if (mqtt5() && will->delay > 0)
      properties.add({mqtt::property::WILL_DELAY_INTERVAL, four_bytes(will->delay)});
    options.set_will(
        mqtt::will_options(will->topic, will->payload, will->qos, will->retain, properties));
  }
  std::string server = "tcp://" + broker.endpoint.text();
  if (login.tls) {
    const bool v6_address = broker.host.find(':') != std::string::npos;
    server = "ssl://" + (v6_address ? "[" + broker.host + "]" : broker.host) + ":" +
             std::to_string(config_.port);
    fill(tls_, *login.tls);
    options.set_ssl(tls_);
  }
  options.set_servers(std::make_shared<mqtt::string_collection>(server));
  return options;
}

std::variant<Client::Connected, ConnectFailure> Client::connect(const BrokerAddress& broker,
                                                                const Login& login,
                                                                std::chrono::seconds keepalive,
                                                                const KeepWaiting& keep_waiting) {
  using Kind = ConnectFailure::Kind;
  endpoint_ = broker.endpoint;
  older_sockets_ = sockets_to(endpoint_);
  const PinnedAddress pinned(broker.host, endpoint_);
  const mqtt::connect_options options = connect_options(broker, login, keepalive);
  connecting_ = true;
  try {
    const mqtt::token_ptr token = paho_.connect(options);
    if (!wait_for(*token, config_.connect_timeout, keep_waiting)) {
      if (!keep_waiting()) return ConnectFailure{Kind::given_up, 0, {}, false};
      return ConnectFailure{Kind::unreachable, 0,
                            at(broker) + "no answer within the connect_timeout of " +
                                format_duration(config_.connect_timeout),
                            true};
    }
    connecting_ = false;
    const std::vector<OwnSocket> sockets = new_sockets();
    for (const OwnSocket& socket : sockets) set_no_delay(socket);
    *sockets_.lock() = sockets;
    return read_connack(token->get_connect_response(), keepalive);
  } catch (const mqtt::exception& failure) {
    connecting_ = false;
    return failure_of(failure, broker, login);
  }
}

Client::Connected Client::read_connack(const mqtt::connect_response& answer,
                                       std::chrono::seconds keepalive) {
  using mqtt::property;
  Connected connected;
  connected.session_present = answer.is_session_present();
  connected.session_told = version_ != MqttVersion::v3_1;
  if (!mqtt5()) {
    broker_ = {.receive_maximum = kUntoldReceiveMaximum};
    return connected;
  }
  const mqtt::properties& properties = answer.get_properties();
  broker_ = limits_of(properties);
  if (properties.contains(property::SERVER_KEEP_ALIVE)) {
    const std::chrono::seconds other(
        mqtt::get<std::uint16_t>(properties, property::SERVER_KEEP_ALIVE));
    if (other != keepalive) connected.keepalive = other;
  }
  if (properties.contains(property::SESSION_EXPIRY_INTERVAL)) {
    const auto other = mqtt::get<std::uint32_t>(properties, property::SESSION_EXPIRY_INTERVAL);
    if (other != session_expiry(config_)) connected.session_expiry = std::chrono::seconds(other);
  }
  return connected;
}

// Paho says little of a failure, and nothing of why: what it does not say we see for ourselves.
ConnectFailure Client::failure_of(const mqtt::exception& failure, const BrokerAddress& broker,
                                  const Login& login) const {
  using Kind = ConnectFailure::Kind;
  if (const int code = failure.get_return_code(); code > 0) {
    const std::string hint = refusal_hint(code);
    return {Kind::refused, code, reason_text(code) + (hint.empty() ? "" : ": " + hint), false};
  }
  const bool ended =
      std::string_view(failure.what()).find(kEndedBeforeConnack) != std::string_view::npos;
  const auto unreachable = [&](const std::string& why) {
    return ConnectFailure{Kind::unreachable, 0, at(broker) + why, ended};
  };
  std::string error;
  if (!connect_to(endpoint_, kProbe, error)) return unreachable(error);
  if (login.tls)
    if (error = tls_probe(endpoint_, broker.host, *login.tls, kProbe); !error.empty())
      return unreachable("TLS: " + error);
  if (!ended) return unreachable("the broker did not answer");
  return {Kind::without_answer, 0,
          at(broker) + "the broker ended the connection without an answer" +
              (login.tls ? "" : "; if the port speaks TLS, set mqtt.ssl"),
          true};
}

std::optional<std::vector<std::vector<int>>> Client::subscribe(
    const std::vector<SubscribeRequest>& requests, const KeepWaiting& keep_waiting) {
  std::vector<mqtt::token_ptr> tokens;
  std::vector<std::vector<int>> codes;
  try {
    for (const SubscribeRequest& request : requests)
      tokens.push_back(send_subscribe(requests_.emplace_back(request)));
  } catch (const mqtt::exception&) {
    return std::nullopt;  // not connected any more
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    try {
      if (!wait_for(*tokens[i], kSubscribeTimeout, keep_waiting)) return std::nullopt;
      codes.push_back(granted(*tokens[i], requests[i].subscriptions.size()));
    } catch (const mqtt::exception& failure) {
      const int code = refusal_code(failure.get_reason_code(), failure.get_return_code());
      if (code == 0) return std::nullopt;
      codes.emplace_back(requests[i].subscriptions.size(), code);
    }
  }
  return codes;
}

mqtt::token_ptr Client::send_subscribe(SubscribeRequest& request) {
  if (!mqtt5()) {
    const auto filters = std::make_shared<mqtt::string_collection>();
    mqtt::iasync_client::qos_collection qos_of_filters;
    for (const SubscriptionConfig& s : request.subscriptions) {
      filters->push_back(s.topic.text());
      qos_of_filters.push_back(s.qos);
    }
    return paho_.subscribe(filters, qos_of_filters, &request, answers_);
  }
  const SubscriptionConfig& s = request.subscriptions.front();
  const mqtt::subscribe_options options(
      s.no_local, s.retain_as_published,
      static_cast<mqtt::subscribe_options::RetainHandling>(s.retain_handling_options));
  mqtt::properties properties;
  if (request.identifier != 0)
    properties.add(
        {mqtt::property::SUBSCRIPTION_IDENTIFIER, static_cast<std::int32_t>(request.identifier)});
  return paho_.subscribe(s.topic.text(), s.qos, &request, answers_, options, properties);
}

std::optional<std::vector<int>> Client::unsubscribe(const std::vector<std::string>& filters,
                                                    const KeepWaiting& keep_waiting) {
  mqtt::token_ptr token;
  try {
    const auto all = std::make_shared<mqtt::string_collection>();
    for (const std::string& filter : filters) all->push_back(filter);
    token = paho_.unsubscribe(all, &unsubscribed_.emplace_back(filters), ends_);
    if (!wait_for(*token, kSubscribeTimeout, keep_waiting)) return std::nullopt;
  } catch (const mqtt::exception&) {
    if (!token || !mqtt5()) return std::nullopt;  // not connected any more
  }
  return unsubscribed(*token, mqtt5(), filters.size());
}

void Client::Answers::on_success(const mqtt::token& token) {
  const auto& request = *static_cast<const SubscribeRequest*>(token.get_user_context());
  const auto& asked = request.subscriptions;
  const std::vector<int> codes = granted(token, asked.size());
  for (std::size_t i = 0; i < asked.size(); ++i)
    callbacks_.subscribed(asked[i].topic.text(), codes[i] < reason::kUnspecified ? codes[i] : -1,
                          request.identifier);
}

void Client::Answers::on_failure(const mqtt::token& token) {
  // Otherwise the connection failed, and the broker has not said anything.
  if (refusal_code(token.get_reason_code(), token.get_return_code()) == 0) return;
  const auto& request = *static_cast<const SubscribeRequest*>(token.get_user_context());
  for (const SubscriptionConfig& s : request.subscriptions)
    callbacks_.subscribed(s.topic.text(), -1, request.identifier);
}

void Client::Ends::on_success(const mqtt::token& token) {
  const auto& filters = *static_cast<const std::vector<std::string>*>(token.get_user_context());
  const auto codes = unsubscribed(token, mqtt5_, filters.size());
  for (std::size_t i = 0; codes && i < filters.size(); ++i)
    if ((*codes)[i] < reason::kUnspecified) callbacks_.unsubscribed(filters[i]);
}

Client::BrokerLimits Client::limits_of(const mqtt::properties& connack) {
  using mqtt::property;
  BrokerLimits limits;
  if (connack.contains(property::RECEIVE_MAXIMUM))
    limits.receive_maximum = mqtt::get<std::uint16_t>(connack, property::RECEIVE_MAXIMUM);
  if (connack.contains(property::MAXIMUM_QOS))
    limits.maximum_qos = mqtt::get<std::uint8_t>(connack, property::MAXIMUM_QOS);
  limits.retain_available = available(connack, property::RETAIN_AVAILABLE);
  if (connack.contains(property::MAXIMUM_PACKET_SIZE))
    limits.maximum_packet_size = mqtt::get<std::uint32_t>(connack, property::MAXIMUM_PACKET_SIZE);
  limits.subscription_identifiers =
      available(connack, property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE);
  limits.wildcards = available(connack, property::WILDCARD_SUBSCRIPTION_AVAILABLE);
  limits.shared_subscriptions = available(connack, property::SHARED_SUBSCRIPTION_AVAILABLE);
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
  if (mqtt5()) {
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

bool Client::announce(const Message& message, Duration timeout) {
  try {
    return paho_
        .publish(std::string(message.topic()), message.payload().data(), message.payload().size(),
                 std::min(message.qos(), broker_.maximum_qos),
                 message.retain() && broker_.retain_available)
        ->wait_for(timeout);
  } catch (const mqtt::exception&) {
    return false;  // not connected any more, or refused
  }
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
  if (qos2 && !mqtt5()) return;  // taken already, see PacketStore
  bool stored = false;
  if (!qos2) {
    take(parts_of(message), nullptr, stored);
    return;
  }
  const PacketRecord record = store_.undecided();
  const bool taken = take(parts_of(message), &record, stored);
  store_.settle(taken, stored);
}

bool Client::take_packet(std::string_view packet, const PacketRecord& record,
                         bool& stored) noexcept {
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
               .dup = publish->dup},
              &record, stored);
}

bool Client::take(const Message::Parts& parts, const PacketRecord* record, bool& stored) noexcept {
  // What is still in the socket after a refusal comes again, in order, behind the refused one.
  if (refused_ && parts.qos > 0) return false;
  bool taken = false;
  try {
    taken = callbacks_.message(parts, record, stored);
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
