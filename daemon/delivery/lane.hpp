// One handler: its workers, over which the topics are spread, so that a topic stays in order.
//
// push() comes from the thread that receives and never waits for the handler; the rest from main.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/delivery/worker.hpp"

namespace fastmqttd {

class Lane {
 public:
  using Counts = Worker::Counts;
  using Stuck = Worker::Stuck;

  // Makes the instances; throws StartError.  `library` and `outbox` must outlive the lane.
  // `drops_any`, `settled`, `attention`: see Worker::Shared.
  Lane(const HandlerConfig& config, const HandlerLibrary& library, Outbox& outbox, bool drops_any,
       std::function<void(const Message&)> settled, std::function<void()> attention);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  const HandlerConfig& config() const { return config_; }
  const std::string& name() const { return config_.name; }

  void start();
  bool has_room(std::size_t bytes) const { return room_->fits(bytes); }
  bool has_drained() const { return room_->has_drained(); }
  // One of an earlier run, before start().
  void restore(const MessagePtr& message) { worker_for(*message).restore(message); }
  // False when a message of QoS 1 or 2 finds no room.
  bool push(const MessagePtr& message) { return worker_for(*message).push(message); }

  // No more pushes follow: works off what waits, however long retries take; see abandon().
  void close();
  // Stops after the calls at hand, whatever waits.
  void abandon();
  bool finished() const;
  // The call that has been stuck for the longest time.
  std::optional<Stuck> stuck(TimePoint now);
  Counts counts() const;
  Outbox::Counts publish_counts() const { return Outbox::counts(sender_); }
  std::map<std::string, std::uint64_t> handler_counters() const;
  std::size_t waiting() const { return room_->messages(); }
  // The drops since the last call.
  std::uint64_t take_unreported_drops();

 private:
  Worker& worker_for(const Message& message);

  const HandlerConfig config_;
  const std::shared_ptr<QueueRoom> room_;
  const Outbox::SenderPtr sender_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace fastmqttd
