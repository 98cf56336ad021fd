// One instance of a handler at work: its queue, what of it is still in the spool, and the one
// thread that calls it.
//
// push() and its like come from the thread that receives and never wait for the handler; the
// handler's requests come from any thread; everything else from the main thread.
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
#include "daemon/delivery/delivery_log.hpp"
#include "daemon/delivery/handler_stats.hpp"
#include "daemon/delivery/lane_queue.hpp"
#include "daemon/delivery/outbox.hpp"
#include "daemon/plugin/handler_call.hpp"
#include "daemon/plugin/handler_instance.hpp"
#include "daemon/plugin/handler_library.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

class Worker : private HandlerRequests {
 public:
  // A call into the handler that takes longer than its timeout.
  struct Stuck {
    std::string topic = {};
    Duration since{};
    std::vector<InHand> messages = {};  // those in the call that are stored
  };

  // What the workers of a handler share; all must outlive them.
  struct Shared {
    const HandlerConfig& config;
    const HandlerLibrary& library;
    HandlerStats& stats;
    DeliveryLog& log;
    Outbox& outbox;
    Outbox::SenderPtr sender;
    Spool* spool = nullptr;  // without one nothing is stored
    HandlerKey key = 0;      // of the handler there
    // Whether that worker gets a topic; empty when there is only one.
    std::function<bool(int place, std::string_view topic)> is_for;
    // Called, from any thread, when main should have a look: messages were dropped or given up, or
    // the worker has finished after close().
    std::function<void()> attention;
  };

  // Makes the instance; throws StartError.  The thread starts with start().  `place` is its place
  // among the handler's workers.
  Worker(const Shared& shared, int place);
  // Abandons what waits and joins the thread: a call that never returns must be stuck() no more.
  ~Worker() override;

  // Whether the instance would read something else if it was made now.
  bool files_have_changed() const { return used_files_.have_changed(); }

  void start();
  // Before start(): something of an earlier run is in the spool.
  void restore() { state_.lock()->queue.read_from_beginning(); }
  // Whether a message can come in now, without anything being dropped or left in the spool.
  bool takes(const Message& message) { return state_.lock()->queue.takes(message); }
  // `stored`: in the spool; else one that finds no room is dropped, or another for it.
  void push(const MessagePtr& message, bool stored);
  // The message with that id is in the spool.
  void leave(std::uint64_t id);
  // One was lost, as the spool could not take it, before it could be pushed.
  void drop();
  // While it is paused, the handler gets no message.
  void pause(bool paused);

  // No more pushes follow: works off what waits, however long retries take; see abandon().
  void close();
  // No more pushes follow, and another instance is to go on: stops once nothing is in the handler's
  // hands.
  void retire();
  // Stops after the call at hand, whatever waits.
  void abandon();
  bool finished() const { return finished_; }
  // Once it is to stop: returns when it has, and the instance is destroyed.
  void end();
  // Once nothing more is handed over: what was in memory only, in order, but for what is in a call.
  std::vector<Delivery> take_unstored();
  std::optional<Stuck> stuck(TimePoint now);
  // What is in memory only, and not done.
  std::size_t unstored() { return state_.lock()->queue.unstored(); }
  std::size_t retrying() { return state_.lock()->queue.retrying(); }
  bool suspended() { return state_.lock()->queue.suspended(); }
  // Before start(): see LaneQueue.
  void suspend_until(TimePoint when) { state_.lock()->queue.suspend_until(when); }
  std::optional<TimePoint> next_try() { return state_.lock()->queue.next_try(); }
  // It is doing nothing, and would lose nothing if it ended now.
  bool at_rest() {
    auto state = state_.lock();
    return !state->handing_over &&
           (state->paused ? state->queue.nothing_pending() : state->queue.may_go());
  }

 private:
  struct State {
    State(const Shared& shared);
    LaneQueue queue;
    LaneQueue::Taken taken;  // its batch is what the worker is busy with
    bool handing_over = false;
    bool dozing = false;   // it looks for messages by itself, in a moment
    std::size_t came = 0;  // since that began
    std::optional<TimePoint> alarm;
    bool paused = false;
    bool closing = false;
    bool retiring = false;

    bool takes_messages() const { return !paused && !retiring; }
  };
  using LockedState = Guarded<State>::Locked;

  void complete(std::uint64_t delivery_id, fastmqtt_result result) override;
  void wake_at(std::int64_t when_ns) override;
  bool publish(MessagePtr message) override;
  void said(std::string_view topic, std::string_view text) override;

  // A delivery whose answer the operator should hear of.
  struct Report {
    Delivery delivery;
    fastmqtt_result result;
    Settled settled;
    Clock::duration took;
  };
  // What came of some answers, to be written and logged without the lock.
  struct Outcome {
    Changes changes;
    std::vector<Report> reports;
    std::uint64_t lost_letters = 0;
    bool was_suspended = false;
    bool is_suspended = false;
  };

  template <class Act>
  Outcome outcome_of(LockedState& state, Act act);
  void count_drops(std::size_t dropped);
  void report_drops(std::size_t dropped);
  void run();
  static bool is_done(const State& state);
  bool wait_for_work(LockedState& state);
  void rest(LockedState& state, std::optional<TimePoint> until);
  bool expire_pending(LockedState& state);
  bool read_more(LockedState& state);
  void read_page(LockedState& state, const LaneQueue::PageWanted& wanted);
  void bring_parked(LockedState& state, const std::string& topic, std::size_t count);
  template <class Read>
  bool read_spool(LockedState& state, Read read);
  Delivery delivery_of(Backlog::Waiting waiting) const;
  void park(const LaneQueue::ToPark& to_park);
  void ring_alarm(LockedState& state);
  void hand_over(LockedState& state);
  void show(const std::vector<Delivery>& batch);
  void drop_expired(std::vector<Delivery>& expired);
  void hand_over_one_by_one(LockedState& state);
  TimePoint call(std::size_t first, std::size_t count);
  void settle(LockedState& state, std::size_t first, std::size_t last);
  void settle_one(LockedState& state, std::size_t i, Outcome& outcome);
  void note(Delivery delivery, fastmqtt_result result, const Settled& settled, Clock::duration took,
            Outcome& outcome);
  void finish(Outcome outcome);

  const Shared shared_;
  const HandlerConfig& config_;
  const int place_;
  const std::string thread_name_;
  std::vector<const SubscriptionConfig*> marking_;  // those with a subscription identifier
  std::condition_variable changed_;
  Guarded<State> state_;
  std::atomic<std::thread::id> in_turn_{};  // the thread that is in a call with messages
  std::unique_ptr<HandlerInstance> instance_;
  const UsedFiles used_files_;  // the instance's, which may be gone before this
  // What the handler is shown of a batch.
  struct Views {
    std::vector<fastmqtt_message> messages;
    std::deque<std::vector<fastmqtt_property>> properties;  // of those that have more than came
  };
  void mark(const Message& message, fastmqtt_message& view);

  std::shared_ptr<Views> views_;  // of the batch; the worker's own, kept by pending deliveries too
  std::vector<const fastmqtt_message*> view_list_;  // the worker's own
  std::vector<InHand> in_hand_;                     // of the batch; the worker's own
  std::vector<fastmqtt_result> results_;            // the worker's own
  std::vector<Clock::duration> took_;               // likewise, of those that were tried
  std::vector<bool> tried_;  // of the batch, handed to the handler; the worker's own
  // What the handler has published in the call at hand, or since the last answers were settled; the
  // worker's own.
  std::vector<MessagePtr> published_;
  // Of what is in the spool; the worker's own, made when they are needed.
  std::unique_ptr<Backlog> backlog_;
  std::unique_ptr<Parked> parked_;
  bool busy_ = false;       // messages come one upon the other; the worker's own
  TimePoint read_again_{};  // after a failure
  bool read_failed_ = false;
  std::atomic<TimePoint> call_began_{TimePoint()};  // the epoch while no call is running
  std::atomic<std::size_t> handling_{0};            // the first of the batch in that call
  std::atomic<bool> abandoned_{false};
  std::atomic<bool> finished_{false};
  std::thread worker_;
};

}  // namespace fastmqttd
