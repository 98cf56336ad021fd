#include "daemon/session/session.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/base/events.hpp"
#include "daemon/base/guarded.hpp"
#include "daemon/base/log.hpp"
#include "daemon/session/address_lookup.hpp"
#include "daemon/session/backoff.hpp"
#include "daemon/session/client.hpp"
#include "daemon/session/kept_session.hpp"
#include "daemon/session/login.hpp"
#include "daemon/session/protocol_version.hpp"
#include "daemon/session/publisher.hpp"
#include "daemon/session/reason.hpp"
#include "daemon/session/subscriber.hpp"
#include "daemon/session/without_effect.hpp"

namespace fastmqttd {
namespace {

using Phase = SessionState::Phase;

// The owner takes a step at least this often.
constexpr auto kStep = 100ms;
constexpr auto kOwnerLimit = 30s;
constexpr auto kResolveLimit = 30s;
// A connection that ends sooner does not count as a success.
constexpr auto kLasting = 10s;
constexpr int kTooManyShortLived = 3;

constexpr auto kGoodbye = 1s;

}  // namespace

class Session::Owner {
 public:
  Owner(const MqttConfig& config, std::string client_id,
        const std::filesystem::path& state_directory, Spool& spool, Dispatcher& dispatcher,
        std::function<void()> attention)
      : config_(config),
        client_id_(std::move(client_id)),
        dispatcher_(dispatcher),
        attention_(std::move(attention)),
        version_(config.version, config.version_fallback),
        keepalive_(config.keepalive),
        kept_(state_directory, client_id_, !config.clean_session),
        subscriber_(dispatcher.routing(), kept_),
        publisher_(dispatcher.outbox(), [this] { more_to_send(); }),
        store_(
            &spool, [this](int packet_id) { publisher_.record_gone(packet_id); },
            [this](int packet_id) { return publisher_.number_of(packet_id); },
            [this](const std::string& what) { dispatcher_.refuse(what + " cannot be noted"); }) {
    dispatcher_.outbox().on_more([this] { more_to_send(); });
    state_.lock()->shown.broker = name_of(config.host.front());
  }

  ~Owner() {
    stop();
    if (thread_.joinable()) thread_.join();
    dispatcher_.outbox().on_more([] {});
  }

  void start() {
    if (config_.ssl && !config_.ssl->verify)
      log::warning(
          "mqtt.ssl.verify is false: whoever answers is taken for the broker, and gets the "
          "password; give mqtt.ssl.ca_file instead");
    if (!config_.clean_session && config_.session_expiry_interval == 0s)
      log::warning(
          "mqtt.session_expiry_interval is 0: the broker keeps nothing for us while the connection "
          "is down");
    thread_ = std::thread([this] {
      try {
        run();
      } catch (const StartError& error) {  // the spool's
        for (const Problem& problem : error.problems())
          log::write(log::Level::error, to_string(problem));
        std::_Exit(static_cast<int>(error.status()));
      } catch (const std::exception& error) {
        log::error("internal error in the session: {}", error.what());
        std::_Exit(static_cast<int>(ExitStatus::internal));
      }
    });
  }

  void stop() {
    state_.lock()->stopping = true;
    changed_.notify_one();
  }

  SessionState state() { return state_.lock()->shown; }

  std::optional<std::string> stuck(TimePoint now) {
    auto state = state_.lock();
    if (thread_.joinable() && state->shown.phase != Phase::stopped &&
        now - state->last_step > kOwnerLimit)
      return "the session thread has made no progress for " +
             format_roughly(std::chrono::duration_cast<Duration>(now - state->last_step));
    const TimePoint began = callback_began_;
    if (began != TimePoint() && now - began > kOwnerLimit)
      return "the receiving thread is held up in a message";
    return std::nullopt;
  }

 private:
  struct Loss {
    std::string why;
    int reason_code = 0;  // of the broker's DISCONNECT
  };
  struct State {
    SessionState shown;
    bool stopping = false;
    std::optional<Loss> lost;  // why the connection ended, when it has
    bool more_to_send = false;
    TimePoint last_step = Clock::now();
  };

  void run() {
    while (!stopping()) {
      std::string why;
      if (connect(why)) {
        const TimePoint connected = Clock::now();
        failures_ = 0;
        last_failure_.clear();
        set_phase(Phase::connected);
        const Loss loss = serve();
        if (stopping()) break;
        if (client_->refused()) {
          wait_until_drained();
          continue;
        }
        judge(loss, Clock::now() - connected);
        why = loss.why;
        end_client();
      } else if (!stopping() && ++failures_ == config_.reconnect_retries) {
        give_up(why);
        break;
      }
      if (!stopping()) pause(why);
    }
    say_goodbye();
    end_client();
    set_phase(Phase::stopped);
  }

  void say_goodbye() {
    if (!client_) return;
    if (config_.status_topic) announce(kOffline, kGoodbye);
    client_->disconnect();  // without it the broker would send the will
  }

  void give_up(const std::string& why) {
    log::write(log::Level::error,
               fmt::format("giving up after {} attempts to connect in a row "
                           "(mqtt.reconnect_retries): {}",
                           failures_, why),
               {{"MQTT_BROKER", broker_}});
    state_.lock()->shown.gave_up = true;
  }

  // A connection that lasted starts the pauses anew; not so one that another client took from us,
  // for then both would go on taking it from each other.
  void judge(const Loss& loss, Clock::duration lasted) {
    const int code = loss.reason_code;
    std::string text = "connection to " + broker_ + " lost: " + loss.why;
    if (code == reason::kSessionTakenOver)
      text += ": another client, or another daemon, uses the client_id " + client_id_ +
              ": give each one its own";
    std::vector<log::Field> fields{{"MESSAGE_ID", event::kConnectionLost},
                                   {"MQTT_BROKER", broker_}};
    const std::string number = std::to_string(code);
    if (code != 0) fields.push_back({"MQTT_REASON", number});
    log::write(log::Level::warning, text, fields);

    for_good_ = refuses_for_good(code);
    if (code == reason::kSessionTakenOver) return;
    if (lasted >= kLasting) {
      backoff_.reset();
      short_lived_ = 0;
    } else if (++short_lived_ == kTooManyShortLived) {
      log::warning(
          "the broker ends one connection after the other: does another client use the "
          "client_id {} too?",
          client_id_);
    }
  }

  // Tries every host and every address of it, in order.  False when none will do: `why` is what the
  // last one met.
  bool connect(std::string& why) {
    set_phase(Phase::connecting, last_failure_);
    for_good_ = true;
    for (const Text& host : config_.host) {
      broker_ = name_of(host);
      state_.lock()->shown.broker = broker_;
      ConnectFailure failure;
      if (connect_to(host.value(), failure)) return true;
      if (stopping()) return false;
      const bool refused = failure.kind == ConnectFailure::Kind::refused;
      for_good_ = for_good_ && refused && refuses_for_good(failure.code);
      why = refused ? "refused: " + failure.why : failure.why;
      log_failure(failure);
    }
    return false;
  }

  void log_failure(const ConnectFailure& failure) const {
    if (failure.kind != ConnectFailure::Kind::refused) {
      log::write(log::Level::warning, fmt::format("cannot connect to {}: {}", broker_, failure.why),
                 {{"MQTT_BROKER", broker_}});
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
  bool connect_to(const std::string& host, ConnectFailure& failure) {
    using Kind = ConnectFailure::Kind;
    for (const Endpoint& endpoint : addresses_of(host, failure.why)) {
      ConnectFailure latest;
      if (stopping() || connect_to(BrokerAddress{host, endpoint}, latest)) return !stopping();
      if (latest.kind == Kind::refused || failure.kind != Kind::refused) failure = latest;
    }
    return false;
  }

  std::vector<Endpoint> addresses_of(const std::string& host, std::string& why) {
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
  bool connect_to(const BrokerAddress& address, ConnectFailure& failure) {
    bool session_present = true;
    while (!stopping()) {
      std::optional<Client::Connected> connected = attempt(address, failure);
      if (!connected) {
        if (failure.may_have_arrived) subscribed_at_.clear();
        if (!fall_back(failure)) return false;
        continue;
      }
      version_.answered();
      log_downgrade();
      // What the first answer has said of the session counts.
      session_present = session_present && connected->session_present;
      if (take_keepalive(*connected)) continue;
      connected->session_present = session_present;
      return begin(*connected, failure);
    }
    return false;
  }

  std::optional<Client::Connected> attempt(const BrokerAddress& address, ConnectFailure& failure) {
    try {
      login_ = fresh_login(config_);
      if (login_.tls)
        if (const auto problem = problem_of(*login_.tls))
          throw std::runtime_error("mqtt.ssl." + problem->key + ": " + problem->what);
    } catch (const std::runtime_error& error) {
      failure = {ConnectFailure::Kind::unreachable, 0, error.what(), false};
      return std::nullopt;
    }
    kept_.at(broker_);
    be_at_session();
    if (subscribed_at_ != broker_) subscriber_.expect();
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
  bool fall_back(const ConnectFailure& failure) {
    using Kind = ConnectFailure::Kind;
    bool again = false;
    switch (failure.kind) {
      case Kind::unreachable: version_.unreachable(); break;
      case Kind::without_answer: again = version_.ended_without_a_word(); break;
      case Kind::refused:
        if (failure.code == reason::kOldVersion || failure.code == reason::kUnsupportedVersion) {
          again = version_.refused();
        } else {
          version_.answered();
          log_downgrade();
        }
        break;
      case Kind::given_up: break;
    }
    if (again) log::info("{}: {}: trying MQTT {}", broker_, failure.why, version_text());
    return again;
  }

  void log_downgrade() {
    if (version_.next() == config_.version || std::exchange(downgrade_logged_, true)) return;
    log::write(log::Level::warning,
               fmt::format("{} does not speak MQTT 5: using MQTT {} until the next start; set "
                           "mqtt.version to it to save the attempts, or mqtt.version_fallback: "
                           "false to do without",
                           broker_, version_text()),
               {{"MESSAGE_ID", event::kDowngraded}, {"MQTT_BROKER", broker_}});
  }

  // [MQTT-3.1.2-21]: the broker's word is what counts.  Paho does not heed it, so that a connection
  // is to be made with it from the beginning.  A longer one than ours does no harm.
  bool take_keepalive(const Client::Connected& connected) {
    if (!connected.keepalive || *connected.keepalive == 0s) return false;
    if (keepalive_ != 0s && *connected.keepalive > keepalive_) return false;
    keepalive_ = *connected.keepalive;
    log::info("{} wants a keepalive of {} s: connecting again with it", broker_,
              keepalive_.count());
    client_->disconnect();
    end_client();
    return true;
  }

  // What is to be done on a new connection before it serves.
  bool begin(const Client::Connected& connected, ConnectFailure& failure) {
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
    if (subscribed_at_ != broker_ || !connected.session_present) {
      const bool done = subscriber_.subscribe(*client_, [this] { return keep_going_connected(); });
      subscribed_at_ = done ? broker_ : "";
      if (!done && !client_->refused()) {
        client_->disconnect();
        end_client();
        const Loss loss = state_.lock()->lost.value_or(Loss{"no answer to SUBSCRIBE", 0});
        failure = {loss.reason_code != 0 ? ConnectFailure::Kind::refused
                                         : ConnectFailure::Kind::unreachable,
                   loss.reason_code,
                   "the connection ended before everything was subscribed: " + loss.why, true};
        return false;
      }
    }
    if (config_.status_topic) announce(kOnline, 0s);
    return true;
  }

  void look_at_session(const Client::Connected& connected) {
    if (!connected.session_present && connected.session_told) {
      if (kept_.known() && !config_.clean_session && config_.session_expiry_interval != 0s)
        log::write(log::Level::warning,
                   fmt::format("{} has lost our session, and the messages that it had queued: "
                               "subscribing anew",
                               broker_),
                   {{"MESSAGE_ID", event::kSessionLost}, {"MQTT_BROKER", broker_}});
      kept_.forget();
      subscriber_.expect();
    }
    if (connected.session_expiry && !std::exchange(expiry_logged_, true))
      log::warning(
          "{} keeps the session for {} after a lost connection only, whatever "
          "mqtt.session_expiry_interval says",
          broker_, format_duration(*connected.session_expiry));
    if (keys_logged_) return;
    const std::string lost =
        without_effect(config_, dispatcher_.routing().plan(), *client_, broker_);
    if (lost.empty()) return;
    keys_logged_ = true;
    log::warning("{}", lost);
  }

  // QoS 0: what does not arrive is said again with the next connection, and nothing is left behind
  // for which a broker could refuse that.
  bool announce(const char* status, Duration timeout) {
    const std::string& topic = login_.will->topic;
    return client_->announce(Message({.topic = topic, .payload = status, .retain = true}), timeout);
  }

  // Until the connection ends or is to end; says why.
  Loss serve() {
    more_to_send();  // what has waited for the connection
    auto state = state_.lock();
    while (!state->stopping && !state->lost) {
      state->last_step = Clock::now();
      if (std::exchange(state->more_to_send, false)) {
        state.unlock();
        publisher_.send(*client_);
        state.relock();
      } else {
        state.wait_until(changed_, Clock::now() + kOwnerLimit / 3);
      }
    }
    Loss loss = state->lost.value_or(Loss());
    state.unlock();
    client_->settled_connection();  // Paho has closed its side when this returns
    return loss;
  }

  // Any thread.
  void more_to_send() {
    auto state = state_.lock();
    if (std::exchange(state->more_to_send, true)) return;
    state.unlock();
    changed_.notify_one();
  }

  void wait_until_drained() {
    const std::string why = dispatcher_.why_refused();
    if (why.empty()) return end_client();  // it has to come again for another reason
    log::write(log::Level::error,
               fmt::format("{}: not taking messages until there is room again; the broker {}", why,
                           config_.clean_session ? "drops them, since mqtt.clean_session is true"
                                                 : "keeps those of QoS 1 and 2"),
               {{"MESSAGE_ID", event::kSpoolFull}});
    set_phase(Phase::refusing, why);
    end_client();
    bool told = false;
    while (keep_going() && !dispatcher_.has_drained()) {
      if (const std::string what = told ? "" : dispatcher_.what_stays(); !what.empty()) {
        told = true;
        log::write(log::Level::error, what, {{"MESSAGE_ID", event::kSpoolFull}});
        set_phase(Phase::refusing, why + "; " + what);
      }
      auto state = state_.lock();
      if (!state->stopping) state.wait_until(changed_, Clock::now() + kStep);
    }
    if (!stopping())
      log::write(log::Level::info, "messages can be stored again: connecting",
                 {{"MESSAGE_ID", event::kSpoolRecovered}});
  }

  void pause(const std::string& why) {
    last_failure_ = why;
    const double random = std::uniform_real_distribution<>(0, 1)(random_);
    const Duration length = for_good_ ? backoff_.longest(random) : backoff_.next(random);
    set_phase(Phase::waiting, why);
    log::info("next attempt in {}", format_roughly(length));
    const TimePoint end = Clock::now() + length;
    while (keep_going() && Clock::now() < end) {
      auto state = state_.lock();
      if (!state->stopping)
        state.wait_until(changed_, std::min<TimePoint>(end, Clock::now() + kOwnerLimit / 3));
    }
  }

  void end_client() {
    if (!client_) return;
    publisher_.client_ends();
    client_.reset();
    publisher_.client_ended(store_);
  }

  // What is under way belongs to the session at one broker.
  void be_at_session() {
    const std::string session = client_id_ + "@" + broker_;
    if (store_.session() == session) return;
    end_client();
    publisher_.disinherit();
    store_.at(session);
  }

  // One of the version that is up.
  void make_client() {
    if (client_ && client_->version() == version_.next()) return;
    end_client();
    if (version_.next() != made_for_) {
      publisher_.disinherit();
      store_.forget_sent_qos1(made_for_ == MqttVersion::v5);  // the next client cannot read it
      subscribed_at_.clear();
      made_for_ = version_.next();
    }
    const bool mqtt5 = version_.next() == MqttVersion::v5;
    publisher_.adopt(store_, mqtt5);
    client_ = std::make_unique<Client>(
        config_, version_.next(), client_id_, store_,
        Client::Callbacks{
            [this](const Message::Parts& parts, const PacketRecord* record, bool& stored) {
              callback_began_ = Clock::now();
              const bool accepted = dispatcher_.accept(parts, record, &stored);
              callback_began_ = TimePoint();
              return accepted;
            },
            [this](std::uint32_t place, int qos) { dispatcher_.routing().set_granted(place, qos); },
            [this](std::uint64_t number, std::optional<int> reason_code) {
              publisher_.outcome(number, reason_code);
            },
            [this](const std::string& why, int reason_code) {
              auto state = state_.lock();
              // The first one knows best.
              if (!state->lost)
                state->lost = Loss{why.empty() ? "the broker closed it, or the network did" : why,
                                   reason_code};
              state.unlock();
              changed_.notify_one();
            }});
  }

  const char* version_text() const { return fastmqttd::version_text(version_.next()); }

  bool stopping() { return state_.lock()->stopping; }

  // A step of progress; false when it is time to stop.
  bool keep_going() {
    auto state = state_.lock();
    state->last_step = Clock::now();
    return !state->stopping;
  }

  bool keep_going_connected() { return keep_going() && !state_.lock()->lost; }

  std::string name_of(const Text& host) const {
    const bool v6 = host.value().find(':') != std::string::npos;
    return (v6 ? "[" + host.value() + "]" : host.value()) + ":" + std::to_string(config_.port);
  }

  void set_phase(Phase phase, const std::string& reason = "") {
    auto state = state_.lock();
    state->shown.phase = phase;
    state->shown.reason = reason;
    if (phase != Phase::connecting) state->shown.first_answer = true;
    state->last_step = Clock::now();
    state.unlock();
    attention_();
  }

  const MqttConfig& config_;
  const std::string client_id_;
  Dispatcher& dispatcher_;
  const std::function<void()> attention_;
  std::condition_variable changed_;
  Guarded<State> state_;
  std::string broker_;         // of the attempt or connection at hand; the owner's own
  std::string subscribed_at_;  // the broker at which this process has subscribed everything
  int short_lived_ = 0;        // connections in a row
  std::string last_failure_;
  std::uint32_t failures_ = 0;  // attempts in a row; each is at all hosts
  bool for_good_ = false;       // the broker will go on refusing
  ProtocolVersion version_;
  MqttVersion made_for_{version_.next()};  // what the records of the store are of
  std::chrono::seconds keepalive_;
  bool downgrade_logged_ = false;
  bool expiry_logged_ = false;
  bool keys_logged_ = false;
  Login login_;  // of the latest attempt
  KeptSession kept_;
  Subscriber subscriber_;
  Backoff backoff_{config_.reconnect_delay, config_.reconnect_delay_max};
  std::minstd_rand random_{std::random_device{}()};
  std::atomic<TimePoint> callback_began_{TimePoint()};  // of Paho's thread; the epoch: none runs
  Publisher publisher_;
  PacketStore store_;
  std::unique_ptr<Client> client_;  // the owner's own
  std::thread thread_;
};

Session::Session(const MqttConfig& config, std::string client_id,
                 const std::filesystem::path& state_directory, Spool& spool, Dispatcher& dispatcher,
                 std::function<void()> attention)
    : owner_(std::make_unique<Owner>(config, std::move(client_id), state_directory, spool,
                                     dispatcher, std::move(attention))) {}
Session::~Session() = default;
void Session::start() { owner_->start(); }
void Session::stop() { owner_->stop(); }
SessionState Session::state() const { return owner_->state(); }
std::optional<std::string> Session::stuck(TimePoint now) const { return owner_->stuck(now); }

}  // namespace fastmqttd
