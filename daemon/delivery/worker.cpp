#include "daemon/delivery/worker.hpp"

#include <pthread.h>

#include <algorithm>
#include <string_view>

#include "daemon/base/alternate_stack.hpp"
#include "daemon/base/log.hpp"
#include "daemon/message/view.hpp"

namespace fastmqttd {
namespace {

// How long answers of single calls may gather before they are settled.
constexpr auto kSettleEvery = std::chrono::milliseconds(5);
// While messages come faster than that a worker looks for them once in so long: to be woken costs
// more than most handlers do.
constexpr auto kDoze = std::chrono::microseconds(50);
// After the spool could not be read.
constexpr auto kReadAgain = std::chrono::seconds(1);
// So much of it at once.
constexpr std::size_t kPageMessages = 256;
constexpr std::size_t kPageBytes = 1 << 20;

std::int64_t to_ns(TimePoint time) {
  return std::chrono::nanoseconds(time.time_since_epoch()).count();
}

// Of a range that no other worker of this process uses: an answer that reaches the wrong one is
// none of its own.
std::uint64_t first_delivery_id() {
  static std::atomic<std::uint64_t> ranges{0};
  return ranges++ << 48 | 1;
}

}  // namespace

Worker::State::State(const Shared& shared)
    : queue(shared.config.queue.when_full, shared.config.retry, shared.config.timeout,
            std::make_shared<QueueRoom>(shared.config.queue, shared.config.workers),
            first_delivery_id()) {}

Worker::Worker(const Shared& shared, int place)
    : shared_(shared),
      config_(shared.config),
      place_(place),
      thread_name_(config_.workers == 1
                       ? config_.name.substr(0, 15)
                       : fmt::format("{}/{}", config_.name.substr(0, 12), place + 1)),
      state_(shared),
      // Not make_unique: only this class may turn itself into its private base.
      instance_(new HandlerInstance(shared.library, config_, shared.stats.own, *this)),
      used_files_(instance_->used_files()) {
  if (config_.subscribe)
    for (const SubscriptionConfig& s : *config_.subscribe)
      if (s.subscription_identifier) marking_.push_back(&s);
}

Worker::~Worker() {
  abandon();
  end();
}

void Worker::end() {
  if (worker_.joinable()) worker_.join();
  instance_.reset();
}

std::vector<Delivery> Worker::take_unstored() {
  auto state = state_.lock();
  std::vector<Delivery> all = state->queue.take_unstored();
  if (!state->handing_over || instance_->takes_batches()) return all;
  // Of messages that are given one by one, those behind the one at hand.
  const std::vector<Delivery>& batch = state->taken.batch;
  for (std::size_t i = handling_ + 1; i < batch.size(); ++i)
    if (batch[i].message && !batch[i].stored) all.push_back(batch[i]);
  return all;
}

void Worker::start() {
  worker_ = std::thread([this] { run(); });
}

void Worker::push(const MessagePtr& message, bool stored) {
  auto state = state_.lock();
  const auto [kind, dropped] = state->queue.push(message, stored, Clock::now());
  const bool is_to_wake = kind != LaneQueue::Pushed::Kind::dropped && !state->dozing;
  ++state->came;
  state.unlock();
  if (dropped > 0) count_drops(dropped);
  if (is_to_wake) changed_.notify_one();
}

void Worker::leave(std::uint64_t id) {
  state_.lock()->queue.leave(id);
  changed_.notify_one();
}

void Worker::drop() {
  ++shared_.stats.not_stored;
  report_drops(1);
}

void Worker::count_drops(std::size_t dropped) {
  shared_.stats.dropped += dropped;
  report_drops(dropped);
}

void Worker::report_drops(std::size_t dropped) {
  if (shared_.stats.unreported_drops.fetch_add(dropped) == 0) shared_.attention();
}

void Worker::pause(bool paused) {
  state_.lock()->paused = paused;
  changed_.notify_one();
}

void Worker::retire() {
  state_.lock()->retiring = true;
  changed_.notify_one();
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
  if (call_began_.load() != began)
    return std::nullopt;  // it has returned, and what is handled is another
  const auto since = std::chrono::duration_cast<Duration>(now - began);
  const std::vector<Delivery>& batch = state->taken.batch;
  Stuck stuck{.since = since};
  if (handling >= batch.size()) return stuck;  // in on_wake()
  if (const MessagePtr& first = batch[handling].message) stuck.topic = first->topic();
  const std::size_t end = instance_->takes_batches() ? batch.size() : handling + 1;
  for (std::size_t i = handling; i < end; ++i)
    if (batch[i].message && batch[i].stored)
      stuck.messages.push_back({batch[i].message->id(), batch[i].attempt});
  return stuck;
}

// What `act` makes of answers, under the lock.
template <class Act>
Worker::Outcome Worker::outcome_of(LockedState& state, Act act) {
  Outcome outcome;
  outcome.was_suspended = state->queue.suspended();
  act(outcome);
  outcome.is_suspended = state->queue.suspended();
  return outcome;
}

void Worker::complete(std::uint64_t delivery_id, fastmqtt_result result) {
  auto state = state_.lock();
  Outcome outcome = outcome_of(state, [&](Outcome& to) {
    const TimePoint now = Clock::now();
    const auto settled = state->queue.complete(delivery_id, result, now);
    if (!settled) return;
    const auto& [delivery, what] = *settled;
    note(delivery, result, what, now - delivery.began, to);
  });
  state.unlock();
  changed_.notify_one();
  finish(std::move(outcome));
}

void Worker::said(std::string_view topic, std::string_view text) {
  shared_.log.handler_said(topic, text);
}

void Worker::wake_at(std::int64_t when_ns) {
  state_.lock()->alarm = alarm_time(when_ns);
  changed_.notify_one();
}

// In a call with messages it waits for the answer, to be written with it.
bool Worker::publish(MessagePtr message) {
  if (message->qos() == 0 || !shared_.spool || in_turn_ != std::this_thread::get_id())
    return shared_.outbox.publish(shared_.sender, std::move(message));
  if (!shared_.outbox.reserve(shared_.sender, *message)) return false;
  published_.push_back(std::move(message));
  return true;
}

void Worker::run() {
  ::pthread_setname_np(::pthread_self(), thread_name_.c_str());
  const AlternateStack for_signals;
  {
    auto state = state_.lock();
    while (wait_for_work(state)) {
      ring_alarm(state);
      if (state->takes_messages()) hand_over(state);
    }
  }
  finished_ = true;
  shared_.attention();
}

// Whether there is nothing left to do, ever.  Of a handler that is paused, what waits is kept.
bool Worker::is_done(const State& state) {
  if (state.retiring || (state.closing && state.paused)) return state.queue.nothing_pending();
  return state.closing && state.queue.may_go();
}

// False when there is nothing left to do, ever.
bool Worker::wait_for_work(LockedState& state) {
  while (!abandoned_) {
    if (expire_pending(state)) continue;
    if (is_done(*state)) return false;
    const bool takes = state->takes_messages();
    if (takes && (!state->closing || state->queue.unstored() > 0) && read_more(state)) continue;
    const TimePoint now = Clock::now();
    if (state->alarm && *state->alarm <= now) return true;
    if (takes && state->queue.has_ready(now)) return true;
    std::optional<TimePoint> next =
        takes ? state->queue.next_event() : state->queue.next_deadline();
    const auto sooner = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };
    if (state->alarm) sooner(*state->alarm);
    if (takes && read_again_ > now) sooner(read_again_);
    rest(state, next);
  }
  return false;
}

// Until something happens, or that time; or, while messages come one upon the other, for a moment,
// in which none of them wakes it.
void Worker::rest(LockedState& state, std::optional<TimePoint> until) {
  const TimePoint began = Clock::now();
  if (busy_ && (!until || *until > began + kDoze)) {
    state->dozing = true;
    state->came = 0;
    state.wait_until(changed_, began + kDoze);
    state->dozing = false;
    busy_ = state->came > 1;  // not what waits: that may wait for long
    return;
  }
  if (until)
    state.wait_until(changed_, *until);
  else
    state.wait(changed_);
  busy_ = Clock::now() - began < kDoze;
}

bool Worker::expire_pending(LockedState& state) {
  std::size_t expired = 0;
  Outcome outcome = outcome_of(state, [&](Outcome& to) {
    for (const auto& [delivery, settled] : state->queue.expire(Clock::now())) {
      note(delivery, FASTMQTT_RETRY, settled, config_.timeout, to);
      ++expired;
    }
  });
  if (expired == 0) return false;
  state.unlock();
  shared_.log.overdue(expired, config_.timeout);
  finish(std::move(outcome));
  state.relock();
  return true;
}

// What waits in the spool, when there is room for it here.  False when there was nothing to do.
bool Worker::read_more(LockedState& state) {
  if (!shared_.spool || read_again_ > Clock::now()) return false;
  if (shared_.spool->is_behind()) {
    read_again_ = Clock::now() + kReadAgain;
    return false;
  }
  if (const auto parked = state->queue.wanted_parked()) {
    bring_parked(state, parked->first, parked->second);
    return true;
  }
  if (const auto page = state->queue.wanted_page()) {
    read_page(state, *page);
    return true;
  }
  return false;
}

// Without the lock.  False when it could not be read: then it is tried again.
template <class Read>
bool Worker::read_spool(LockedState& state, Read read) {
  state.unlock();
  bool done = true;
  try {
    if (!backlog_) backlog_ = shared_.spool->backlog(shared_.key);
    read();
    read_failed_ = false;
  } catch (const std::exception& error) {
    shared_.spool->end_if_damaged(error);
    done = false;
    read_again_ = Clock::now() + kReadAgain;
    if (!std::exchange(read_failed_, true))
      log::error("{}: cannot read what waits in the spool: {}: trying again", config_.name,
                 error.what());
  }
  state.relock();
  return done;
}

void Worker::read_page(LockedState& state, const LaneQueue::PageWanted& wanted) {
  LaneQueue::Page page;
  page.up_to = wanted.up_to;
  const bool read = read_spool(state, [&] {
    auto found = backlog_->read(wanted.after,
                                {.messages = std::min(wanted.messages, kPageMessages),
                                 .bytes = std::min(wanted.bytes, kPageBytes)},
                                [this](std::string_view topic) {
                                  return !shared_.is_for || shared_.is_for(place_, topic);
                                });
    for (Backlog::Waiting& one : found.messages)
      page.deliveries.push_back(delivery_of(std::move(one)));
    page.last = found.last;
    page.end = found.end;
  });
  if (!read) return;
  LaneQueue::ToPark to_park;
  state->queue.add_page(std::move(page), to_park);
  if (to_park.empty()) return;
  state.unlock();
  park(to_park);
  state.relock();
}

void Worker::bring_parked(LockedState& state, const std::string& topic, std::size_t count) {
  std::vector<std::uint64_t> ids;
  std::vector<Delivery> deliveries;
  const bool read = read_spool(state, [&] {
    ids = parked_->first(topic, count);
    for (const std::uint64_t id : ids)
      if (auto one = backlog_->one(id)) deliveries.push_back(delivery_of(std::move(*one)));
    parked_->remove(topic, ids);
  });
  if (read) state->queue.add_parked(topic, ids, std::move(deliveries));
}

// As if it had been here all the time.  The clock that the spool goes by may have been set: no
// pause gets longer than the longest one.
Delivery Worker::delivery_of(Backlog::Waiting waiting) const {
  using std::chrono::nanoseconds;
  const std::int64_t real = realtime_ns();
  Delivery delivery;
  delivery.message = std::move(waiting.message);
  delivery.stored = true;
  delivery.attempt = waiting.attempts;
  delivery.failures = waiting.failures;
  delivery.crashes = waiting.crashes;
  delivery.arrived = arrival(*delivery.message);
  if (waiting.due_ns > real)
    delivery.due = Clock::now() + std::min<nanoseconds>(nanoseconds(waiting.due_ns - real),
                                                        config_.retry.delay_max);
  return delivery;
}

void Worker::park(const LaneQueue::ToPark& to_park) {
  if (!to_park.empty() && !parked_) parked_ = shared_.spool->parked(shared_.key, place_);
  for (const auto& [topic, id] : to_park) parked_->add(topic, id);
}

void Worker::ring_alarm(LockedState& state) {
  if (!state->alarm || *state->alarm > Clock::now()) return;
  state->alarm.reset();
  handling_ = state->taken.batch.size();
  state.unlock();
  call_began_ = Clock::now();
  instance_->on_wake();
  call_began_ = TimePoint();
  state.relock();
}

void Worker::hand_over(LockedState& state) {
  LaneQueue::Taken& taken = state->taken;
  taken.batch.clear();
  taken.expired.clear();
  taken.to_park.clear();
  state->queue.take(FASTMQTT_MAX_BATCH, Clock::now(), taken);
  const std::size_t count = taken.batch.size();
  state->handing_over = count > 0;
  show(taken.batch);
  const TimePoint now = Clock::now();
  for (const Delivery& delivery : taken.batch)
    if (delivery.attempt == 1) shared_.stats.waiting.Observe(seconds(now - delivery.arrived));

  state.unlock();
  park(taken.to_park);
  drop_expired(taken.expired);
  if (count > 0 && instance_->takes_batches()) {
    call(0, count);
    settle(state, 0, count);
  } else if (count > 0) {
    hand_over_one_by_one(state);
  }
  state.relock();
  state->handing_over = false;
}

// Makes what the handler is shown of them.
void Worker::show(const std::vector<Delivery>& batch) {
  if (!views_ || views_.use_count() > 1) views_ = std::make_shared<Views>();
  views_->messages.clear();
  views_->properties.clear();
  view_list_.clear();
  in_hand_.clear();
  for (const Delivery& delivery : batch) {
    in_hand_.push_back({delivery.stored ? delivery.message->id() : 0, delivery.attempt});
    fastmqtt_message& view = views_->messages.emplace_back(delivery.message->view());
    mark(*delivery.message, view);
    view.id = delivery.id;
    view.attempt = delivery.attempt;
  }
  for (const fastmqtt_message& view : views_->messages) view_list_.push_back(&view);
  results_.resize(batch.size());
  tried_.assign(batch.size(), false);
  took_.resize(batch.size());
}

void Worker::drop_expired(std::vector<Delivery>& expired) {
  if (expired.empty()) return;
  Changes changes;
  for (const Delivery& delivery : expired)
    if (delivery.stored) changes.list.emplace_back(Done{delivery.message->id(), shared_.key});
  if (!changes.list.empty()) shared_.spool->write(std::move(changes));
  shared_.stats.expired += expired.size();
  if (shared_.stats.unreported_expired.fetch_add(expired.size()) == 0) shared_.attention();
  expired.clear();
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

// Once a message does not settle, the later ones of its topic in this batch are left untried; once
// the handler is suspended, all of them are.
void Worker::hand_over_one_by_one(LockedState& state) {
  const std::size_t count = view_list_.size();
  std::vector<std::string> held_topics;  // copies: their messages may go as they are settled
  const auto topic_of = [this](std::size_t i) {
    return std::string_view(views_->messages[i].topic.data, views_->messages[i].topic.size);
  };
  std::size_t settled = 0;
  bool going = true;
  TimePoint last_settled = Clock::now();
  for (std::size_t i = 0; i < count && going && !abandoned_; ++i) {
    if (!held_topics.empty() && std::ranges::find(held_topics, topic_of(i)) != held_topics.end())
      continue;
    const TimePoint returned = call(i, 1);
    const bool failed = results_[i] != FASTMQTT_OK && results_[i] != FASTMQTT_REJECT &&
                        results_[i] != FASTMQTT_PENDING;
    if (failed || results_[i] == FASTMQTT_PENDING) held_topics.emplace_back(topic_of(i));
    // What it has published is to be written together with this answer, not with many.
    if (!failed && published_.empty() && returned - last_settled < kSettleEvery) continue;
    settle(state, settled, i + 1);
    settled = i + 1;
    last_settled = Clock::now();
    if (failed) going = !suspended();
  }
  settle(state, settled, count);
}

// Without the lock: the handler's own time.  When it returned.
TimePoint Worker::call(std::size_t first, std::size_t count) {
  const TimePoint began = Clock::now();
  for (std::size_t i = first; i < first + count; ++i)
    views_->messages[i].deadline_ns = to_ns(began + config_.timeout);
  handling_ = first;
  call_began_ = began;
  in_turn_ = std::this_thread::get_id();
  HandlerCall::takes(in_hand_.data() + first, count);
  instance_->on_messages(view_list_.data() + first, count, results_.data() + first);
  HandlerCall::takes(nullptr, 0);
  in_turn_ = std::thread::id();
  call_began_ = TimePoint();
  const TimePoint returned = Clock::now();
  if (returned - began > config_.timeout)
    shared_.log.slow(text_of(view_list_[first]->topic), returned - began, config_.timeout);
  // Of a batch each message has its share.
  const Clock::duration took = (returned - began) / static_cast<Clock::rep>(count);
  for (std::size_t i = first; i < first + count; ++i) {
    tried_[i] = true;
    took_[i] = took;
  }
  return returned;
}

// Comes and goes without the lock.
void Worker::settle(LockedState& state, std::size_t first, std::size_t last) {
  if (first == last && published_.empty()) return;
  Changes changes;
  shared_.outbox.publish_with(changes, shared_.sender, std::exchange(published_, {}));
  state.relock();
  Outcome outcome = outcome_of(state, [&](Outcome& to) {
    to.changes = std::move(changes);
    for (std::size_t i = first; i < last; ++i) settle_one(state, i, to);
  });
  state.unlock();
  finish(std::move(outcome));
}

void Worker::settle_one(LockedState& state, std::size_t i, Outcome& outcome) {
  Delivery delivery = std::move(state->taken.batch[i]);
  if (!tried_[i]) return state->queue.give_back(std::move(delivery));
  const TimePoint now = Clock::now();
  const fastmqtt_result result = results_[i];
  if (result < FASTMQTT_OK || result > FASTMQTT_PENDING) shared_.log.no_answer(delivery, result);
  if (result == FASTMQTT_PENDING) {
    delivery.deadline = TimePoint(std::chrono::nanoseconds(views_->messages[i].deadline_ns));
    delivery.began = delivery.deadline - config_.timeout;
    delivery.view = views_;
  }
  const Settled settled = state->queue.settle(delivery, result, now);
  if (settled.kind != Settled::Kind::pending)
    note(std::move(delivery), result, settled, took_[i], outcome);
}

// Counts an answer, under the lock; what is to be written and logged is, later, without it.
void Worker::note(Delivery delivery, fastmqtt_result result, const Settled& settled,
                  Clock::duration took, Outcome& outcome) {
  shared_.stats.handling.Observe(seconds(took));
  const std::uint64_t message = delivery.message->id();
  std::vector<Change>& changes = outcome.changes.list;
  switch (settled.kind) {
    case Settled::Kind::pending: return;
    case Settled::Kind::done:
      ++shared_.stats.ok;
      if (delivery.stored) changes.emplace_back(Done{message, shared_.key});
      if (!shared_.log.wants_all()) return;
      break;
    case Settled::Kind::retry:
      ++shared_.stats.retry;
      if (delivery.stored)
        changes.emplace_back(RetryAt{
            message, shared_.key, delivery.attempt, delivery.failures,
            realtime_ns() + std::chrono::nanoseconds(settled.pause).count(), delivery.crashes});
      break;
    case Settled::Kind::dead:
      ++shared_.stats.dead;
      shared_.attention();
      ++(result == FASTMQTT_REJECT ? shared_.stats.reject : shared_.stats.retry);
      if (delivery.stored || (shared_.spool && shared_.spool->takes_letter(*delivery.message)))
        changes.emplace_back(
            Dead{delivery.message, shared_.key, delivery.attempt, settled.reason, delivery.stored});
      else
        outcome.lost_letters += 1;
      break;
  }
  outcome.reports.push_back({std::move(delivery), result, settled, took});
}

void Worker::finish(Outcome outcome) {
  if (!outcome.changes.list.empty() && shared_.spool)
    shared_.spool->write(std::move(outcome.changes));
  for (const auto& [delivery, result, settled, took] : outcome.reports)
    shared_.log.answered(delivery, result, settled, took);
  if (outcome.lost_letters > 0 && shared_.spool) shared_.log.letters_lost(outcome.lost_letters);
  if (outcome.was_suspended == outcome.is_suspended) return;
  shared_.attention();
  outcome.is_suspended ? shared_.log.suspended() : shared_.log.resumed();
}

}  // namespace fastmqttd
