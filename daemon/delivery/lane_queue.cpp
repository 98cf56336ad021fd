#include "daemon/delivery/lane_queue.hpp"

#include <algorithm>

namespace fastmqttd {
namespace {

constexpr std::uint32_t kFailuresToSuspend = 5;
constexpr std::size_t kUnparkAtOnce = 64;

std::uint64_t id_of(const Delivery& delivery) { return delivery.message->id(); }

// Keeps `deliveries` in the order of arrival.
void insert(std::deque<Delivery>& deliveries, Delivery delivery) {
  const auto at = std::ranges::upper_bound(deliveries, id_of(delivery), {}, id_of);
  deliveries.insert(at, std::move(delivery));
}

}  // namespace

LaneQueue::LaneQueue(WhenFull when_full, const RetryConfig& retry, Duration timeout,
                     std::shared_ptr<QueueRoom> room, std::uint64_t first_id)
    : when_full_(when_full),
      retry_(retry),
      timeout_(timeout),
      room_(std::move(room)),
      next_id_(first_id),
      handling_from_(first_id) {}

// ---- what comes in -----------------------------------------------------------------------------

bool LaneQueue::takes(const Message& message) const {
  return !behind_ && room_->fits(message.memory_bytes()) && !is_to_be_parked(message);
}

// Half of the room is for what is held up: the other topics have the rest.
bool LaneQueue::held_enough() const {
  return held_messages_ * 2 >= room_->max_messages() || held_bytes_ * 2 >= room_->max_bytes();
}

bool LaneQueue::is_to_be_parked(const Message& message) const {
  if (held_.empty()) return false;
  const auto topic = held_.find(std::string(message.topic()));
  return topic != held_.end() && (topic->second.parked > 0 || held_enough());
}

LaneQueue::Pushed LaneQueue::push(MessagePtr message, bool stored, TimePoint now) {
  // It may have been read from the spool by now.
  if (stored && message->id() <= cursor_) return {};
  if (stored && !takes(*message)) {
    leave(message->id());
    return {Pushed::Kind::left, 0};
  }
  const std::size_t bytes = message->memory_bytes();
  std::size_t dropped = 0;
  if (!room_->fits(bytes)) {
    dropped = when_full_ == WhenFull::drop_oldest ? drop_oldest(bytes) : 0;
    if (dropped == 0) return {Pushed::Kind::dropped, 1};
  }
  Delivery delivery;
  delivery.message = std::move(message);
  delivery.stored = stored;
  delivery.arrived = now;
  enqueue(std::move(delivery));
  return {Pushed::Kind::queued, dropped};
}

// Behind what is still in the spool, if need be.
void LaneQueue::enqueue(Delivery delivery) {
  count_in(delivery);
  if (behind_ && !delivery.stored) {
    ++droppable_;
    droppable_bytes_ += delivery.message->memory_bytes();
    tail_bytes_ += delivery.message->memory_bytes();
    tail_.push_back(std::move(delivery));
    return;
  }
  enters_ready(delivery);
  ready_.push_back(std::move(delivery));
}

void LaneQueue::leave(std::uint64_t id) {
  if (id <= cursor_) return;  // it has been read by now
  // Everything before is here already.
  if (!std::exchange(behind_, true)) cursor_ = id - 1;
  last_left_ = id;
}

// Makes room for so many bytes, or drops nothing.
std::size_t LaneQueue::drop_oldest(std::size_t bytes) {
  if (!room_->fits(bytes, droppable_, droppable_bytes_)) return 0;
  const std::size_t dropped = drop_from(ready_, bytes);
  return dropped + drop_from(tail_, bytes);
}

std::size_t LaneQueue::drop_from(std::deque<Delivery>& deliveries, std::size_t bytes) {
  std::size_t dropped = 0;
  for (auto at = deliveries.begin(); !room_->fits(bytes) && at != deliveries.end();) {
    if (at->stored) {
      ++at;
      continue;
    }
    --droppable_;
    droppable_bytes_ -= at->message->memory_bytes();
    (&deliveries == &ready_ ? ready_bytes_ : tail_bytes_) -= at->message->memory_bytes();
    forget(*at);
    at = deliveries.erase(at);
    ++dropped;
  }
  return dropped;
}

void LaneQueue::enters_ready(const Delivery& delivery) {
  const std::size_t bytes = delivery.message->memory_bytes();
  ready_bytes_ += bytes;
  if (delivery.stored) return;
  ++droppable_;
  droppable_bytes_ += bytes;
}

void LaneQueue::leaves_ready(const Delivery& delivery) {
  const std::size_t bytes = delivery.message->memory_bytes();
  ready_bytes_ -= bytes;
  if (delivery.stored) return;
  --droppable_;
  droppable_bytes_ -= bytes;
}

// ---- what is read back from the spool ----------------------------------------------------------

bool LaneQueue::is_full() const {
  return messages_ >= room_->max_messages() || bytes_ >= room_->max_bytes();
}

// Before the handler has nothing to do.  What waits for the page to be read is no reason not to
// read it.
std::optional<LaneQueue::PageWanted> LaneQueue::wanted_page() const {
  const std::size_t messages = room_->max_messages(), bytes = room_->max_bytes();
  if (!behind_ || ready_.size() * 4 > messages || ready_bytes_ * 4 > bytes) return std::nullopt;
  const std::size_t others = messages_ - tail_.size(), other_bytes = bytes_ - tail_bytes_;
  if (others > 0 && (others >= messages || other_bytes >= bytes)) return std::nullopt;
  return PageWanted{cursor_, last_left_, messages - std::min(messages_, messages - 1),
                    bytes - std::min(bytes_, bytes - 1)};
}

void LaneQueue::add_page(Page page, ToPark& to_park) {
  for (Delivery& delivery : page.deliveries) {
    add_tail_before(id_of(delivery));
    if (is_to_be_parked(*delivery.message)) {
      park(held_.find(std::string(delivery.message->topic()))->second, delivery, to_park);
    } else if (delivery.attempt > 0) {
      count_in(delivery);
      const auto topic = hold(delivery);
      wait_in(topic, std::move(delivery));
      schedule(topic);
    } else {
      enqueue(std::move(delivery));
    }
  }
  // What was left and is not there any more has been settled by another worker.
  cursor_ = page.end ? std::max(page.last, page.up_to) : page.last;
  behind_ = !page.end || last_left_ > cursor_;
  add_tail_before(behind_ ? cursor_ : UINT64_MAX);
}

void LaneQueue::add_tail_before(std::uint64_t id) {
  while (!tail_.empty() && id_of(tail_.front()) < id) {
    const std::size_t bytes = tail_.front().message->memory_bytes();
    tail_bytes_ -= bytes;
    ready_bytes_ += bytes;
    ready_.push_back(std::move(tail_.front()));
    tail_.pop_front();
  }
}

void LaneQueue::park(Held& topic, const Delivery& delivery, ToPark& to_park) {
  if (topic.parked++ == 0) topic.first_parked = id_of(delivery);
  to_park.emplace_back(delivery.message->topic(), id_of(delivery));
}

std::optional<std::pair<std::string, std::size_t>> LaneQueue::wanted_parked() const {
  if (unparking_.empty()) return std::nullopt;
  const std::size_t messages = room_->max_messages();
  // One can always come, so that no topic waits for the others.
  if (is_full()) return std::pair(unparking_.front(), std::size_t{1});
  return std::pair(
      unparking_.front(),
      std::clamp<std::size_t>(messages / 4, 1, std::min(kUnparkAtOnce, messages - messages_)));
}

void LaneQueue::add_parked(const std::string& name, const std::vector<std::uint64_t>& ids,
                           std::vector<Delivery> deliveries) {
  std::erase(unparking_, name);
  const auto topic = held_.find(name);
  Held& held = topic->second;
  held.unparking = false;
  held.parked -= std::min(held.parked, ids.size());
  if (ids.empty()) held.parked = 0;
  if (!ids.empty()) held.first_parked = ids.back() + 1;
  for (Delivery& delivery : deliveries) {
    count_in(delivery);
    wait_in(topic, std::move(delivery));
  }
  schedule(topic);
}

// ---- what goes out -----------------------------------------------------------------------------

void LaneQueue::take(std::size_t max, TimePoint now, Taken& taken) {
  handling_from_ = next_id_;
  early_answers_.clear();
  if (suspended_) return take_probe(now, taken);
  take_due(max, now, taken);
  if (!ends_alone(taken.batch)) take_ready(max, now, taken);
}

void LaneQueue::take_ready(std::size_t max, TimePoint now, Taken& taken) {
  while (taken.batch.size() < max && !ready_.empty()) {
    Delivery delivery = std::move(ready_.front());
    ready_.pop_front();
    leaves_ready(delivery);
    if (has_expired(delivery, now)) {
      forget(delivery);
      taken.expired.push_back(std::move(delivery));
      continue;
    }
    if (!held_.empty()) {
      if (const auto topic = held_.find(std::string(delivery.message->topic()));
          topic != held_.end()) {
        keep_in(topic, std::move(delivery), taken.to_park);
        continue;
      }
    }
    hand_over(std::move(delivery), taken.batch);
  }
}

// Behind one that holds up its topic: here, or in the spool only.
void LaneQueue::keep_in(HeldTopics::iterator topic, Delivery delivery, ToPark& to_park) {
  if (delivery.stored && (topic->second.parked > 0 || held_enough())) {
    forget(delivery);
    park(topic->second, delivery, to_park);
    return;
  }
  wait_in(topic, std::move(delivery));
}

// One at which the daemon crashed is handed over by itself: else the next crash would not say which
// of them it was.
bool LaneQueue::ends_alone(const std::vector<Delivery>& batch) {
  return !batch.empty() && batch.back().crashes > 0;
}

void LaneQueue::take_due(std::size_t max, TimePoint now, Taken& taken) {
  while (taken.batch.size() < max && !due_.empty() && due_.begin()->first <= now &&
         !ends_alone(taken.batch)) {
    const auto topic = held_.find(due_.begin()->second);
    const bool crashed =
        !topic->second.waiting.empty() && topic->second.waiting.front().crashes > 0;
    if (crashed && !taken.batch.empty()) return;
    take_held(topic, max, now, taken);
  }
}

void LaneQueue::take_held(HeldTopics::iterator topic, std::size_t max, TimePoint now,
                          Taken& taken) {
  unschedule(topic);
  Held& held = topic->second;
  // One that failed before goes alone; behind it the others may go together.
  bool alone = false;
  while (taken.batch.size() < max && !held.waiting.empty() && !held.parked_come_first() && !alone) {
    const bool failed_before = held.waiting.front().attempt > 0;
    if (failed_before && held.out > 0) break;
    if (held.waiting.front().crashes > 0 && !taken.batch.empty()) break;
    alone = failed_before;
    Delivery delivery = leave_first(held);
    if (has_expired(delivery, now)) {
      alone = false;
      forget(delivery);
      taken.expired.push_back(std::move(delivery));
      continue;
    }
    delivery.held = true;
    ++held.out;
    hand_over(std::move(delivery), taken.batch);
  }
  if (held.out == 0) schedule(topic);
}

// Of a suspended handler: one that has never been tried and one that has failed by turns, of the
// topic whose failure lies farthest back.
void LaneQueue::take_probe(TimePoint now, Taken& taken) {
  if (probe_ != 0 || now < probe_at_) return;
  for (int i = 0; i < 2 && taken.batch.empty(); ++i) {
    if (!std::exchange(probe_held_next_, !probe_held_next_))
      take_ready(1, now, taken);
    else if (!due_.empty())
      take_held(held_.find(due_.begin()->second), 1, now, taken);
  }
  if (!taken.batch.empty()) probe_ = taken.batch.back().id;
}

bool LaneQueue::has_expired(const Delivery& delivery, TimePoint now) const {
  for (const fastmqtt_property& p : delivery.message->properties())
    if (p.id == FASTMQTT_MESSAGE_EXPIRY_INTERVAL)
      return now - delivery.arrived >= std::chrono::seconds(p.number);
  return false;
}

void LaneQueue::hand_over(Delivery delivery, std::vector<Delivery>& batch) {
  ++delivery.attempt;
  delivery.id = next_id_++;
  batch.push_back(std::move(delivery));
}

void LaneQueue::give_back(Delivery delivery) {
  if (delivery.id == probe_) probe_ = 0;
  --delivery.attempt;
  delivery.due = {};
  if (const auto topic = held_.find(std::string(delivery.message->topic())); topic != held_.end()) {
    if (std::exchange(delivery.held, false)) --topic->second.out;
    wait_in(topic, std::move(delivery));
    schedule(topic);
  } else {
    enters_ready(delivery);
    insert(ready_, std::move(delivery));
  }
}

// ---- answers -----------------------------------------------------------------------------------

Settled LaneQueue::settle(Delivery& delivery, fastmqtt_result result, TimePoint now) {
  if (result == FASTMQTT_PENDING) return wait_for_answer(delivery, now);
  early_answers_.erase(delivery.id);
  if (result == FASTMQTT_OK || result == FASTMQTT_REJECT) {
    // A message that is refused says nothing of what is behind the handler.
    if (result == FASTMQTT_OK) succeeded();
    if (delivery.id == probe_) probe_ = 0;
    forget(delivery);
    let_go(delivery);
    if (result == FASTMQTT_OK) return {};
    return {Settled::Kind::dead, {}, "rejected"};
  }
  return retry(delivery, now);
}

void LaneQueue::succeeded() {
  failed_in_row_ = 0;
  if (!std::exchange(suspended_, false)) return;
  probe_ = 0;
  hurry();
}

Settled LaneQueue::wait_for_answer(Delivery& delivery, TimePoint now) {
  if (const auto early = early_answers_.extract(delivery.id); !early.empty())
    return settle(delivery, early.mapped(), now);
  if (!delivery.held) {
    const auto topic = hold(delivery);
    unschedule(topic);
    ++topic->second.out;
    delivery.held = true;
  }
  if (delivery.deadline == TimePoint()) delivery.deadline = now + timeout_;
  pending_.emplace(delivery.id, delivery);
  return {Settled::Kind::pending, {}, nullptr};
}

Settled LaneQueue::retry(Delivery& delivery, TimePoint now) {
  const Duration pause = failed(delivery, now);
  const auto age = std::chrono::duration_cast<Duration>(now - delivery.arrived);
  if (const char* reason = retry_.give_up(delivery.failures, age)) {
    forget(delivery);
    let_go(delivery);
    return {Settled::Kind::dead, {}, reason};
  }
  delivery.due = now + pause;
  delivery.deadline = {};
  delivery.view.reset();
  const auto topic = hold(delivery);
  if (std::exchange(delivery.held, false)) --topic->second.out;
  wait_in(topic, delivery);
  schedule(topic);
  return {Settled::Kind::retry, pause, nullptr};
}

// How long the message is to wait.  While the handler is suspended that only says where it stands
// among the others.
Duration LaneQueue::failed(Delivery& delivery, TimePoint now) {
  if (suspended_) {
    if (delivery.id != probe_) return retry_.longest_pause();
    probe_ = 0;
    probe_at_ = now + pause_after(++probes_);
    return retry_.longest_pause();
  }
  ++delivery.failures;
  if (++failed_in_row_ >= kFailuresToSuspend) {
    suspended_ = true;
    probe_ = 0;
    probes_ = 1;
    probe_at_ = now + pause_after(probes_);
  }
  return pause_after(delivery.failures);
}

Duration LaneQueue::pause_after(std::uint32_t failures) {
  return retry_.pause(failures, std::uniform_real_distribution<>(0, 1)(random_));
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
  const Settled settled = settle(delivery, result, now);
  return std::pair(std::move(delivery), settled);
}

std::vector<std::pair<Delivery, Settled>> LaneQueue::expire(TimePoint now) {
  std::vector<std::pair<Delivery, Settled>> expired;
  while (!pending_.empty() && pending_.begin()->second.deadline <= now) {
    Delivery delivery = std::move(pending_.begin()->second);
    pending_.erase(pending_.begin());
    keep_overdue(delivery);
    const Settled settled = settle(delivery, FASTMQTT_RETRY, now);
    expired.emplace_back(std::move(delivery), settled);
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

// Of a queue that is used no more.
std::vector<Delivery> LaneQueue::take_unstored() {
  std::vector<Delivery> all;
  const auto take_from = [&](std::deque<Delivery>& deliveries) {
    for (Delivery& delivery : deliveries)
      if (!delivery.stored) all.push_back(std::move(delivery));
    deliveries.clear();
  };
  take_from(ready_);
  take_from(tail_);
  for (auto& [topic, held] : held_) take_from(held.waiting);
  // Whose answer nobody will wait for any more; the handler may still be looking at them.
  for (auto& [id, delivery] : pending_) {
    if (!delivery.stored) all.push_back(delivery);
    abandoned_.push_back(std::move(delivery));
  }
  pending_.clear();
  unstored_ -= all.size();
  std::ranges::sort(all, {}, id_of);
  return all;
}

// ---- time --------------------------------------------------------------------------------------

void LaneQueue::hurry() {
  for (auto next = held_.begin(); next != held_.end();) {
    const auto topic = next++;  // it may be held no more
    for (Delivery& delivery : topic->second.waiting) delivery.due = {};
    schedule(topic);
  }
}

bool LaneQueue::has_ready(TimePoint now) const {
  if (suspended_) return probe_ == 0 && now >= probe_at_ && (!ready_.empty() || !due_.empty());
  return !ready_.empty() || (!due_.empty() && due_.begin()->first <= now);
}

std::optional<TimePoint> LaneQueue::next_event() const {
  std::optional<TimePoint> next;
  if (suspended_) {
    if (probe_ == 0 && (!ready_.empty() || !due_.empty())) next = probe_at_;
  } else if (!due_.empty()) {
    next = due_.begin()->first;
  }
  if (const auto deadline = next_deadline()) next = next ? std::min(*next, *deadline) : *deadline;
  return next;
}

// Ids and deadlines rise together.
std::optional<TimePoint> LaneQueue::next_deadline() const {
  if (pending_.empty()) return std::nullopt;
  return pending_.begin()->second.deadline;
}

// ---- topics that are held up -------------------------------------------------------------------

LaneQueue::HeldTopics::iterator LaneQueue::hold(const Delivery& delivery) {
  return held_.try_emplace(std::string(delivery.message->topic())).first;
}

void LaneQueue::wait_in(HeldTopics::iterator topic, Delivery delivery) {
  ++held_messages_;
  held_bytes_ += delivery.message->memory_bytes();
  insert(topic->second.waiting, std::move(delivery));
}

Delivery LaneQueue::leave_first(Held& held) {
  Delivery delivery = std::move(held.waiting.front());
  held.waiting.pop_front();
  --held_messages_;
  held_bytes_ -= delivery.message->memory_bytes();
  return delivery;
}

// Puts the topic where its first delivery is due, or nowhere while some are out.  A topic with
// nothing any more is not held.
void LaneQueue::schedule(HeldTopics::iterator topic) {
  unschedule(topic);
  Held& held = topic->second;
  if (held.out > 0) return;
  if (held.parked_come_first()) {
    if (!std::exchange(held.unparking, true)) unparking_.push_back(topic->first);
  } else if (held.waiting.empty()) {
    held_.erase(topic);
  } else {
    const TimePoint due = held.waiting.front().due;
    due_.emplace(due, topic->first);
    held.scheduled = due;
  }
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
  --topic->second.out;
  schedule(topic);
}

void LaneQueue::count_in(const Delivery& delivery) {
  room_->add(delivery.message->memory_bytes());
  ++messages_;
  bytes_ += delivery.message->memory_bytes();
  if (!delivery.stored) ++unstored_;
}

void LaneQueue::forget(const Delivery& delivery) {
  room_->remove(delivery.message->memory_bytes());
  --messages_;
  bytes_ -= delivery.message->memory_bytes();
  if (!delivery.stored) --unstored_;
}

}  // namespace fastmqttd
