#include "daemon/session/session_owner.hpp"

#include <algorithm>
#include <cstdlib>

#include "daemon/base/error.hpp"
#include "daemon/base/events.hpp"
#include "daemon/base/log.hpp"
#include "daemon/session/reason.hpp"

namespace fastmqttd {
namespace {

using Phase = SessionState::Phase;

constexpr auto kOwnerLimit = 30s;
// A connection that ends sooner does not count as a success.
constexpr auto kLasting = 10s;
constexpr int kTooManyShortLived = 3;
constexpr auto kDrainPoll = 100ms;
constexpr auto kGoodbye = 1s;

// Whether what one has subscribed is of no use to the other.
bool is_other_session(const SessionSettings& a, const SessionSettings& b) {
  const auto hosts = [](const SessionSettings& settings) {
    std::vector<std::string> names;
    for (const Text& host : settings.mqtt.host) names.push_back(host.value());
    return names;
  };
  return a.client_id != b.client_id || a.mqtt.clean_session != b.mqtt.clean_session ||
         a.mqtt.port != b.mqtt.port || hosts(a) != hosts(b);
}

std::optional<std::string> status_topic(const SessionSettings& settings) {
  const auto& topic = settings.mqtt.status_topic;
  return topic ? std::optional(topic->value()) : std::nullopt;
}

}  // namespace

Session::Owner::Owner(SessionSettings settings, const std::filesystem::path& state_directory,
                      Spool& spool, Dispatcher& dispatcher, std::function<void()> attention)
    : state_directory_(state_directory),
      dispatcher_(dispatcher),
      attention_(std::move(attention)),
      publisher_(dispatcher.outbox(), [this] { more_to_send(); }),
      store_(
          &spool, [this](int packet_id) { publisher_.record_gone(packet_id); },
          [this](int packet_id) { return publisher_.number_of(packet_id); },
          [this](const std::string& what) { dispatcher_.refuse(what + " cannot be noted"); }) {
  use(std::move(settings));
  be_at_new_session();
  made_for_ = version_->next();
  dispatcher_.outbox().on_more([this] { more_to_send(); });
}

Session::Owner::~Owner() {
  stop();
  if (thread_.joinable()) thread_.join();
  dispatcher_.outbox().on_more([] {});
}

void Session::Owner::start() {
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

void Session::Owner::stop() {
  state_.lock()->stopping = true;
  changed_.notify_one();
}

void Session::Owner::change(std::optional<SessionSettings> settings) {
  auto state = state_.lock();
  ++state->changes;
  // While the spool has no room the next connection begins with what there is then; a pause between
  // two attempts ends.
  const Phase phase = state->shown.phase;
  state->shown.changing = phase != Phase::stopped && (settings || phase != Phase::refusing);
  state->hurry = phase == Phase::waiting;
  if (settings) state->settings = std::move(settings);
  state.unlock();
  changed_.notify_one();
  attention_();
}

std::optional<std::string> Session::Owner::stuck(TimePoint now) {
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

void Session::Owner::run() {
  warn_of_risks();
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
        take_up_settings();
        continue;
      }
      if (!interrupted()) {
        judge(loss, Clock::now() - connected);
        why = loss.why;
        end_client();
      }
    } else if (!interrupted() && ++failures_ == config_.reconnect_retries) {
      give_up(why);
      break;
    }
    if (!interrupted()) pause(why);
    take_up_settings();
  }
  say_goodbye();
  end_client();
  set_phase(Phase::stopped);
}

// ---- settings ----------------------------------------------------------------------------------

void Session::Owner::warn_of_risks() const {
  if (config_.ssl && !config_.ssl->verify)
    log::warning(
        "mqtt.ssl.verify is false: whoever answers is taken for the broker, and gets the "
        "password; give mqtt.ssl.ca_file instead");
  if (!config_.clean_session && config_.session_expiry_interval == 0s)
    log::warning(
        "mqtt.session_expiry_interval is 0: the broker keeps nothing for us while the connection "
        "is down");
}

void Session::Owner::use(SessionSettings settings) {
  config_ = std::move(settings.mqtt);
  client_id_ = std::move(settings.client_id);
  version_.emplace(config_.version, config_.version_fallback);
  backoff_.emplace(config_.reconnect_delay, config_.reconnect_delay_max);
  keepalive_ = config_.keepalive;
  failures_ = 0;
  short_lived_ = 0;
  last_failure_.clear();
  downgrade_logged_ = expiry_logged_ = keys_logged_ = false;
  auto state = state_.lock();
  state->shown.broker = name_of(config_.host.front());
  state->shown.client_id = client_id_;
}

void Session::Owner::be_at_new_session() {
  subscriber_.reset();
  kept_ = std::make_unique<KeptSession>(state_directory_, client_id_, !config_.clean_session);
  subscriber_ = std::make_unique<Subscriber>(dispatcher_.routing(), *kept_);
  subscribed_at_.clear();
}

// What is connected as it was disconnects cleanly.
void Session::Owner::take_up_settings() {
  auto settings = std::exchange(state_.lock()->settings, std::nullopt);
  if (!settings || stopping()) return;
  const SessionSettings before{config_, client_id_};
  const bool other = is_other_session(before, *settings);
  if (client_ && state().phase == Phase::connected) {
    // Without a word where it is about to be said again.
    if (config_.status_topic && (other || status_topic(before) != status_topic(*settings)))
      announce(kOffline, kGoodbye);
    client_->disconnect();
    log::write(log::Level::info, fmt::format("disconnected from {}: connecting anew", broker_),
               {{"MQTT_BROKER", broker_}});
  }
  end_client();
  use(std::move(*settings));
  if (other) be_at_new_session();
  warn_of_risks();
}

// ---- while connected ---------------------------------------------------------------------------

// Until the connection ends or is to end; says why.
Session::Owner::Loss Session::Owner::serve() {
  more_to_send();  // what has waited for the connection
  auto state = state_.lock();
  while (!state->stopping && !state->lost && !state->settings) {
    state->last_step = Clock::now();
    if (state->shown.changing) {
      state.unlock();
      const bool done = follow_routing();
      state.relock();
      if (!done) break;
    } else if (std::exchange(state->more_to_send, false)) {
      state.unlock();
      publisher_.send(*client_);
      state.relock();
    } else {
      state.wait_until(changed_, Clock::now() + kOwnerLimit / 3);
    }
  }
  Loss loss = state->lost.value_or(Loss{"no answer to SUBSCRIBE", 0});
  const bool over = state->lost.has_value();
  state.unlock();
  if (over) client_->settled_connection();  // Paho has closed its side when this returns
  return loss;
}

// False when that could not be done on this connection.
bool Session::Owner::follow_routing() {
  const std::uint64_t changes = state_.lock()->changes;
  const bool done = !subscriber_->is_behind() ||
                    subscriber_->subscribe(
                        *client_, [this] { return keep_going_connected(); }, /*everything=*/false);
  show_refused();
  auto state = state_.lock();
  // One that has come meanwhile is still to be followed.
  if (done && state->changes == changes) state->shown.changing = false;
  if (!done) subscribed_at_.clear();
  const bool silent = !done && !state->lost && !state->stopping && !state->settings;
  state.unlock();
  if (silent) client_->disconnect();
  attention_();
  return done;
}

// Any thread.
void Session::Owner::more_to_send() {
  auto state = state_.lock();
  if (std::exchange(state->more_to_send, true)) return;
  state.unlock();
  changed_.notify_one();
}

// A connection that lasted starts the pauses anew; not so one that another client took from us,
// for then both would go on taking it from each other.
void Session::Owner::judge(const Loss& loss, Clock::duration lasted) {
  const int code = loss.reason_code;
  std::string text = "connection to " + broker_ + " lost: " + loss.why;
  if (code == reason::kSessionTakenOver)
    text += ": another client, or another daemon, uses the client_id " + client_id_ +
            ": give each one its own";
  std::vector<log::Field> fields{{"MESSAGE_ID", event::kConnectionLost}, {"MQTT_BROKER", broker_}};
  const std::string number = std::to_string(code);
  if (code != 0) fields.push_back({"MQTT_REASON", number});
  log::write(log::Level::warning, text, fields);

  for_good_ = refuses_for_good(code);
  if (code == reason::kSessionTakenOver) return;
  if (lasted >= kLasting) {
    backoff_->reset();
    short_lived_ = 0;
  } else if (++short_lived_ == kTooManyShortLived) {
    log::warning(
        "the broker ends one connection after the other: does another client use the "
        "client_id {} too?",
        client_id_);
  }
}

void Session::Owner::wait_until_drained() {
  const std::string why = dispatcher_.why_refused();
  if (why.empty()) return end_client();  // it has to come again for another reason
  // On a very small disk it may come and go each second.
  const bool said = refusals_.admits(Clock::now());
  const std::uint64_t before = said ? refusals_.take_left_out(TimePoint::max()) : 0;
  log::write(
      said ? log::Level::error : log::Level::debug,
      fmt::format("{}: not taking messages until there is room again; the broker {}{}", why,
                  config_.clean_session ? "drops them, since mqtt.clean_session is true"
                                        : "keeps those of QoS 1 and 2",
                  before > 0 ? fmt::format("; {} times more since it was said last", before) : ""),
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
    if (!state->stopping) state.wait_until(changed_, Clock::now() + kDrainPoll);
  }
  if (!interrupted())
    log::write(said ? log::Level::info : log::Level::debug,
               "messages can be stored again: connecting",
               {{"MESSAGE_ID", event::kSpoolRecovered}});
}

void Session::Owner::pause(const std::string& why) {
  last_failure_ = why;
  const double random = std::uniform_real_distribution<>(0, 1)(random_);
  const Duration length = for_good_ ? backoff_->longest(random) : backoff_->next(random);
  state_.lock()->hurry = false;
  set_phase(Phase::waiting, why);
  log::info("next attempt in {}", format_roughly(length));
  const TimePoint end = Clock::now() + length;
  while (keep_going() && Clock::now() < end) {
    auto state = state_.lock();
    if (state->hurry) break;
    if (!state->stopping)
      state.wait_until(changed_, std::min<TimePoint>(end, Clock::now() + kOwnerLimit / 3));
  }
}

void Session::Owner::give_up(const std::string& why) {
  log::write(log::Level::error,
             fmt::format("giving up after {} attempts to connect in a row "
                         "(mqtt.reconnect_retries): {}",
                         failures_, why),
             {{"MQTT_BROKER", broker_}});
  state_.lock()->shown.gave_up = true;
}

void Session::Owner::say_goodbye() {
  if (!client_) return;
  if (config_.status_topic) announce(kOffline, kGoodbye);
  client_->disconnect();  // without it the broker would send the will
}

// QoS 0: what does not arrive is said again with the next connection, and nothing is left behind
// for which a broker could refuse that.
bool Session::Owner::announce(const char* status, Duration timeout) {
  const std::string& topic = login_.will->topic;
  return client_->announce(Message({.topic = topic, .payload = status, .retain = true}), timeout);
}

// ---- what is shown ------------------------------------------------------------------------------

// A step of progress; false when it is time to stop, or to do something else.
bool Session::Owner::keep_going() {
  auto state = state_.lock();
  state->last_step = Clock::now();
  return !state->stopping && !state->settings;
}

bool Session::Owner::interrupted() {
  const auto state = state_.lock();
  return state->stopping || state->settings;
}

std::string Session::Owner::name_of(const Text& host) const {
  const bool v6 = host.value().find(':') != std::string::npos;
  return (v6 ? "[" + host.value() + "]" : host.value()) + ":" + std::to_string(config_.port);
}

void Session::Owner::show_refused() { state_.lock()->shown.refused = subscriber_->refused(); }

void Session::Owner::set_phase(Phase phase, const std::string& reason) {
  auto state = state_.lock();
  if (state->shown.phase != phase || state->shown.since_ns == 0)
    state->shown.since_ns = realtime_ns();
  if (phase == Phase::connected) ++state->shown.connects;
  state->shown.phase = phase;
  state->shown.reason = reason;
  state->shown.protocol = phase == Phase::connected ? version_text() : "";
  if (phase != Phase::connecting) state->shown.first_answer = true;
  // The next connection begins with what is subscribed then.
  if (phase != Phase::connecting && phase != Phase::connected && !state->settings)
    state->shown.changing = false;
  state->last_step = Clock::now();
  state.unlock();
  attention_();
}

}  // namespace fastmqttd
