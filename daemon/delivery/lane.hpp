// One handler: its workers, over which the topics are spread, so that a topic stays in order.
//
// push() comes from the thread that receives and never waits for the handler; what is counted and
// what is const, any thread may ask; the rest is main's.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/delivery/worker.hpp"

namespace fastmqttd {

class Lane {
 public:
  // Answers by kind, and more: see HandlerStats.
  struct Counts {
    std::uint64_t ok = 0;
    std::uint64_t retry = 0;
    std::uint64_t reject = 0;
    std::uint64_t dead = 0;
    std::uint64_t dropped = 0;
    std::uint64_t expired = 0;
  };
  using Stuck = Worker::Stuck;

  // Makes the instances; throws StartError.  `outbox` and `spool`, without which nothing is stored,
  // must outlive the lane, as must `tap`.  `attention`: see Worker::Shared.  `before` is the lane
  // that it is to take over from, which counts on.
  Lane(const HandlerConfig& config, const HandlerLibrary& library, Outbox& outbox, Spool* spool,
       DeliveryTap& tap, std::function<void()> attention, const Lane* before = nullptr);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  const HandlerConfig& config() const { return config_; }
  const std::string& name() const { return config_.name; }
  const HandlerLibrary& library() const { return library_; }

  // Whether it would become another if it was made now, from the same configuration.
  bool files_have_changed() const;

  // By its number in the spool.
  HandlerKey key() const { return key_; }
  const Outbox::SenderPtr& sender() const { return sender_; }

  // Before start(): what waits in the spool for it is to be handled first.
  void restore();
  void start();
  // While it is paused, the handler gets no message: they wait.
  void pause(bool paused);
  bool paused() const { return paused_; }
  bool started() const { return started_; }
  // Whether the message can come in now, without anything being dropped or left in the spool.
  bool takes(const Message& message) { return worker_for(message.topic()).takes(message); }
  // `stored`: in the spool; else one that finds no room is dropped, or another for it.
  void push(const MessagePtr& message, bool stored) {
    worker_for(message->topic()).push(message, stored);
  }
  // The message with that id is in the spool, on whatever topic.
  void leave(std::uint64_t id);
  // One was lost for want of room before it could be pushed.
  void drop() { workers_.front()->drop(); }

  // No more pushes follow: works off what waits, however long retries take; see abandon().
  void close();
  // No more pushes follow, and another lane of the same handler, or none, is to go on: stops once
  // nothing is in the handler's hands.
  void retire();
  // Stops after the calls at hand, whatever waits.
  void abandon();
  bool finished() const;
  // Once it is to stop: returns when it has, and the instances are destroyed.
  void end();
  // Once nothing more is handed over: puts what was in memory only, but for what is in a call, into
  // the spool; how many messages there were.  What that cannot take is lost, and said to be.
  std::size_t keep_unstored();
  // The call that has been stuck for the longest time, with the messages of all that are.
  std::optional<Stuck> stuck(TimePoint now);
  Counts counts() const;
  Outbox::Counts publish_counts() const { return Outbox::counts(sender_); }
  const HandlerStatsPtr& stats() const { return stats_; }
  DeliveryLog& log() { return log_; }
  // Everything not settled, here or in the spool.
  std::size_t waiting() const;
  // Of those, what is in memory only.
  std::size_t unstored() const;
  // Held up by a retry; as far as it is in memory.
  std::size_t retrying() const;
  // What was given up and is still kept.
  std::size_t dead_letters() const { return spool_ ? spool_->dead(key_) : 0; }
  bool suspended() const;
  // While it is suspended: not before then is one message tried.
  std::optional<TimePoint> next_try() const;
  // Before start(), of a handler that has ended the last runs: one message is tried then.
  void suspend_until(TimePoint when) const {
    for (const auto& worker : workers_) worker->suspend_until(when);
  }
  // No worker is doing anything, or would lose anything if it ended now.
  bool at_rest() const;
  // Since the last call: what was dropped, and what expired before it could be delivered.
  std::uint64_t take_unreported_drops() { return stats_->unreported_drops.exchange(0); }
  std::uint64_t take_unreported_expired() { return stats_->unreported_expired.exchange(0); }

 private:
  Worker& worker_for(std::string_view topic) { return *workers_[place_of(topic)]; }
  std::size_t place_of(std::string_view topic) const;

  const HandlerConfig config_;
  const HandlerLibrary library_;
  const HandlerStatsPtr stats_;
  DeliveryLog log_;
  Spool* const spool_;
  const HandlerKey key_;
  const Outbox::SenderPtr sender_;
  std::atomic<bool> paused_{false};
  std::atomic<bool> started_{false};
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace fastmqttd
