#include "daemon/session/session.hpp"

#include <atomic>
#include <condition_variable>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/log.hpp"
#include "daemon/session/backoff.hpp"
#include "daemon/session/client.hpp"
#include "daemon/session/publisher.hpp"

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

// A name lookup that may take its time, in a thread of its own that nobody has to wait for.
struct Lookup {
  struct Answer {
    bool done = false;
    std::vector<Endpoint> endpoints;
    std::string why;
  };
  Guarded<Answer> answer;
  std::condition_variable answered;
};

std::shared_ptr<Lookup> look_up(const std::string& host, std::uint16_t port) {
  auto lookup = std::make_shared<Lookup>();
  std::thread([lookup, host, port] {
    Lookup::Answer found;
    found.endpoints = resolve(host, port, found.why);
    found.done = true;
    *lookup->answer.lock() = std::move(found);
    lookup->answered.notify_one();
  }).detach();
  return lookup;
}

}  // namespace

class Session::Owner {
 public:
  Owner(const MqttConfig& config, std::string client_id, Dispatcher& dispatcher,
        std::function<void()> attention)
      : config_(config),
        client_id_(std::move(client_id)),
        dispatcher_(dispatcher),
        attention_(std::move(attention)),
        publisher_(dispatcher.outbox(), [this] { more_to_send(); }) {
    dispatcher_.outbox().on_more([this] { more_to_send(); });
    state_.lock()->shown.broker = config.host.front().value() + ":" + std::to_string(config.port);
  }

  ~Owner() {
    stop();
    if (thread_.joinable()) thread_.join();
    dispatcher_.outbox().on_more([] {});
  }

  void start() {
    thread_ = std::thread([this] { run(); });
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
  struct State {
    SessionState shown;
    bool stopping = false;
    std::optional<std::string> lost;  // why the connection ended, when it has
    bool more_to_send = false;
    TimePoint last_step = Clock::now();
  };

  void run() {
    while (!stopping()) {
      std::string why;
      if (connect(why)) {
        const TimePoint connected = Clock::now();
        set_phase(Phase::connected);
        why = serve();
        if (stopping()) break;
        if (client_->refused()) {
          wait_until_drained();
          continue;
        }
        judge(Clock::now() - connected);
        log::write(log::Level::warning, "connection to " + broker_ + " lost: " + why,
                   {{"MQTT_BROKER", broker_}});
        end_client();
      }
      if (!stopping()) pause(why);
    }
    if (client_) client_->disconnect();  // without it the broker would send the will
    end_client();
    set_phase(Phase::stopped);
  }

  // A connection that lasted starts the pauses anew.
  void judge(Clock::duration lasted) {
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

  // Tries every host and every address of it, in order.
  bool connect(std::string& why) {
    set_phase(Phase::connecting);
    for (const Text& host : config_.host) {
      broker_ = host.value() + ":" + std::to_string(config_.port);
      state_.lock()->shown.broker = broker_;
      for (const Endpoint& endpoint : addresses_of(host.value(), why)) {
        if (stopping()) return false;
        if (connect_to(endpoint, why)) return true;
      }
      if (stopping()) return false;
      log::write(log::Level::warning, "cannot connect to " + broker_ + ": " + why,
                 {{"MQTT_BROKER", broker_}});
    }
    return false;
  }

  std::vector<Endpoint> addresses_of(const std::string& host, std::string& why) {
    const auto lookup = look_up(host, config_.port);
    const TimePoint deadline = Clock::now() + kResolveLimit;
    while (keep_going() && Clock::now() < deadline) {
      auto answer = lookup->answer.lock();
      if (!answer->done) answer.wait_until(lookup->answered, Clock::now() + kStep);
      if (!answer->done) continue;
      why = "cannot find the address of '" + host + "': " + answer->why;
      return std::move(answer->endpoints);
    }
    why = "cannot find the address of '" + host + "': no answer from the resolver";
    return {};
  }

  bool connect_to(const Endpoint& endpoint, std::string& why) {
    if (!client_) make_client();
    state_.lock()->lost.reset();
    publisher_.connecting();
    const auto connected = client_->connect(
        endpoint, [this] { return keep_going(); }, why);
    if (!connected) {
      // An attempt that is still going on must not meet the next one.
      if (client_->connecting()) end_client();
      return false;
    }
    log::write(
        log::Level::info,
        fmt::format("connected to {} as {}, MQTT {}, {}", broker_, client_id_, version_text(),
                    connected->session_present ? "session kept" : "new session"),
        {{"MQTT_BROKER", broker_}});
    publisher_.connected(connected->session_present);
    // A session that was there when this process last subscribed still has its subscriptions.
    if (subscribed_ && connected->session_present) return true;
    subscribed_ = client_->subscribe(dispatcher_.plan(), [this] { return keep_going_connected(); });
    if (subscribed_ || client_->refused()) return true;
    client_->disconnect();
    end_client();
    why = "the connection did not last until everything was subscribed";
    return false;
  }

  // Until the connection ends or is to end; says why.
  std::string serve() {
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
    std::string why = state->lost.value_or("");
    state.unlock();
    client_->settled_connection();  // Paho has closed its side when this returns
    return why;
  }

  // Any thread.
  void more_to_send() {
    auto state = state_.lock();
    if (std::exchange(state->more_to_send, true)) return;
    state.unlock();
    changed_.notify_one();
  }

  void wait_until_drained() {
    log::warning(
        "a handler's queue is full: not taking messages until it has drained; the broker {}",
        config_.clean_session ? "drops them, since mqtt.clean_session is true"
                              : "keeps those of QoS 1 and 2");
    set_phase(Phase::refusing, "a handler's queue is full");
    end_client();
    while (keep_going() && !dispatcher_.has_drained()) {
      auto state = state_.lock();
      if (!state->stopping) state.wait_until(changed_, Clock::now() + kStep);
    }
  }

  void pause(const std::string& why) {
    const double random = std::uniform_real_distribution<>(0, 1)(random_);
    const Duration length = backoff_.next(random);
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

  void make_client() {
    client_ = std::make_unique<Client>(
        config_, client_id_, store_,
        Client::Callbacks{
            [this](const MessagePtr& message) {
              callback_began_ = Clock::now();
              const bool accepted = dispatcher_.accept(message);
              callback_began_ = TimePoint();
              return accepted;
            },
            [this](std::uint32_t place, bool refused) { dispatcher_.set_refused(place, refused); },
            [this](std::uint64_t number, std::optional<int> reason_code) {
              publisher_.outcome(number, reason_code);
            },
            [this](const std::string& why) {
              auto state = state_.lock();
              // The first one knows best.
              if (!state->lost)
                state->lost = why.empty() ? "the broker closed it, or the network did" : why;
              state.unlock();
              changed_.notify_one();
            }});
  }

  const char* version_text() const {
    switch (config_.version) {
      case MqttVersion::v3_1: return "3.1";
      case MqttVersion::v3_1_1: return "3.1.1";
      case MqttVersion::v5: break;
    }
    return "5";
  }

  bool stopping() { return state_.lock()->stopping; }

  // A step of progress; false when it is time to stop.
  bool keep_going() {
    auto state = state_.lock();
    state->last_step = Clock::now();
    return !state->stopping;
  }

  bool keep_going_connected() { return keep_going() && !state_.lock()->lost; }

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
  std::string broker_;       // of the attempt or connection at hand; the owner's own
  bool subscribed_ = false;  // by this process, on the session at the broker
  int short_lived_ = 0;      // connections in a row
  Backoff backoff_{config_.reconnect_delay, config_.reconnect_delay_max};
  std::minstd_rand random_{std::random_device{}()};
  std::atomic<TimePoint> callback_began_{TimePoint()};  // of Paho's thread; the epoch: none runs
  Publisher publisher_;
  PacketStore store_{[this](int packet_id) { publisher_.record_gone(packet_id); }};
  std::unique_ptr<Client> client_;  // the owner's own
  std::thread thread_;
};

Session::Session(const MqttConfig& config, std::string client_id, Dispatcher& dispatcher,
                 std::function<void()> attention)
    : owner_(std::make_unique<Owner>(config, std::move(client_id), dispatcher,
                                     std::move(attention))) {}
Session::~Session() = default;
void Session::start() { owner_->start(); }
void Session::stop() { owner_->stop(); }
SessionState Session::state() const { return owner_->state(); }
std::optional<std::string> Session::stuck(TimePoint now) const { return owner_->stuck(now); }

}  // namespace fastmqttd
