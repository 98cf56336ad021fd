#include "daemon/delivery/worker.hpp"

#include <pthread.h>

#include <algorithm>
#include <string_view>

#include "daemon/base/log.hpp"

namespace fastmqttd {
namespace {

constexpr const char* kNoAnswer = "which is no answer";
// How long answers of single calls may gather before they are settled.
constexpr auto kSettleEvery = std::chrono::milliseconds(5);

std::int64_t to_ns(TimePoint time) {
  return std::chrono::nanoseconds(time.time_since_epoch()).count();
}

// Of a range that no other worker of this process uses: an answer that reaches the wrong one is
// none of its own.
std::uint64_t first_delivery_id() {
  static std::atomic<std::uint64_t> ranges{0};
  return ranges++ << 48 | 1;
}

const char* result_name(fastmqtt_result result, const Settled& settled) {
  if (settled.kind == Settled::Kind::retry) return "retry";
  return result == FASTMQTT_REJECT ? "reject" : "dead";
}

}  // namespace

Worker::State::State(const Shared& shared)
    : queue(shared.config.queue.when_full, shared.config.retry, shared.config.timeout, shared.room,
            first_delivery_id(), shared.drops_any) {}

Worker::Worker(const Shared& shared, int place)
    : shared_(shared),
      config_(shared.config),
      thread_name_(config_.workers == 1
                       ? config_.name.substr(0, 15)
                       : fmt::format("{}/{}", config_.name.substr(0, 12), place + 1)),
      state_(shared),
      // Not make_unique: only this class may turn itself into its private base.
      instance_(new HandlerInstance(shared.library, config_, *this)) {
  if (config_.subscribe)
    for (const SubscriptionConfig& s : *config_.subscribe)
      if (s.subscription_identifier) marking_.push_back(&s);
}

Worker::~Worker() {
  abandon();
  if (worker_.joinable()) worker_.join();
}

void Worker::start() {
  worker_ = std::thread([this] { run(); });
}

void Worker::restore(const MessagePtr& message) {
  const std::chrono::nanoseconds age(
      std::max<std::int64_t>(realtime_ns() - message->received_ns(), 0));
  state_.lock()->queue.restore(message, Clock::now() - age);
}

bool Worker::push(const MessagePtr& message) {
  using Kind = LaneQueue::Pushed::Kind;
  const auto [kind, dropped] = state_.lock()->queue.push(message, Clock::now());
  if (kind == Kind::refused) return false;
  if (dropped > 0) {
    dropped_ += dropped;
    if (unreported_drops_.fetch_add(dropped) == 0) shared_.attention();
  }
  if (kind == Kind::queued) changed_.notify_one();
  return true;
}

void Worker::close() {
  auto state = state_.lock();
  state->closing = true;
  state->queue.hurry();
  state.unlock();
  changed_.notify_one();
}

void Worker::abandon() {
  // Under the lock, so that the worker cannot miss it between its look and its wait.
  auto state = state_.lock();
  abandoned_ = true;
  state.unlock();
  changed_.notify_one();
}

std::optional<Worker::Stuck> Worker::stuck(TimePoint now) {
  auto state = state_.lock();
  const TimePoint began = call_began_;
  const std::size_t handling = handling_;
  if (began == TimePoint() || now - began <= config_.timeout) return std::nullopt;
  const auto since = std::chrono::duration_cast<Duration>(now - began);
  if (handling >= state->batch.size()) return Stuck{"", since};  // in on_wake()
  const MessagePtr& message = state->batch[handling].message;
  return Stuck{message ? std::string(message->topic()) : std::string(), since};
}

Worker::Counts Worker::counts() const { return {ok_, retry_, reject_, dead_, dropped_}; }

void Worker::complete(std::uint64_t delivery_id, fastmqtt_result result) {
  Reports reports;
  auto state = state_.lock();
  if (auto settled = state->queue.complete(delivery_id, result, Clock::now()))
    note(std::move(settled->first), result, settled->second, reports);
  state.unlock();
  changed_.notify_one();
  log(reports);
}

void Worker::wake_at(std::int64_t when_ns) {
  state_.lock()->alarm = alarm_time(when_ns);
  changed_.notify_one();
}

bool Worker::publish(MessagePtr message) {
  return shared_.outbox.publish(shared_.sender, std::move(message));
}

void Worker::run() {
  ::pthread_setname_np(::pthread_self(), thread_name_.c_str());
  {
    auto state = state_.lock();
    while (wait_for_work(state)) {
      ring_alarm(state);
      hand_over(state);
    }
  }
  finished_ = true;
  shared_.attention();
}

// False when there is nothing left to do, ever.
bool Worker::wait_for_work(LockedState& state) {
  while (!abandoned_) {
    const TimePoint now = Clock::now();
    if (auto expired = state->queue.expire(now); !expired.empty()) {
      Reports reports;
      for (auto& [delivery, settled] : expired)
        note(std::move(delivery), FASTMQTT_RETRY, settled, reports);
      state.unlock();
      log::warning("{}: no answer for {} pending messages within {}", config_.name, expired.size(),
                   format_duration(config_.timeout));
      log(reports);
      state.relock();
      continue;
    }
    if (state->closing && state->queue.messages() == 0) return false;
    if (state->queue.has_ready(now) || (state->alarm && *state->alarm <= now)) return true;
    std::optional<TimePoint> next = state->queue.next_event();
    if (state->alarm) next = next ? std::min(*next, *state->alarm) : *state->alarm;
    if (next)
      state.wait_until(changed_, *next);
    else
      state.wait(changed_);
  }
  return false;
}

void Worker::ring_alarm(LockedState& state) {
  if (!state->alarm || *state->alarm > Clock::now()) return;
  state->alarm.reset();
  handling_ = state->batch.size();
  state.unlock();
  call_began_ = Clock::now();
  instance_->on_wake();
  call_began_ = TimePoint();
  state.relock();
}

void Worker::hand_over(LockedState& state) {
  const TimePoint now = Clock::now();
  state->batch.clear();
  state->queue.take(FASTMQTT_MAX_BATCH, now, state->batch);
  const std::size_t count = state->batch.size();
  if (count == 0) return;

  if (!views_ || views_.use_count() > 1) views_ = std::make_shared<Views>();
  views_->messages.clear();
  views_->properties.clear();
  view_list_.clear();
  for (const Delivery& delivery : state->batch) {
    fastmqtt_message& view = views_->messages.emplace_back(delivery.message->view());
    mark(*delivery.message, view);
    view.id = delivery.id;
    view.attempt = delivery.attempt;
  }
  for (const fastmqtt_message& view : views_->messages) view_list_.push_back(&view);
  results_.resize(count);
  tried_.assign(count, false);

  state.unlock();
  if (instance_->takes_batches()) {
    call(0, count);
    settle_and_log(state, 0, count);
  } else {
    hand_over_one_by_one(state);
  }
  state.relock();
}

// With the identifiers of the handler's own subscriptions that the message matches, whatever was
// sent to the broker in their place.
void Worker::mark(const Message& message, fastmqtt_message& view) {
  std::vector<fastmqtt_property> properties;
  for (const SubscriptionConfig* s : marking_)
    if (s->topic.matches(message.topic()))
      properties.push_back({FASTMQTT_SUBSCRIPTION_IDENTIFIER, *s->subscription_identifier, {}, {}});
  if (properties.empty()) return;
  const auto came = message.properties();
  properties.insert(properties.begin(), came.begin(), came.end());
  const auto& kept = views_->properties.emplace_back(std::move(properties));
  view.properties = kept.data();
  view.property_count = kept.size();
}

// Once a message does not settle, the later ones of its topic in this batch are left untried.
void Worker::hand_over_one_by_one(LockedState& state) {
  const std::size_t count = view_list_.size();
  std::vector<std::string_view> held_topics;
  const auto topic_of = [this](std::size_t i) {
    return std::string_view(views_->messages[i].topic.data, views_->messages[i].topic.size);
  };
  std::size_t settled = 0;
  TimePoint last_settled = Clock::now();
  for (std::size_t i = 0; i < count && !abandoned_; ++i) {
    if (!held_topics.empty() && std::ranges::find(held_topics, topic_of(i)) != held_topics.end())
      continue;
    const TimePoint returned = call(i, 1);
    if (results_[i] != FASTMQTT_OK && results_[i] != FASTMQTT_REJECT)
      held_topics.push_back(topic_of(i));
    if (returned - last_settled < kSettleEvery) continue;
    settle_and_log(state, settled, i + 1);
    settled = i + 1;
    last_settled = Clock::now();
  }
  settle_and_log(state, settled, count);
}

// Without the lock: the handler's own time.  When it returned.
TimePoint Worker::call(std::size_t first, std::size_t count) {
  const TimePoint began = Clock::now();
  for (std::size_t i = first; i < first + count; ++i)
    views_->messages[i].deadline_ns = to_ns(began + config_.timeout);
  handling_ = first;
  call_began_ = began;
  instance_->on_messages(view_list_.data() + first, count, results_.data() + first);
  call_began_ = TimePoint();
  const TimePoint returned = Clock::now();
  if (returned - began > config_.timeout) log_slow(first, returned - began);
  for (std::size_t i = first; i < first + count; ++i) tried_[i] = true;
  return returned;
}

void Worker::log_slow(std::size_t first, Clock::duration took) const {
  const std::string_view topic(views_->messages[first].topic.data,
                               views_->messages[first].topic.size);
  log::write(log::Level::warning,
             fmt::format("{}: {}: the call took {}, more than its timeout of {}", config_.name,
                         log::shown_topic(topic),
                         format_roughly(std::chrono::duration_cast<Duration>(took)),
                         format_duration(config_.timeout)),
             {{"MQTT_HANDLER", config_.name},
              {"MQTT_PLUGIN", shared_.library.name},
              {"MQTT_TOPIC", topic}});
}

// Comes and goes without the lock.
void Worker::settle_and_log(LockedState& state, std::size_t first, std::size_t last) {
  state.relock();
  const Reports reports = settle(state, first, last);
  state.unlock();
  log(reports);
}

Worker::Reports Worker::settle(LockedState& state, std::size_t first, std::size_t last) {
  Reports reports;
  const TimePoint now = Clock::now();
  for (std::size_t i = first; i < last; ++i) {
    Delivery delivery = std::move(state->batch[i]);
    if (!tried_[i]) {
      state->queue.give_back(std::move(delivery));
      continue;
    }
    if (results_[i] == FASTMQTT_OK) {
      shared_.settled(*delivery.message);
      state->queue.settle(std::move(delivery), FASTMQTT_OK, now);
      ++ok_;
      continue;
    }
    if (results_[i] < FASTMQTT_OK || results_[i] > FASTMQTT_PENDING)
      reports.push_back({delivery, results_[i], {Settled::Kind::pending, {}, kNoAnswer}});
    if (results_[i] == FASTMQTT_PENDING) {
      delivery.deadline = TimePoint(std::chrono::nanoseconds(views_->messages[i].deadline_ns));
      delivery.view = views_;
    }
    const Settled settled = state->queue.settle(delivery, results_[i], now);
    if (settled.kind != Settled::Kind::pending)
      note(std::move(delivery), results_[i], settled, reports);
  }
  return reports;
}

// Counts an answer, under the lock; what the operator should hear of is logged later, without it.
void Worker::note(Delivery delivery, fastmqtt_result result, const Settled& settled,
                  Reports& reports) {
  switch (settled.kind) {
    case Settled::Kind::pending: return;
    case Settled::Kind::done: ++ok_; break;
    case Settled::Kind::retry: ++retry_; break;
    case Settled::Kind::dead:
      ++dead_;
      shared_.attention();
      ++(result == FASTMQTT_REJECT ? reject_ : retry_);
      break;
  }
  if (settled.kind != Settled::Kind::retry) shared_.settled(*delivery.message);
  reports.push_back({std::move(delivery), result, settled});
}

void Worker::log(const Reports& reports) const {
  for (const auto& [delivery, result, settled] : reports) {
    const std::string_view topic = delivery.message->topic();
    log::Level level = log::Level::debug;
    std::string text;
    if (settled.kind == Settled::Kind::done) {
      continue;
    } else if (settled.reason == kNoAnswer) {
      level = log::Level::error;
      text = fmt::format("{}: answered {}, {}, taken as retry", config_.name, result, kNoAnswer);
    } else if (settled.kind == Settled::Kind::retry) {
      // The first attempt is news; the others are to be expected.
      if (delivery.attempt == 1) level = log::Level::warning;
      text = fmt::format("{}: will try again in {}: {} (attempt {})", config_.name,
                         format_roughly(settled.pause), log::shown_topic(topic), delivery.attempt);
    } else {
      level = log::Level::error;
      text = fmt::format("{}: gave up on a message: {}: {} (attempt {})", config_.name,
                         log::shown_topic(topic), settled.reason, delivery.attempt);
    }
    log::write(level, text,
               {{"MQTT_HANDLER", config_.name},
                {"MQTT_PLUGIN", shared_.library.name},
                {"MQTT_TOPIC", topic},
                {"MQTT_QOS", std::to_string(delivery.message->qos())},
                {"MQTT_RESULT", result_name(result, settled)},
                {"MQTT_ATTEMPT", std::to_string(delivery.attempt)}});
  }
}

}  // namespace fastmqttd
