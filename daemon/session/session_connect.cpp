// How the session's owner gets a connection.
#include <utility>

#include "daemon/base/events.hpp"
#include "daemon/base/log.hpp"
#include "daemon/session/address_lookup.hpp"
#include "daemon/session/reason.hpp"
#include "daemon/session/session_owner.hpp"
#include "daemon/session/without_effect.hpp"

namespace fastmqttd {
namespace {

using Phase = SessionState::Phase;

// The owner takes a step at least this often.
constexpr auto kStep = 100ms;
constexpr auto kResolveLimit = 30s;

}  // namespace

// Tries every host and every address of it, in order.  False when none will do: `why` is what the
// last one met.
bool Session::Owner::connect(std::string& why) {
  set_phase(Phase::connecting, last_failure_);
  for_good_ = true;
  for (const Text& host : config_.host) {
    broker_ = name_of(host);
    state_.lock()->shown.broker = broker_;
    ConnectFailure failure;
    if (connect_to(host.value(), failure)) return true;
    if (interrupted()) return false;
    const bool refused = failure.kind == ConnectFailure::Kind::refused;
    for_good_ = for_good_ && refused && refuses_for_good(failure.code);
    why = refused ? "refused: " + failure.why : failure.why;
    log_failure(failure);
  }
  return false;
}

void Session::Owner::log_failure(const ConnectFailure& failure) const {
  if (failure.kind != ConnectFailure::Kind::refused) {
    log::write(log::Level::warning, fmt::format("cannot connect to {}: {}", broker_, failure.why),
               {{"MESSAGE_ID", event::kCannotConnect}, {"MQTT_BROKER", broker_}});
    return;
  }
  const bool for_good = refuses_for_good(failure.code);
  log::write(for_good ? log::Level::error : log::Level::warning,
             fmt::format("{} refuses the connection: {}", broker_, failure.why),
             {{"MESSAGE_ID", event::kConnectionRefused},
              {"MQTT_BROKER", broker_},
              {"MQTT_REASON", std::to_string(failure.code)}});
}

// `failure` is that of the last address, or of one that has refused.
bool Session::Owner::connect_to(const std::string& host, ConnectFailure& failure) {
  using Kind = ConnectFailure::Kind;
  for (const Endpoint& endpoint : addresses_of(host, failure.why)) {
    ConnectFailure latest;
    if (interrupted() || connect_to(BrokerAddress{host, endpoint}, latest)) return !interrupted();
    if (latest.kind == Kind::refused || failure.kind != Kind::refused) failure = latest;
  }
  return false;
}

std::vector<Endpoint> Session::Owner::addresses_of(const std::string& host, std::string& why) {
  AddressLookup lookup(host, config_.port);
  const TimePoint deadline = Clock::now() + kResolveLimit;
  while (keep_going() && Clock::now() < deadline) {
    const AddressLookup::Answer* answer = lookup.wait_until(Clock::now() + kStep);
    if (!answer) continue;
    why = "cannot find the address of '" + host + "': " + answer->why;
    return answer->endpoints;
  }
  why = "cannot find the address of '" + host + "': no answer from the resolver";
  return {};
}

// As often as it takes to agree on the version and the keepalive.
bool Session::Owner::connect_to(const BrokerAddress& address, ConnectFailure& failure) {
  bool session_present = true;
  while (!interrupted()) {
    std::optional<Client::Connected> connected = attempt(address, failure);
    if (!connected) {
      if (failure.may_have_arrived) subscribed_at_.clear();
      if (!fall_back(failure)) return false;
      continue;
    }
    version_->answered();
    log_downgrade();
    // What the first answer has said of the session counts.
    session_present = session_present && connected->session_present;
    if (take_keepalive(*connected)) continue;
    connected->session_present = session_present;
    return begin(*connected, failure);
  }
  return false;
}

std::optional<Client::Connected> Session::Owner::attempt(const BrokerAddress& address,
                                                         ConnectFailure& failure) {
  try {
    login_ = fresh_login(config_);
    if (login_.tls)
      if (const auto problem = problem_of(*login_.tls))
        throw std::runtime_error("mqtt.ssl." + problem->key + ": " + problem->what);
  } catch (const std::runtime_error& error) {
    failure = {ConnectFailure::Kind::unreachable, 0, error.what(), false};
    return std::nullopt;
  }
  kept_->at(broker_);
  be_at_session();
  if (subscribed_at_ != broker_) subscriber_->expect();
  make_client();
  state_.lock()->lost.reset();
  publisher_.connecting();
  auto outcome = client_->connect(address, login_, keepalive_, [this] { return keep_going(); });
  if (const auto* connected = std::get_if<Client::Connected>(&outcome)) return *connected;
  failure = std::get<ConnectFailure>(std::move(outcome));
  // An attempt that is still going on must not meet the next one.
  if (client_->connecting()) end_client();
  return std::nullopt;
}

// Whether another version of MQTT is to be tried at once.
bool Session::Owner::fall_back(const ConnectFailure& failure) {
  using Kind = ConnectFailure::Kind;
  bool again = false;
  switch (failure.kind) {
    case Kind::unreachable: version_->unreachable(); break;
    case Kind::without_answer: again = version_->ended_without_a_word(); break;
    case Kind::refused:
      if (failure.code == reason::kOldVersion || failure.code == reason::kUnsupportedVersion) {
        again = version_->refused();
      } else {
        version_->answered();
        log_downgrade();
      }
      break;
    case Kind::given_up: break;
  }
  if (again) log::info("{}: {}: trying MQTT {}", broker_, failure.why, version_text());
  return again;
}

void Session::Owner::log_downgrade() {
  if (version_->next() == config_.version || std::exchange(downgrade_logged_, true)) return;
  log::write(log::Level::warning,
             fmt::format("{} does not speak MQTT 5: using MQTT {} until the next start; set "
                         "mqtt.version to it to save the attempts, or mqtt.version_fallback: "
                         "false to do without",
                         broker_, version_text()),
             {{"MESSAGE_ID", event::kDowngraded}, {"MQTT_BROKER", broker_}});
}

// [MQTT-3.1.2-21]: the broker's word is what counts.  Paho does not heed it, so that a connection
// is to be made with it from the beginning.  A longer one than ours does no harm.
bool Session::Owner::take_keepalive(const Client::Connected& connected) {
  if (!connected.keepalive || *connected.keepalive == 0s) return false;
  if (keepalive_ != 0s && *connected.keepalive > keepalive_) return false;
  keepalive_ = *connected.keepalive;
  log::info("{} wants a keepalive of {} s: connecting again with it", broker_, keepalive_.count());
  client_->disconnect();
  end_client();
  return true;
}

// What is to be done on a new connection before it serves.
bool Session::Owner::begin(const Client::Connected& connected, ConnectFailure& failure) {
  log::write(log::Level::info,
             fmt::format("connected to {} as {}, MQTT {}{}", broker_, client_id_, version_text(),
                         !connected.session_told     ? ""
                         : connected.session_present ? ", session kept"
                                                     : ", new session"),
             {{"MESSAGE_ID", event::kConnected}, {"MQTT_BROKER", broker_}});
  look_at_session(connected);
  store_.keep_only(client_->version() == MqttVersion::v5);
  publisher_.connected(connected.session_present);
  // A session that was there when this process last subscribed still has its subscriptions.
  const bool everything = subscribed_at_ != broker_ || !connected.session_present;
  if (everything || subscriber_->is_behind()) {
    const bool done = subscriber_->subscribe(
        *client_, [this] { return keep_going_connected(); }, everything);
    subscribed_at_ = done ? broker_ : "";
    show_refused();
    if (!done && !client_->refused()) {
      client_->disconnect();
      end_client();
      const Loss loss = state_.lock()->lost.value_or(Loss{"no answer to SUBSCRIBE", 0});
      failure = {
          loss.reason_code != 0 ? ConnectFailure::Kind::refused : ConnectFailure::Kind::unreachable,
          loss.reason_code, "the connection ended before everything was subscribed: " + loss.why,
          true};
      return false;
    }
  }
  if (config_.status_topic) announce(kOnline, 0s);
  return true;
}

void Session::Owner::look_at_session(const Client::Connected& connected) {
  if (!connected.session_present && connected.session_told) {
    if (kept_->known() && !config_.clean_session && config_.session_expiry_interval != 0s)
      log::write(log::Level::warning,
                 fmt::format("{} has lost our session, and the messages that it had queued: "
                             "subscribing anew",
                             broker_),
                 {{"MESSAGE_ID", event::kSessionLost}, {"MQTT_BROKER", broker_}});
    kept_->forget();
    subscriber_->expect();
  }
  if (connected.session_expiry && !std::exchange(expiry_logged_, true))
    log::warning(
        "{} keeps the session for {} after a lost connection only, whatever "
        "mqtt.session_expiry_interval says",
        broker_, format_duration(*connected.session_expiry));
  if (keys_logged_) return;
  const std::string lost =
      without_effect(config_, *dispatcher_.routing().plan(), *client_, broker_);
  if (lost.empty()) return;
  keys_logged_ = true;
  log::warning("{}", lost);
}

// What is under way belongs to the session at one broker.
void Session::Owner::be_at_session() {
  const std::string session = client_id_ + "@" + broker_;
  if (store_.session() == session) return;
  end_client();
  publisher_.disinherit();
  store_.at(session);
}

// One of the version that is up.
void Session::Owner::make_client() {
  if (client_ && client_->version() == version_->next()) return;
  end_client();
  if (version_->next() != made_for_) {
    publisher_.disinherit();
    store_.forget_sent_qos1(made_for_ == MqttVersion::v5);  // the next client cannot read it
    subscribed_at_.clear();
    made_for_ = version_->next();
  }
  const bool mqtt5 = version_->next() == MqttVersion::v5;
  publisher_.adopt(store_, mqtt5);
  client_ = std::make_unique<Client>(
      config_, version_->next(), client_id_, store_,
      Client::Callbacks{
          [this](const Message::Parts& parts, const PacketRecord* record, bool& stored) {
            callback_began_ = Clock::now();
            const bool accepted = dispatcher_.accept(parts, record, &stored);
            callback_began_ = TimePoint();
            return accepted;
          },
          [this](const std::string& filter, int qos, std::uint32_t identifier) {
            dispatcher_.routing().set_granted(filter, qos, identifier);
          },
          [this](const std::string& filter) {
            dispatcher_.routing().set_granted(filter, Routing::kNone);
          },
          [this](std::uint64_t number, std::optional<int> reason_code) {
            publisher_.outcome(number, reason_code);
          },
          [this](const std::string& why, int reason_code) {
            auto state = state_.lock();
            // The first one knows best.
            if (!state->lost)
              state->lost =
                  Loss{why.empty() ? "the broker closed it, or the network did" : why, reason_code};
            state.unlock();
            changed_.notify_one();
          }});
}

void Session::Owner::end_client() {
  if (!client_) return;
  publisher_.client_ends();
  client_.reset();
  publisher_.client_ended(store_);
}

}  // namespace fastmqttd
