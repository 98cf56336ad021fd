#include "handlers/republish/client.hpp"

#include <MQTTAsync.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "handlers/republish/reason.hpp"

namespace fastmqtt::republish {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLook{20};
constexpr milliseconds kProbe{1'000};
constexpr milliseconds kGoodbye{300};
constexpr seconds kPahoSlack{5};
constexpr int kMostBuffered = 2'000;  // more than can be in flight; Paho's own default is 100

// For as many as there may be in flight, and no publishing while there is no connection.
mqtt::create_options create_options(bool mqtt5) {
  mqtt::create_options options(mqtt5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1, kMostBuffered);
  options.set_send_while_disconnected(false);
  return options;
}

// The reason code with which the broker refused, from either place where Paho may put it; 0 when it
// did not refuse.
int refusal_code(int reason_code, int return_code) {
  if (reason_code == mqtt::MQTTPP_V3_CODE) reason_code = 0;  // Paho's own, for "none"
  const int code = std::max(reason_code, return_code);
  return code >= 0x80 ? code : 0;
}

std::size_t length_bytes(std::size_t length) {
  return length < 1u << 7 ? 1 : length < 1u << 14 ? 2 : length < 1u << 21 ? 3 : 4;
}

std::size_t property_bytes(const fastmqtt_property& p) {
  switch (p.id) {
    case FASTMQTT_PAYLOAD_FORMAT_INDICATOR: return 2;
    case FASTMQTT_MESSAGE_EXPIRY_INTERVAL: return 5;
    case FASTMQTT_USER_PROPERTY: return 5 + p.name.size + p.value.size;
    default: return 3 + p.value.size;
  }
}

// As section 3.3 of the standard writes it.
std::size_t packet_bytes(const Publication& publication, bool mqtt5) {
  std::size_t properties = 0;
  if (mqtt5) {
    for (const fastmqtt_property& p : publication.properties.list())
      properties += property_bytes(p);
    properties += length_bytes(properties);
  }
  const std::size_t rest = 2 + publication.topic.size() + (publication.qos > 0 ? 2 : 0) +
                           properties + publication.payload.size();
  return 1 + length_bytes(rest) + rest;
}

void add(const fastmqtt_property& p, mqtt::properties& properties) {
  const auto code = static_cast<mqtt::property::code>(p.id);
  const std::string value(to_string_view(p.value));
  switch (p.id) {
    case FASTMQTT_PAYLOAD_FORMAT_INDICATOR:
      properties.add({code, static_cast<std::uint8_t>(p.number)});
      break;
    case FASTMQTT_MESSAGE_EXPIRY_INTERVAL:
      // Paho C before 1.3.13 garbles numbers past 2^31: 68 years will do.
      properties.add(
          {code, static_cast<std::int32_t>(std::min<std::uint32_t>(p.number, 0x7FFF'FFFF))});
      break;
    case FASTMQTT_USER_PROPERTY:
      properties.add({code, std::string(to_string_view(p.name)), value});
      break;
    default: properties.add({code, value});
  }
}

}  // namespace

Client::Client(const BrokerOptions& options, Callbacks callbacks)
    : options_(options),
      callbacks_(std::move(callbacks)),
      outcomes_(callbacks_),
      // The address is given with the connection; nothing is kept on disk, for the daemon does.

      paho_("tcp://unset:1883", options.client_id, create_options(options.mqtt5)) {
  limits_.maximum_packet_size = options.max_packet_size;
  paho_.set_connection_lost_handler([this](const std::string& cause) {
    callbacks_.lost({cause.empty() ? "it closed the connection, or the network did" : cause, 0});
  });
  // A DISCONNECT from the broker comes here alone, not to the handler above.
  paho_.set_disconnected_handler([this](const mqtt::properties& properties, int code) {
    std::string why = "it ended the connection: " + reason_text(code);
    if (properties.contains(mqtt::property::REASON_STRING))
      why += ": " + mqtt::get<std::string>(properties, mqtt::property::REASON_STRING);
    if (const std::string hint = connection_hint(code); !hint.empty()) why += ": " + hint;
    callbacks_.lost({why, code});
  });
}

// One named object, filled by setters and passed as an lvalue: Paho C++ 1.2.0 loses properties when
// options are moved.  The version goes first, since it resets the clean flags.
mqtt::connect_options Client::connect_options(const Address& address, seconds keepalive) {
  mqtt::connect_options options;
  options.set_mqtt_version(options_.mqtt5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1);
  if (options_.mqtt5)
    options.set_clean_start(true);
  else
    options.set_clean_session(true);
  options.set_keep_alive_interval(keepalive);
  // Ours comes first: Paho looks at its own every three seconds.
  options.set_connect_timeout(std::chrono::ceil<seconds>(options_.connect_timeout) + kPahoSlack);
  options.set_automatic_reconnect(false);
  if (options_.username) options.set_user_name(*options_.username);
  if (options_.password) options.set_password(*options_.password);
  std::string server = "tcp://" + address.text();
  if (const auto& tls = options_.tls) {
    // The certificate is checked against the name, which Paho looks up once more for that.
    server = "ssl://" + options_.name();
    mqtt::ssl_options ssl;
    if (!tls->ca_file.empty()) ssl.set_trust_store(tls->ca_file);
    if (!tls->cert_file.empty()) ssl.set_key_store(tls->cert_file);
    if (!tls->key_file.empty()) ssl.set_private_key(tls->key_file);
    if (!tls->key_password.empty()) ssl.set_private_key_password(tls->key_password);
    ssl.set_enable_server_cert_auth(tls->verify);
    ssl.set_verify(tls->verify);  // the name; off unless asked for
    options.set_ssl(ssl);
  }
  options.set_servers(std::make_shared<mqtt::string_collection>(server));
  return options;
}

bool Client::connect(const Address& address, seconds keepalive, const KeepWaiting& keep_waiting,
                     Loss& loss) {
  const mqtt::connect_options options = connect_options(address, keepalive);
  const auto deadline = std::chrono::steady_clock::now() + options_.connect_timeout;
  try {
    const mqtt::token_ptr token = paho_.connect(options);
    while (!token->wait_for(kLook)) {
      if (keep_waiting() && std::chrono::steady_clock::now() < deadline) continue;
      loss = {"no answer within the connect_timeout", 0};
      return false;
    }
    if (options_.mqtt5) read_limits(token->get_connect_response().get_properties(), keepalive);
    return true;
  } catch (const mqtt::exception& failure) {
    loss = loss_of(failure, address);
    return false;
  }
}

void Client::read_limits(const mqtt::properties& connack, seconds keepalive) {
  using mqtt::property;
  if (connack.contains(property::RECEIVE_MAXIMUM))
    limits_.receive_maximum = mqtt::get<std::uint16_t>(connack, property::RECEIVE_MAXIMUM);
  if (connack.contains(property::MAXIMUM_QOS))
    limits_.maximum_qos = mqtt::get<std::uint8_t>(connack, property::MAXIMUM_QOS);
  if (connack.contains(property::RETAIN_AVAILABLE))
    limits_.retain_available = mqtt::get<std::uint8_t>(connack, property::RETAIN_AVAILABLE) != 0;
  if (connack.contains(property::MAXIMUM_PACKET_SIZE))
    limits_.maximum_packet_size =
        std::min<std::size_t>(limits_.maximum_packet_size,
                              mqtt::get<std::uint32_t>(connack, property::MAXIMUM_PACKET_SIZE));
  if (connack.contains(property::SERVER_KEEP_ALIVE)) {
    const seconds other(mqtt::get<std::uint16_t>(connack, property::SERVER_KEEP_ALIVE));
    if (other != keepalive) limits_.keepalive = other;
  }
}

// Paho says little of a failure, and nothing of why: what it does not say we see for ourselves.
Loss Client::loss_of(const mqtt::exception& failure, const Address& address) const {
  if (const int code = failure.get_return_code(); code > 0) {
    const std::string hint = connection_hint(code);
    return {"it refuses the connection: " + reason_text(code) + (hint.empty() ? "" : ": " + hint),
            code};
  }
  std::string why;
  if (!connect_to(address, kProbe, why)) return {why, 0};
  if (options_.tls)
    if (why = tls_failure(address, options_.host, *options_.tls, kProbe); !why.empty())
      return {"TLS: " + why, 0};
  return {"it ended the connection without an answer" +
              std::string(options_.tls ? "" : "; if the port speaks TLS, set broker.ssl"),
          0};
}

std::string Client::cannot_publish(const Publication& publication) const {
  if (publication.qos > limits_.maximum_qos)
    return "QoS " + std::to_string(publication.qos) + " is more than the broker takes, " +
           std::to_string(limits_.maximum_qos) + ": set qos";
  if (publication.retain && !limits_.retain_available)
    return "the broker keeps no retained messages: set retain: false";
  if (const std::size_t bytes = packet_bytes(publication, options_.mqtt5);
      bytes > limits_.maximum_packet_size)
    return "it is larger, " + std::to_string(bytes) + " bytes, than the broker takes, " +
           std::to_string(limits_.maximum_packet_size);
  return {};
}

bool Client::publish(const Publication& publication, std::uint64_t number, std::string& why) {
  mqtt::properties properties;
  if (options_.mqtt5)
    for (const fastmqtt_property& p : publication.properties.list()) add(p, properties);
  const auto message = std::make_shared<mqtt::message>(
      publication.topic, publication.payload.data(), publication.payload.size(), publication.qos,
      publication.retain, properties);
  try {
    paho_.publish(message, reinterpret_cast<void*>(static_cast<std::uintptr_t>(number)), outcomes_);
    return true;
  } catch (const mqtt::exception& failure) {
    const int code = failure.get_return_code();
    const bool passing = code == MQTTASYNC_DISCONNECTED || code == MQTTASYNC_NO_MORE_MSGIDS ||
                         code == MQTTASYNC_MAX_BUFFERED_MESSAGES;
    if (!passing) why = std::string("the client library refuses it: ") + failure.what();
    return false;
  }
}

void Client::disconnect() {
  try {
    paho_.disconnect(0)->wait_for(kGoodbye);
  } catch (const mqtt::exception&) {
    // Not connected: nothing to end.
  }
}

void Client::Outcomes::on_success(const mqtt::token& token) {
  callbacks_.outcome(reinterpret_cast<std::uintptr_t>(token.get_user_context()), 0);
}

// Without a code it is the connection that ended, which is told once for all.
void Client::Outcomes::on_failure(const mqtt::token& token) {
  if (const int code = refusal_code(token.get_reason_code(), token.get_return_code()); code != 0)
    callbacks_.outcome(reinterpret_cast<std::uintptr_t>(token.get_user_context()), code);
}

}  // namespace fastmqtt::republish
