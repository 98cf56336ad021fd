#include "daemon/delivery/lane_queue.hpp"

#include <algorithm>

namespace fastmqttd {
namespace {

// Keeps `deliveries` in the order of arrival.
void insert(std::deque<Delivery>& deliveries, Delivery delivery) {
  const auto at = std::ranges::upper_bound(deliveries, delivery.sequence, {}, &Delivery::sequence);
  deliveries.insert(at, std::move(delivery));
}

}  // namespace

LaneQueue::LaneQueue(WhenFull when_full, const RetryConfig& retry, Duration timeout,
                     std::shared_ptr<QueueRoom> room, std::uint64_t first_id, bool drops_any)
    : when_full_(when_full),
      drops_any_(drops_any),
      retry_(retry),
      timeout_(timeout),
      room_(std::move(room)),
      next_id_(first_id),
      handling_from_(first_id) {}

LaneQueue::Pushed LaneQueue::push(MessagePtr message, TimePoint now) {
  const std::size_t bytes = message->memory_bytes();
  std::size_t dropped = 0;
  if (!room_->fits(bytes)) {
    if (!droppable(*message)) return {Pushed::Kind::refused, 0};
    dropped = when_full_ == WhenFull::drop_oldest ? drop_oldest(bytes) : 0;
    if (dropped == 0) return {Pushed::Kind::dropped, 1};
  }
  enqueue(std::move(message), now);
  return {Pushed::Kind::queued, dropped};
}

void LaneQueue::enqueue(MessagePtr message, TimePoint arrived) {
  const std::size_t bytes = message->memory_bytes();
  room_->add(bytes);
  ++messages_;
  bytes_ += bytes;
  Delivery delivery;
  delivery.message = std::move(message);
  delivery.sequence = next_sequence_++;
  delivery.arrived = arrived;
  enters_ready(delivery);
  ready_.push_back(std::move(delivery));
}

// Makes room for so many bytes, or drops nothing.
std::size_t LaneQueue::drop_oldest(std::size_t bytes) {
  if (!room_->fits(bytes, droppable_, droppable_bytes_)) return 0;
  std::size_t dropped = 0;
  for (auto at = ready_.begin(); !room_->fits(bytes) && at != ready_.end();) {
    if (!droppable(*at->message)) {
      ++at;
      continue;
    }
    leaves_ready(*at);
    forget(*at);
    at = ready_.erase(at);
    ++dropped;
  }
  return dropped;
}

void LaneQueue::enters_ready(const Delivery& delivery) {
  if (!droppable(*delivery.message)) return;
  ++droppable_;
  droppable_bytes_ += delivery.message->memory_bytes();
}

void LaneQueue::leaves_ready(const Delivery& delivery) {
  if (!droppable(*delivery.message)) return;
  --droppable_;
  droppable_bytes_ -= delivery.message->memory_bytes();
}

void LaneQueue::take(std::size_t max, TimePoint now, std::vector<Delivery>& batch) {
  handling_from_ = next_id_;
  early_answers_.clear();
  take_due(max, now, batch);
  while (batch.size() < max && !ready_.empty()) {
    Delivery delivery = std::move(ready_.front());
    ready_.pop_front();
    leaves_ready(delivery);
    if (!held_.empty()) {
      if (const auto topic = held_.find(std::string(delivery.message->topic()));
          topic != held_.end()) {
        insert(topic->second.waiting, std::move(delivery));
        continue;
      }
    }
    hand_over(std::move(delivery), batch);
  }
}

void LaneQueue::take_due(std::size_t max, TimePoint now, std::vector<Delivery>& batch) {
  while (batch.size() < max && !due_.empty() && due_.begin()->first <= now) {
    const auto topic = held_.find(due_.begin()->second);
    unschedule(topic);
    Held& held = topic->second;
    // One that failed before goes alone; behind it the others may go together.
    const bool alone = held.waiting.front().attempt > 0;
    do {
      Delivery delivery = std::move(held.waiting.front());
      held.waiting.pop_front();
      delivery.held = true;
      ++held.out;
      hand_over(std::move(delivery), batch);
    } while (!alone && batch.size() < max && !held.waiting.empty() &&
             held.waiting.front().attempt == 0);
  }
}

void LaneQueue::hand_over(Delivery delivery, std::vector<Delivery>& batch) {
  ++delivery.attempt;
  delivery.id = next_id_++;
  batch.push_back(std::move(delivery));
}

void LaneQueue::give_back(Delivery delivery) {
  --delivery.attempt;
  delivery.due = {};
  if (const auto topic = held_.find(std::string(delivery.message->topic())); topic != held_.end()) {
    if (std::exchange(delivery.held, false)) --topic->second.out;
    insert(topic->second.waiting, std::move(delivery));
    schedule(topic);
  } else {
    enters_ready(delivery);
    insert(ready_, std::move(delivery));
  }
}

Settled LaneQueue::settle(Delivery delivery, fastmqtt_result result, TimePoint now) {
  if (result == FASTMQTT_PENDING) return wait_for_answer(std::move(delivery), now);
  early_answers_.erase(delivery.id);
  if (result == FASTMQTT_OK || result == FASTMQTT_REJECT) {
    forget(delivery);
    let_go(delivery);
    if (result == FASTMQTT_OK) return {};
    return {Settled::Kind::dead, {}, "rejected"};
  }
  return retry(std::move(delivery), now);
}

Settled LaneQueue::wait_for_answer(Delivery delivery, TimePoint now) {
  if (const auto early = early_answers_.extract(delivery.id); !early.empty())
    return settle(std::move(delivery), early.mapped(), now);
  if (!delivery.held) {
    const auto topic = hold(delivery);
    unschedule(topic);
    ++topic->second.out;
    delivery.held = true;
  }
  if (delivery.deadline == TimePoint()) delivery.deadline = now + timeout_;
  const std::uint64_t id = delivery.id;
  pending_.emplace(id, std::move(delivery));
  return {Settled::Kind::pending, {}, nullptr};
}

Settled LaneQueue::retry(Delivery delivery, TimePoint now) {
  const auto age = std::chrono::duration_cast<Duration>(now - delivery.arrived);
  if (const char* reason = retry_.give_up(delivery.attempt, age)) {
    forget(delivery);
    let_go(delivery);
    return {Settled::Kind::dead, {}, reason};
  }
  const double random = std::uniform_real_distribution<>(0, 1)(random_);
  const Duration pause = retry_.pause(delivery.attempt, random);
  delivery.due = now + pause;
  delivery.deadline = {};
  delivery.view.reset();
  const auto topic = hold(delivery);
  if (std::exchange(delivery.held, false)) --topic->second.out;
  insert(topic->second.waiting, std::move(delivery));
  schedule(topic);
  return {Settled::Kind::retry, pause, nullptr};
}

std::optional<std::pair<Delivery, Settled>> LaneQueue::complete(std::uint64_t id,
                                                                fastmqtt_result result,
                                                                TimePoint now) {
  // Pending is no answer to a pending delivery.
  if (result != FASTMQTT_OK && result != FASTMQTT_REJECT) result = FASTMQTT_RETRY;
  const auto found = pending_.extract(id);
  if (found.empty()) {
    forget_overdue(overdue_.find(id));
    if (id >= handling_from_ && id < next_id_) early_answers_.emplace(id, result);
    return std::nullopt;
  }
  Delivery delivery = found.mapped();
  return std::pair(delivery, settle(delivery, result, now));
}

std::vector<std::pair<Delivery, Settled>> LaneQueue::expire(TimePoint now) {
  std::vector<std::pair<Delivery, Settled>> expired;
  // Ids and deadlines rise together.
  while (!pending_.empty() && pending_.begin()->second.deadline <= now) {
    const Delivery delivery = std::move(pending_.begin()->second);
    pending_.erase(pending_.begin());
    keep_overdue(delivery);
    expired.emplace_back(delivery, settle(delivery, FASTMQTT_RETRY, now));
  }
  return expired;
}

// Of a handler that never completes what is overdue, the oldest go once they are too many.
void LaneQueue::keep_overdue(const Delivery& delivery) {
  overdue_bytes_ += delivery.message->memory_bytes();
  overdue_.emplace(delivery.id, Overdue{delivery.message, delivery.view});
  while (overdue_.size() > 1 && !room_->would_hold(overdue_.size(), overdue_bytes_))
    forget_overdue(overdue_.begin());
}

void LaneQueue::forget_overdue(std::map<std::uint64_t, Overdue>::iterator at) {
  if (at == overdue_.end()) return;
  overdue_bytes_ -= at->second.message->memory_bytes();
  overdue_.erase(at);
}

void LaneQueue::hurry() {
  for (auto topic = held_.begin(); topic != held_.end(); ++topic) {
    for (Delivery& delivery : topic->second.waiting) delivery.due = {};
    schedule(topic);
  }
}

bool LaneQueue::has_ready(TimePoint now) const {
  return !ready_.empty() || (!due_.empty() && due_.begin()->first <= now);
}

std::optional<TimePoint> LaneQueue::next_event() const {
  std::optional<TimePoint> next;
  if (!due_.empty()) next = due_.begin()->first;
  if (!pending_.empty()) {
    const TimePoint deadline = pending_.begin()->second.deadline;
    next = next ? std::min(*next, deadline) : deadline;
  }
  return next;
}

LaneQueue::HeldTopics::iterator LaneQueue::hold(const Delivery& delivery) {
  return held_.try_emplace(std::string(delivery.message->topic())).first;
}

// Puts the topic where its first delivery is due, or nowhere while some are out.
void LaneQueue::schedule(HeldTopics::iterator topic) {
  unschedule(topic);
  Held& held = topic->second;
  if (held.out > 0 || held.waiting.empty()) return;
  const TimePoint due = held.waiting.front().due;
  due_.emplace(due, topic->first);
  held.scheduled = due;
}

void LaneQueue::unschedule(HeldTopics::iterator topic) {
  if (!topic->second.scheduled) return;
  auto [at, end] = due_.equal_range(*topic->second.scheduled);
  while (at != end && at->second != topic->first) ++at;
  if (at != end) due_.erase(at);
  topic->second.scheduled.reset();
}

// A delivery that was out is settled: its topic goes on, or is held no more.
void LaneQueue::let_go(const Delivery& delivery) {
  if (!delivery.held) return;
  const auto topic = held_.find(std::string(delivery.message->topic()));
  Held& held = topic->second;
  --held.out;
  if (held.out == 0 && held.waiting.empty())
    held_.erase(topic);
  else
    schedule(topic);
}

void LaneQueue::forget(const Delivery& delivery) {
  room_->remove(delivery.message->memory_bytes());
  --messages_;
  bytes_ -= delivery.message->memory_bytes();
}

}  // namespace fastmqttd
