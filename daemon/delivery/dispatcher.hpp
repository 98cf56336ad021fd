// Every handler behind one door: what is received goes in, is stored, and reaches the lanes that
// want it.
//
// The handlers may change while messages come: of those that do, the lane before finishes what is
// in its handler's hands, and its successor goes on from the spool; see Handover.
//
// accept() is called by the receiving thread and never waits for a handler; the rest by main, where
// nothing else is said.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/delivery/handover.hpp"
#include "daemon/delivery/lane.hpp"
#include "daemon/delivery/outbox.hpp"
#include "daemon/delivery/routing.hpp"
#include "daemon/spool/crash_note.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

// A handler that is to run: its effective config and the plugin behind it.
struct HandlerToRun {
  HandlerConfig config;
  const HandlerLibrary* library = nullptr;
};

using LanePtr = std::shared_ptr<Lane>;
using Lanes = std::vector<LanePtr>;
using LanesPtr = std::shared_ptr<const Lanes>;

class Dispatcher {
 public:
  // Makes an instance of each.  Throws StartError with the problems of all of them.  `spool` must
  // outlive it; without one nothing can be accepted.  With `optimistic` messages of every QoS are
  // taken as those of QoS 0 are: into memory, and what finds no room there goes the way that the
  // handler's `when_full` says.
  Dispatcher(const std::vector<HandlerToRun>& handlers, const std::function<void()>& attention,
             Spool* spool = nullptr, bool optimistic = false);

  // What an earlier run has left in the spool, before start().  The messages of handlers that are
  // not there stay where they are, with a warning.
  struct Restored {
    std::size_t deliveries = 0;
    std::size_t publishes = 0;
  };
  Restored restore();

  // [any thread] What is to be subscribed, and is; to be kept up to date by whoever subscribes.
  Routing& routing() { return routing_; }
  // [any thread] Those that messages go to now.
  Lanes lanes() const { return **lanes_.lock(); }
  // [any thread] Null when there is none of that name.
  LanePtr lane(const std::string& handler) const;
  // [any thread] While it is paused the handler gets no messages, in later runs too.  Whether it
  // was before; nothing when there is none of that name.  Throws std::runtime_error when that
  // cannot be written.
  std::optional<bool> set_paused(const std::string& handler, bool paused);
  // [any thread] Drops what waits in the spool for a handler that is not there, at most `limit`
  // messages; how many.  Nothing when it is there.
  std::optional<std::uint64_t> forget(const std::string& handler, std::uint64_t limit);
  // What the handlers publish.
  Outbox& outbox() { return outbox_; }
  // What the handlers answer.
  DeliveryTap& tap() { return tap_; }
  void start();

  // Other handlers.  One whose config and plugin are the same as before keeps its lane.
  struct Lineup {
    Lanes lanes;
    bool optimistic = false;
  };
  // [any thread] Makes an instance of each that is new or has changed.  Throws StartError with the
  // problems of all of them; nothing has changed then.  Only what was prepared last may be used.
  Lineup prepare(const std::vector<HandlerToRun>& handlers, bool optimistic);
  // From the next message on they are in force.  What is subscribed is to follow: see routing().
  struct Changed {
    std::vector<std::string> added, replaced, removed;
  };
  Changed change_to(Lineup lineup);
  // [any thread] Handlers whose instance before has still to end.
  std::vector<std::shared_ptr<const Handover>> handovers() const;
  // [any thread] With the lanes that are to end.
  Lanes all_lanes() const;
  // Forgets those handovers that are over; whether any is left.
  bool is_changing();

  // [receiving thread] True when the message is safe (of QoS 1 and 2: stored, and the record with
  // it) and every handler that wants it has it, or will have it.  False, and then none has it, when
  // it cannot be stored: it must not be acknowledged.  The time of arrival and the id are not
  // looked at.  `was_stored`, if given, says whether the record is in the spool.
  bool accept(const Message::Parts& parts, const PacketRecord* record = nullptr,
              bool* was_stored = nullptr);
  // [receiving thread] The same for what else the session cannot go on without.
  void refuse(const std::string& why);
  // Why the latest one was refused, since the last call; empty when none was.
  std::string why_refused() { return std::exchange(*why_refused_.lock(), {}); }
  // What does not leave the spool by itself, once that is all that is left in it; empty before.
  std::string what_stays();
  // Whether it is worth receiving again after a refusal.
  bool has_drained();

  // [any thread] Gives a dead letter to its handler again; false when there is none with that id.
  // Throws std::runtime_error when that cannot be written.
  bool replay(std::int64_t dead_letter);

  void close();
  void abandon();
  bool finished() const;
  std::size_t waiting();  // [any thread]
  // [any thread] What is in the spool for handlers that are not there, by name.
  std::map<std::string, Spool::Left> left_for_others() const;
  // No handler is doing anything, or would lose anything if it ended now.
  bool at_rest() const;
  // Messages that no handler wants, since the last call, and the topic of one of them.  They come
  // for subscriptions of an earlier configuration, which the broker keeps with the session.
  struct Unrouted {
    std::uint64_t messages = 0;
    std::string topic;
  };
  // [any thread] What came, since the start.
  struct Received {
    std::array<std::uint64_t, 3> messages{};  // by QoS
    std::uint64_t bytes = 0;                  // of topics and payloads
    std::uint64_t unrouted = 0;
  };
  Received received() const {
    return {{messages_[0], messages_[1], messages_[2]}, bytes_, unrouted_messages_};
  }

  Unrouted take_unrouted() { return std::exchange(*unrouted_.lock(), {}); }

 private:
  struct Receiving {
    // The lanes that are to have the message at hand.
    struct Target {
      Lane* lane;
      bool stored = false;
    };
    LanesPtr lanes;
    bool optimistic = false;
    std::vector<std::uint32_t> numbers;  // of lanes
    std::vector<Target> targets;
    std::vector<HandlerKey> stored;  // those for which it is to be stored
  };
  LanesPtr begin_with(Lineup lineup);
  void count(const Message& message);
  void choose_targets(const Message& message, Receiving& receiving);
  bool store(const Message& message, const PacketRecord* record, Receiving& receiving);
  // Whether it is not to be lost any more once it is acknowledged.
  bool is_promised(const Message& message, const Receiving& receiving) const {
    return message.qos() > 0 && spool_ && !receiving.optimistic;
  }
  void blame_for(const CrashNote& note) const;
  void warn_of_messages_for_others() const;

  Spool* const spool_;
  const std::function<void()> attention_;
  Outbox outbox_;  // these outlive the lanes
  DeliveryTap tap_;
  mutable Guarded<LanesPtr> lanes_;
  mutable Guarded<std::vector<std::shared_ptr<Handover>>> handovers_;
  std::mutex changing_;  // held while lanes, or what they may have, change
  // Message ids are given, and their messages stored and pushed, one after the other.
  Guarded<Receiving> in_order_;
  Routing routing_;
  std::atomic<TimePoint> store_again_{TimePoint()};  // after one that could not be stored
  Duration store_pause_{};                           // until then; the receiving thread's own
  Guarded<std::string> why_refused_;
  Guarded<Unrouted> unrouted_;
  std::array<std::atomic<std::uint64_t>, 3> messages_{};
  std::atomic<std::uint64_t> bytes_{0}, unrouted_messages_{0};
};

}  // namespace fastmqttd
