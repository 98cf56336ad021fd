// What waits for one handler, in order, and what becomes of each answer.
//
// The rules of delivery, without thread or clock: time comes in as an argument.  A message that
// waits for its retry, or for a pending answer, holds back the later messages of its own topic and
// no others.  Not thread-safe; the lane keeps it under its lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/base/units.hpp"
#include "daemon/delivery/retry_policy.hpp"
#include "daemon/message/message.hpp"

namespace fastmqttd {

// One message on its way to one handler.
struct Delivery {
  MessagePtr message;
  std::uint64_t sequence = 0;  // place in the order of arrival
  std::uint64_t id = 0;        // of the attempt at hand, never used again
  std::uint32_t attempt = 0;   // 1 once it has been handed over
  TimePoint arrived;
  TimePoint due{};                   // not before
  TimePoint deadline{};              // of the answer to the attempt at hand
  bool held = false;                 // its topic counts it as handed over
  std::shared_ptr<const void> view;  // what the handler was given, while its answer is pending
};

// What an answer led to.
struct Settled {
  enum class Kind { done, retry, dead, pending } kind = Kind::done;
  Duration pause{};              // of a retry
  const char* reason = nullptr;  // of a dead letter
};

// How much may wait for one handler, in all its queues together.  Any thread; only the one that
// receives adds, so the room that it finds stays.
class QueueRoom {
 public:
  explicit QueueRoom(const QueueConfig& limits) : limits_(limits) {}

  // Whether one more message fits, if so much were gone.  When nothing waits one of any size does.
  bool fits(std::size_t bytes, std::size_t less_messages = 0, std::size_t less_bytes = 0) const {
    const std::size_t messages = messages_ - less_messages;
    return messages == 0 ||
           (messages < limits_.messages && bytes_ - less_bytes + bytes <= limits_.size);
  }
  // Below four fifths of the limits: worth coming back after a refusal.
  bool has_drained() const {
    return messages_ == 0 ||
           (messages_ * 5 < limits_.messages * 4 && bytes_ * 5 < limits_.size * 4);
  }
  std::size_t messages() const { return messages_; }
  // Whether so much is within the limits.
  bool would_hold(std::size_t messages, std::size_t bytes) const {
    return messages <= limits_.messages && bytes <= limits_.size;
  }
  void add(std::size_t bytes) {
    ++messages_;
    bytes_ += bytes;
  }
  void remove(std::size_t bytes) {
    --messages_;
    bytes_ -= bytes;
  }

 private:
  const QueueConfig limits_;
  std::atomic<std::size_t> messages_{0};
  std::atomic<std::size_t> bytes_{0};
};

class LaneQueue {
 public:
  struct Pushed {
    enum class Kind { queued, dropped, refused } kind = Kind::queued;
    std::size_t dropped = 0;  // messages of QoS 0 that are gone, this one perhaps among them

    bool operator==(const Pushed&) const = default;
  };

  // `room` may be shared with other queues.  Deliveries are numbered from `first_id` on.
  LaneQueue(WhenFull when_full, const RetryConfig& retry, Duration timeout,
            std::shared_ptr<QueueRoom> room, std::uint64_t first_id = 1, bool drops_any = false);

  // QoS 1 and 2 are refused when there is no room; QoS 0, or with `drops_any` every message, is
  // dropped as the config says, the oldest of this queue's own.  Nothing is dropped to make room
  // that would not suffice.
  Pushed push(MessagePtr message, TimePoint now);

  // One of an earlier run, which had its room then.
  void restore(MessagePtr message, TimePoint arrived) { enqueue(std::move(message), arrived); }

  // The next deliveries in order, at most `max`, appended to `batch`, each numbered as an attempt.
  void take(std::size_t max, TimePoint now, std::vector<Delivery>& batch);
  // Takes back a delivery that was not tried after all.
  void give_back(Delivery delivery);
  // The answer to a delivery that was taken.  Not one of the four is an error of the handler's and
  // counts as retry.  A pending answer that complete() has already given settles at once.
  Settled settle(Delivery delivery, fastmqtt_result result, TimePoint now);
  // The late answer to a pending delivery; with it the delivery.  Nothing when no such delivery
  // waits; then the answer is kept if `id` is being handled now, in case pending comes after it.
  std::optional<std::pair<Delivery, Settled>> complete(std::uint64_t id, fastmqtt_result result,
                                                       TimePoint now);
  // Pending deliveries past their deadline, settled as retry.  What the handler was given stays
  // readable until it completes them all the same, as far as the room's limits go.
  std::vector<std::pair<Delivery, Settled>> expire(TimePoint now);

  // What is held for a retry is due at once; after that it waits as ever.
  void hurry();

  bool has_ready(TimePoint now) const;
  // When a held topic or a pending deadline comes next.
  std::optional<TimePoint> next_event() const;
  // Everything not settled: waiting, held, in the handler's hands, pending.
  std::size_t messages() const { return messages_; }
  std::size_t bytes() const { return bytes_; }

 private:
  // A topic with a delivery that waits, and the later ones behind it.
  struct Held {
    std::deque<Delivery> waiting;        // by sequence
    std::size_t out = 0;                 // handed over or pending; the rest waits for them
    std::optional<TimePoint> scheduled;  // where it stands in due_
  };
  // What a handler may still be looking at.
  struct Overdue {
    MessagePtr message;
    std::shared_ptr<const void> view;
  };
  using HeldTopics = std::unordered_map<std::string, Held>;

  void enqueue(MessagePtr message, TimePoint arrived);
  void take_due(std::size_t max, TimePoint now, std::vector<Delivery>& batch);
  void hand_over(Delivery delivery, std::vector<Delivery>& batch);
  HeldTopics::iterator hold(const Delivery& delivery);
  void schedule(HeldTopics::iterator topic);
  void unschedule(HeldTopics::iterator topic);
  void let_go(const Delivery& delivery);
  void forget(const Delivery& delivery);
  Settled wait_for_answer(Delivery delivery, TimePoint now);
  Settled retry(Delivery delivery, TimePoint now);
  std::size_t drop_oldest(std::size_t bytes);
  void keep_overdue(const Delivery& delivery);
  void forget_overdue(std::map<std::uint64_t, Overdue>::iterator at);
  bool droppable(const Message& message) const { return message.qos() == 0 || drops_any_; }
  void enters_ready(const Delivery& delivery);
  void leaves_ready(const Delivery& delivery);

  const WhenFull when_full_;
  const bool drops_any_;
  const RetryPolicy retry_;
  const Duration timeout_;
  const std::shared_ptr<QueueRoom> room_;
  std::deque<Delivery> ready_;  // never failed, topic perhaps held
  HeldTopics held_;
  std::multimap<TimePoint, std::string> due_;  // the held topics whose turn comes at a time
  std::map<std::uint64_t, Delivery> pending_;
  std::map<std::uint64_t, Overdue> overdue_;  // expired, and not completed by the handler yet
  std::size_t overdue_bytes_ = 0;
  std::map<std::uint64_t, fastmqtt_result> early_answers_;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t next_id_;
  std::uint64_t handling_from_;  // ids from here on may still be in the handler's hands
  std::size_t messages_ = 0;
  std::size_t bytes_ = 0;
  std::size_t droppable_ = 0;  // in ready_
  std::size_t droppable_bytes_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace fastmqttd
