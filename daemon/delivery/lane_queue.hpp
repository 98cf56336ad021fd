// What waits for one instance of a handler, in order, and what becomes of each answer.
//
// The rules of delivery, without thread, disk or clock: time comes in as an argument.  A message
// that waits for its retry, or for a pending answer, holds back the later messages of its own topic
// and no others.  After some failures in a row the handler is suspended: one message is tried at
// each pause, of one waiting topic after the other, until one succeeds.
//
// What is stored in the spool need not be here: without room it is left there, and so is everything
// that comes behind it, until it is read back in pages.  Of topics that are held up only so much
// is kept here; the rest is parked, so that it does not stand in the way of other topics.
//
// Not thread-safe; the worker keeps it under its lock.
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
#include <utility>
#include <vector>

#include "daemon/base/units.hpp"
#include "daemon/delivery/queue_room.hpp"
#include "daemon/delivery/retry_policy.hpp"
#include "daemon/message/message.hpp"

namespace fastmqttd {

// One message on its way to one handler.
struct Delivery {
  MessagePtr message;
  bool stored = false;         // in the spool too
  std::uint64_t id = 0;        // of the attempt at hand, never used again
  std::uint32_t attempt = 0;   // 1 once it has been handed over
  std::uint32_t failures = 0;  // attempts that count against its limit
  std::uint32_t crashes = 0;   // of those, the ones that ended the daemon
  TimePoint arrived;
  TimePoint due{};                   // not before
  TimePoint deadline{};              // of the answer to the attempt at hand
  TimePoint began{};                 // that attempt, while its answer is pending
  bool held = false;                 // its topic counts it as handed over
  std::shared_ptr<const void> view;  // what the handler was given, while its answer is pending
};

// What an answer led to.
struct Settled {
  enum class Kind { done, retry, dead, pending } kind = Kind::done;
  Duration pause{};              // of a retry
  const char* reason = nullptr;  // of a dead letter
};

class LaneQueue {
 public:
  struct Pushed {
    enum class Kind {
      queued,
      dropped,
      left,  // in the spool, to be read from there
    } kind = Kind::queued;
    std::size_t dropped = 0;  // messages in memory only that are gone, this one perhaps among them

    bool operator==(const Pushed&) const = default;
  };
  // What is to be read from the spool: messages behind one, so many of them.
  struct PageWanted {
    std::uint64_t after = 0;
    std::uint64_t up_to = 0;  // at least: messages up to there were left in the spool
    std::size_t messages = 0;
    std::size_t bytes = 0;
  };
  struct Page {
    std::vector<Delivery> deliveries;  // in the order of arrival
    std::uint64_t last = 0;            // the id up to which this is all that there was
    bool end = false;                  // there was nothing behind it
    std::uint64_t up_to = 0;           // of what was wanted
  };

  // Deliveries are numbered from `first_id` on.
  LaneQueue(WhenFull when_full, const RetryConfig& retry, Duration timeout,
            std::shared_ptr<QueueRoom> room, std::uint64_t first_id = 1);

  // Whether a message can come in now, without anything being dropped or left in the spool.
  bool takes(const Message& message) const;
  // Messages come in the order of their ids.  One that is not stored and finds no room is dropped,
  // or, as the config says, the oldest such; nothing is dropped to make room that would not
  // suffice.
  Pushed push(MessagePtr message, bool stored, TimePoint now);

  // The message with that id is in the spool only.
  void leave(std::uint64_t id);
  // Everything in the spool is still to be read.
  void read_from_beginning() { behind_ = true; }
  bool is_behind() const { return behind_; }
  std::optional<PageWanted> wanted_page() const;
  // Ids of messages that are to be parked, with their topics.
  using ToPark = std::vector<std::pair<std::string, std::uint64_t>>;
  // What was read.
  void add_page(Page page, ToPark& to_park);
  // A topic whose turn it is, and whose first messages are parked; how many of them to bring.
  std::optional<std::pair<std::string, std::size_t>> wanted_parked() const;
  // The first parked ones of the topic: their ids, and those of them that still wait.
  void add_parked(const std::string& topic, const std::vector<std::uint64_t>& ids,
                  std::vector<Delivery> deliveries);

  struct Taken {
    std::vector<Delivery> batch;  // each numbered as an attempt
    // Their expiry interval (MQTT 5.0 section 3.3.2.3.3) has passed; they are not in here any more.
    std::vector<Delivery> expired;
    ToPark to_park;
  };
  // The next deliveries in order, at most `max`, added to what is taken.
  void take(std::size_t max, TimePoint now, Taken& taken);
  // Takes back a delivery that was not tried after all.
  void give_back(Delivery delivery);
  // The answer to a delivery that was taken; what has changed of it is noted there.  Not one of the
  // four is an error of the handler's and counts as retry.  A pending answer that complete() has
  // already given settles at once.
  Settled settle(Delivery& delivery, fastmqtt_result result, TimePoint now);
  // The late answer to a pending delivery; with it the delivery.  Nothing when no such delivery
  // waits; then the answer is kept if `id` is being handled now, in case pending comes after it.
  std::optional<std::pair<Delivery, Settled>> complete(std::uint64_t id, fastmqtt_result result,
                                                       TimePoint now);
  // Pending deliveries past their deadline, settled as retry.  What the handler was given stays
  // readable until it completes them all the same, as far as the room's limits go.
  std::vector<std::pair<Delivery, Settled>> expire(TimePoint now);

  // What is in memory only, in order, that which is pending too: it is not in here any more, but
  // for what the handler may look at, for as long as the queue is there.
  std::vector<Delivery> take_unstored();

  bool suspended() const { return suspended_; }
  // From the start: one message is tried then, and so on, until one succeeds.
  void suspend_until(TimePoint when) {
    suspended_ = true;
    probe_at_ = when;
  }
  // While it is suspended: not before then is one message tried.
  std::optional<TimePoint> next_try() const {
    return suspended_ ? std::optional(probe_at_) : std::nullopt;
  }
  // What is held for a retry is due at once; after that it waits as ever.
  void hurry();

  bool has_ready(TimePoint now) const;
  // When a held topic, a pending deadline or the next try of a suspended handler comes next.
  std::optional<TimePoint> next_event() const;
  // When the earliest pending answer is overdue.
  std::optional<TimePoint> next_deadline() const;
  bool nothing_pending() const { return pending_.empty(); }
  // Everything not settled in here: waiting, held, in the handler's hands, pending.
  std::size_t messages() const { return messages_; }
  std::size_t bytes() const { return bytes_; }
  // Of those, what is not in the spool.
  std::size_t unstored() const { return unstored_; }
  // Held up for a retry or by one.
  std::size_t retrying() const { return held_messages_; }
  // Nothing would be lost, and no answer missed, if the handler went now.
  bool may_go() const {
    return unstored_ == 0 && pending_.empty() && (ready_.empty() || suspended_);
  }

 private:
  // A topic with a delivery that waits, and the later ones behind it.
  struct Held {
    std::deque<Delivery> waiting;        // by message id
    std::size_t out = 0;                 // handed over or pending; the rest waits for them
    std::optional<TimePoint> scheduled;  // where it stands in due_
    std::size_t parked = 0;              // messages that are in the spool only
    std::uint64_t first_parked = 0;      // none of them has a lower id
    bool unparking = false;              // stands in unparking_

    bool parked_come_first() const {
      return parked > 0 && (waiting.empty() || first_parked < waiting.front().message->id());
    }
  };
  // What a handler may still be looking at.
  struct Overdue {
    MessagePtr message;
    std::shared_ptr<const void> view;
  };
  using HeldTopics = std::unordered_map<std::string, Held>;

  void enqueue(Delivery delivery);
  void add_tail_before(std::uint64_t id);
  bool is_full() const;
  bool is_to_be_parked(const Message& message) const;
  bool held_enough() const;
  static bool ends_alone(const std::vector<Delivery>& batch);
  void take_ready(std::size_t max, TimePoint now, Taken& taken);
  void take_due(std::size_t max, TimePoint now, Taken& taken);
  void take_held(HeldTopics::iterator topic, std::size_t max, TimePoint now, Taken& taken);
  void take_probe(TimePoint now, Taken& taken);
  bool has_expired(const Delivery& delivery, TimePoint now) const;
  void park(Held& topic, const Delivery& delivery, ToPark& to_park);
  void keep_in(HeldTopics::iterator topic, Delivery delivery, ToPark& to_park);
  void hand_over(Delivery delivery, std::vector<Delivery>& batch);
  HeldTopics::iterator hold(const Delivery& delivery);
  void wait_in(HeldTopics::iterator topic, Delivery delivery);
  Delivery leave_first(Held& held);
  void schedule(HeldTopics::iterator topic);
  void unschedule(HeldTopics::iterator topic);
  void let_go(const Delivery& delivery);
  void count_in(const Delivery& delivery);
  void forget(const Delivery& delivery);
  Settled wait_for_answer(Delivery& delivery, TimePoint now);
  Settled retry(Delivery& delivery, TimePoint now);
  void succeeded();
  Duration failed(Delivery& delivery, TimePoint now);
  Duration pause_after(std::uint32_t failures);
  std::size_t drop_oldest(std::size_t bytes);
  std::size_t drop_from(std::deque<Delivery>& deliveries, std::size_t bytes);
  void keep_overdue(const Delivery& delivery);
  void forget_overdue(std::map<std::uint64_t, Overdue>::iterator at);
  void enters_ready(const Delivery& delivery);
  void leaves_ready(const Delivery& delivery);

  const WhenFull when_full_;
  const RetryPolicy retry_;
  const Duration timeout_;
  const std::shared_ptr<QueueRoom> room_;
  std::deque<Delivery> ready_;  // by message id; never failed, topic perhaps held
  std::size_t ready_bytes_ = 0;
  HeldTopics held_;
  std::size_t held_messages_ = 0;  // waiting in held_
  std::size_t held_bytes_ = 0;
  std::multimap<TimePoint, std::string> due_;  // the held topics whose turn comes at a time
  std::deque<std::string> unparking_;          // those whose parked messages are to be brought
  std::map<std::uint64_t, Delivery> pending_;
  std::map<std::uint64_t, Overdue> overdue_;  // expired, and not completed by the handler yet
  std::size_t overdue_bytes_ = 0;
  std::vector<Delivery> abandoned_;  // pending to the end, and readable until the handler is gone
  std::map<std::uint64_t, fastmqtt_result> early_answers_;
  std::uint64_t next_id_;
  std::uint64_t handling_from_;  // ids from here on may still be in the handler's hands
  std::size_t messages_ = 0;
  std::size_t bytes_ = 0;
  std::size_t unstored_ = 0;
  std::size_t droppable_ = 0;  // not stored, in ready_ and tail_
  std::size_t droppable_bytes_ = 0;
  // What is in the spool and not in here: ids above cursor_, when behind_.
  bool behind_ = false;
  std::uint64_t cursor_ = 0;
  std::uint64_t last_left_ = 0;
  std::deque<Delivery> tail_;  // what came meanwhile and is not stored
  std::size_t tail_bytes_ = 0;
  bool suspended_ = false;
  std::uint32_t failed_in_row_ = 0;
  std::uint32_t probes_ = 0;  // since it was suspended
  TimePoint probe_at_{};      // the next one, not before
  std::uint64_t probe_ = 0;   // the delivery that is being tried; 0: none
  bool probe_held_next_ = false;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace fastmqttd
