#include "handlers/republish/other_broker.hpp"

#include <algorithm>
#include <utility>

#include "handlers/republish/reason.hpp"

namespace fastmqtt::republish {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLook{100};
constexpr milliseconds kLongestWait{2'000};   // of a call, for room or for a connection
constexpr milliseconds kNoLimit{30'000};      // where the daemon sets none
constexpr std::size_t kMostSuspects = 1'000;  // a bound, for those that never come again

// How long the daemon waits for the answer.
milliseconds time_for(const Message& message, std::chrono::nanoseconds now) {
  if (message.deadline().count() == 0) return kNoLimit;
  return std::max(std::chrono::duration_cast<milliseconds>(message.deadline() - now),
                  milliseconds(1));
}

}  // namespace

OtherBroker::OtherBroker(Host host, BrokerOptions options)
    : host_(host), options_(std::move(options)), keepalive_(options_.keepalive) {
  if (options_.tls && !options_.tls->verify)
    host_.log(Level::warning,
              "broker.ssl.verify is false: whoever answers is taken for the broker, and gets the "
              "password; give broker.ssl.ca_file instead");
}

OtherBroker::~OtherBroker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void OtherBroker::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

// ---- the handler's turn ------------------------------------------------------------------------

// A suspect flies alone.
bool OtherBroker::has_room(const Message& message) const {
  if (alone_ != 0) return false;
  if (suspects_.contains(message.message_id())) return flying_.empty();
  return flying_.size() < window_;
}

Result OtherBroker::send(const Message& message, Publication publication) {
  const milliseconds time = time_for(message, host_.now());
  std::unique_lock lock(mutex_);
  progress_.wait_for(lock, std::min(time / 2, kLongestWait), [&] {
    return phase_ == Phase::down || (phase_ == Phase::up && has_room(message));
  });
  if (phase_ != Phase::up || !has_room(message)) return Result::retry;
  if (const std::string why = client_->cannot_publish(publication); !why.empty()) {
    lock.unlock();
    host_.log(Level::error, "cannot be published to " + options_.name() + ": " + why, message);
    return Result::reject;
  }
  if (suspects_.contains(message.message_id())) alone_ = message.id();
  if (flying_.empty()) latest_progress_ = Clock::now();
  patience_ = time * 9 / 10;
  flying_.emplace(message.id(), Flying{message, std::move(publication)});
  waiting_.push_back(message.id());
  const bool first = waiting_.size() == 1;
  lock.unlock();
  if (first) changed_.notify_one();
  return Result::pending;
}

// ---- the thread --------------------------------------------------------------------------------

void OtherBroker::run() {
  while (keep_going()) {
    Loss loss;
    std::unique_ptr<Client> client;
    useful_ = false;
    try {
      if ((client = connect(loss))) {
        log_up(*client);
        loss = serve(*client);
      }
    } catch (const std::exception& error) {  // out of memory, of threads
      loss = {error.what(), 0};
    }
    // One that another client took from us, and we from it, is no success, whatever it carried.
    if (useful_ && !is_taken_over(loss.code)) pause_ = milliseconds(0);
    if (keep_going()) log_down(loss);
    give_back(loss);
    if (client) client->disconnect();
    client.reset();
    pause(next_pause());
  }
}

bool OtherBroker::keep_going() {
  const std::lock_guard lock(mutex_);
  return !stopping_;
}

// Every address of the name, in order.  With TLS Paho chooses one by itself, mostly of IPv4.
std::unique_ptr<Client> OtherBroker::connect(Loss& loss) {
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::connecting;
  }
  const auto addresses = find_addresses(
      options_.host, options_.port, options_.connect_timeout, [this] { return keep_going(); },
      loss.why);
  if (options_.tls && !addresses.empty()) {
    const auto v4 = std::ranges::find(
        addresses, AF_INET, [](const Address& address) { return int{address.storage.ss_family}; });
    return connect_to(v4 == addresses.end() ? addresses.front() : *v4, loss);
  }
  for (const Address& address : addresses) {
    if (auto client = connect_to(address, loss)) return client;
    if (!keep_going()) break;
  }
  return nullptr;
}

// [MQTT-3.1.2-21]: the broker's keepalive is what counts.  Paho does not heed it, so that a
// connection is to be made with it from the beginning.  A longer one than ours does no harm.
std::unique_ptr<Client> OtherBroker::connect_to(const Address& address, Loss& loss) {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      lost_.reset();
      outcomes_.clear();
    }
    auto client = std::make_unique<Client>(
        options_, Client::Callbacks{[this](std::uint64_t number, int reason_code) {
                                      const std::lock_guard lock(mutex_);
                                      outcomes_.push_back({number, reason_code});
                                      if (outcomes_.size() == 1) changed_.notify_one();
                                    },
                                    [this](const Loss& lost) {
                                      const std::lock_guard lock(mutex_);
                                      if (!lost_) lost_ = lost;  // the first one knows best
                                      changed_.notify_one();
                                    }});
    if (!client->connect(
            address, keepalive_, [this] { return keep_going(); }, loss))
      return nullptr;
    const auto other = client->limits().keepalive;
    const bool shorter =
        other && *other > seconds(0) && (keepalive_ == seconds(0) || *other < keepalive_);
    if (!shorter) return client;
    keepalive_ = *other;
    client->disconnect();
  }
}

// Until the connection ends, or has to; says why.
Loss OtherBroker::serve(Client& client) {
  std::unique_lock lock(mutex_);
  phase_ = Phase::up;
  client_ = &client;
  // Below the broker's Receive Maximum: once Paho reaches it, it stands still for a second.
  window_ = std::clamp<std::size_t>(client.limits().receive_maximum - 1, 1, options_.max_inflight);
  progress_.notify_all();
  const auto has_work = [this] {
    return stopping_ || lost_ || !outcomes_.empty() || !waiting_.empty();
  };
  for (;;) {
    if (flying_.empty())
      changed_.wait(lock, has_work);
    else
      changed_.wait_for(lock, kLook, has_work);
    const auto outcomes = std::exchange(outcomes_, {});
    const auto waiting = std::exchange(waiting_, {});
    lock.unlock();
    for (const Outcome& outcome : outcomes) settle(outcome);
    send_waiting(client, waiting);
    lock.lock();
    if (stopping_) return {"the handler ends", 0};
    if (lost_ && outcomes_.empty()) return *lost_;
    if (!flying_.empty() && Clock::now() - latest_progress_ > patience_)
      return {"it does not acknowledge what it is sent", 0};
  }
}

void OtherBroker::send_waiting(Client& client, const std::vector<std::uint64_t>& numbers) {
  for (const std::uint64_t number : numbers) {
    std::unique_lock lock(mutex_);
    Flying& flying = flying_.at(number);  // only this thread takes it out
    flying.sent = true;
    lock.unlock();
    std::string why;
    if (client.publish(flying.publication, number, why)) continue;
    lock.lock();
    flying.sent = false;
    if (lost_) continue;  // with the rest of them
    lock.unlock();
    if (!why.empty()) host_.log(Level::error, why, flying.message);
    finish(number, why.empty() ? Result::retry : Result::reject);
  }
}

void OtherBroker::settle(const Outcome& outcome) {
  std::unique_lock lock(mutex_);
  const auto found = flying_.find(outcome.number);
  if (found == flying_.end()) return;
  const Message message = found->second.message;
  const std::string topic =
      outcome.reason_code == 0 ? std::string() : found->second.publication.topic;
  lock.unlock();  // the message is there until it is complete
  Result result = Result::ok;
  useful_ = true;
  if (outcome.reason_code != 0) {
    result = refuses_message(outcome.reason_code) ? Result::reject : Result::retry;
    host_.log(Level::error,
              options_.name() + " refuses it for the topic " + topic + ": " +
                  reason_text(outcome.reason_code),
              message);
  }
  finish(outcome.number, result);
}

void OtherBroker::finish(std::uint64_t number, Result result) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = flying_.find(number);
    suspects_.erase(found->second.message.message_id());
    flying_.erase(found);
    if (alone_ == number) alone_ = 0;
    latest_progress_ = Clock::now();
  }
  host_.complete(number, result);
  progress_.notify_all();
}

// What was on its way when the connection ended: again, unless the broker has said that the message
// was the reason, and it can only have meant this one.
void OtherBroker::give_back(const Loss& loss) {
  std::map<std::uint64_t, Flying> all;
  std::vector<const Flying*> sent;
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::down;
    client_ = nullptr;
    alone_ = 0;
    waiting_.clear();
    all.swap(flying_);
    for (const auto& [number, flying] : all)
      if (flying.sent) sent.push_back(&flying);
    if (suspects_.size() + sent.size() > kMostSuspects) suspects_.clear();
    for (const Flying* flying : sent) suspects_.insert(flying->message.message_id());
  }
  progress_.notify_all();
  const bool blamed = sent.size() == 1 && ends_for_message(loss.code);
  if (blamed)
    host_.log(Level::error, options_.name() + " ends the connection for it: " + loss.why,
              sent.front()->message);
  for (const auto& [number, flying] : all)
    host_.complete(number, blamed && &flying == sent.front() ? Result::reject : Result::retry);
}

// The pause doubles; up to a fifth less of it, so that many do not come at once.
OtherBroker::Clock::duration OtherBroker::next_pause() {
  pause_ = pause_.count() == 0 ? options_.reconnect_delay
                               : std::min(pause_ * 2, options_.reconnect_delay_max);
  return pause_ * std::uniform_int_distribution<int>(80, 100)(random_) / 100;
}

void OtherBroker::pause(Clock::duration length) {
  std::unique_lock lock(mutex_);
  phase_ = Phase::down;
  progress_.notify_all();
  changed_.wait_for(lock, length, [this] { return stopping_; });
}

// ---- what is logged ----------------------------------------------------------------------------

void OtherBroker::log_up(const Client& client) {
  logged_.clear();
  std::string text = "connected to " + options_.name() + " as " + options_.client_id + ", MQTT " +
                     (options_.mqtt5 ? "5" : "3.1.1");
  if (const std::size_t most = client.limits().receive_maximum; most <= options_.max_inflight)
    text += "; it takes no more than " + std::to_string(most) + " in flight";
  host_.log(Level::info, text);
}

// Once, and again when the reason is another one.
void OtherBroker::log_down(const Loss& loss) {
  if (loss.why == logged_) return;
  logged_ = loss.why;
  host_.log(Level::error, "no connection to " + options_.name() + ": " + loss.why +
                              "; trying again until there is one");
}

}  // namespace fastmqtt::republish
