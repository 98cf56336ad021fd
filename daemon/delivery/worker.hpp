// One instance of a handler at work: its queue and the one thread that calls it.
//
// push() comes from the thread that receives and never waits for the handler; the handler's
// requests come from any thread; everything else from the main thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/config/config.hpp"
#include "daemon/delivery/lane_queue.hpp"
#include "daemon/delivery/outbox.hpp"
#include "daemon/plugin/handler_instance.hpp"
#include "daemon/plugin/handler_library.hpp"

namespace fastmqttd {

class Worker : private HandlerRequests {
 public:
  // Answers by kind, since the start.
  struct Counts {
    std::uint64_t ok = 0;
    std::uint64_t retry = 0;
    std::uint64_t reject = 0;
    std::uint64_t dead = 0;     // given up: rejected, retries used up, too old
    std::uint64_t dropped = 0;  // QoS 0, queue full
  };
  // A call into the handler that takes longer than its timeout.
  struct Stuck {
    std::string topic;
    Duration since{};
  };

  // What the workers of a handler share; all must outlive them.
  struct Shared {
    const HandlerConfig& config;
    const HandlerLibrary& library;
    std::shared_ptr<QueueRoom> room;
    Outbox& outbox;
    Outbox::SenderPtr sender;
    bool drops_any = false;  // whatever its QoS, what finds no room; else only QoS 0
    // Called, from any thread, when the handler is done with a message, or it was given up.
    std::function<void(const Message&)> settled;
    // Called, from any thread, when main should have a look: messages were dropped or given up, or
    // the worker has finished after close().
    std::function<void()> attention;
  };

  // Makes the instance; throws StartError.  The thread starts with start().  `place` is its place
  // among the handler's workers.
  Worker(const Shared& shared, int place);
  // Abandons what waits and joins the thread: a call that never returns must be stuck() no more.
  ~Worker() override;

  void start();
  // One of an earlier run, before start().
  void restore(const MessagePtr& message);
  // False when a message of QoS 1 or 2 finds no room.
  bool push(const MessagePtr& message);

  // No more pushes follow: works off what waits, however long retries take; see abandon().
  void close();
  // Stops after the call at hand, whatever waits.
  void abandon();
  bool finished() const { return finished_; }
  std::optional<Stuck> stuck(TimePoint now);
  Counts counts() const;
  std::map<std::string, std::uint64_t> handler_counters() const { return instance_->counters(); }
  // The drops since the last call.
  std::uint64_t take_unreported_drops() { return unreported_drops_.exchange(0); }

 private:
  struct State {
    explicit State(const Shared& shared);
    LaneQueue queue;
    std::vector<Delivery> batch;  // what the worker is busy with; changed under the lock only
    std::optional<TimePoint> alarm;
    bool closing = false;
  };
  using LockedState = Guarded<State>::Locked;

  void complete(std::uint64_t delivery_id, fastmqtt_result result) override;
  void wake_at(std::int64_t when_ns) override;
  bool publish(MessagePtr message) override;

  // A delivery whose answer the operator should hear of.
  struct Report {
    Delivery delivery;
    fastmqtt_result result;
    Settled settled;
  };
  using Reports = std::vector<Report>;

  void run();
  bool wait_for_work(LockedState& state);
  void ring_alarm(LockedState& state);
  void hand_over(LockedState& state);
  void hand_over_one_by_one(LockedState& state);
  TimePoint call(std::size_t first, std::size_t count);
  void log_slow(std::size_t first, Clock::duration took) const;
  void settle_and_log(LockedState& state, std::size_t first, std::size_t last);
  Reports settle(LockedState& state, std::size_t first, std::size_t last);
  void note(Delivery delivery, fastmqtt_result result, const Settled& settled, Reports& reports);
  void log(const Reports& reports) const;

  const Shared shared_;
  const HandlerConfig& config_;
  const std::string thread_name_;
  std::vector<const SubscriptionConfig*> marking_;  // those with a subscription identifier
  std::condition_variable changed_;
  Guarded<State> state_;
  std::unique_ptr<HandlerInstance> instance_;
  // What the handler is shown of a batch.
  struct Views {
    std::vector<fastmqtt_message> messages;
    std::deque<std::vector<fastmqtt_property>> properties;  // of those that have more than came
  };
  void mark(const Message& message, fastmqtt_message& view);

  std::shared_ptr<Views> views_;  // of the batch; the worker's own, kept by pending deliveries too
  std::vector<const fastmqtt_message*> view_list_;  // the worker's own
  std::vector<fastmqtt_result> results_;            // the worker's own
  std::vector<bool> tried_;  // of the batch, handed to the handler; the worker's own
  std::atomic<TimePoint> call_began_{TimePoint()};  // the epoch while no call is running
  std::atomic<std::size_t> handling_{0};            // the first of the batch in that call
  std::atomic<bool> abandoned_{false};
  std::atomic<bool> finished_{false};
  std::atomic<std::uint64_t> ok_{0}, retry_{0}, reject_{0}, dead_{0}, dropped_{0};
  std::atomic<std::uint64_t> unreported_drops_{0};
  std::thread worker_;
};

}  // namespace fastmqttd
