// Every handler behind one door: what is received goes in, is stored, and reaches the lanes that
// want it.
//
// accept() is called by the receiving thread and never waits for a handler; the rest by main, where
// nothing else is said.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/delivery/lane.hpp"
#include "daemon/delivery/outbox.hpp"
#include "daemon/delivery/routing.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

// A handler that is to run: its effective config and the plugin behind it.
struct HandlerToRun {
  HandlerConfig config;
  const HandlerLibrary* library = nullptr;
};

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
  bool stores() const { return spool_ && !optimistic_; }

  // What is to be subscribed, and is; to be kept up to date by whoever subscribes.
  Routing& routing() { return routing_; }
  const std::vector<std::unique_ptr<Lane>>& lanes() const { return lanes_; }
  // What the handlers publish.
  Outbox& outbox() { return outbox_; }
  void start();

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
  // [any thread] Whether there is one of that name.
  bool has(const std::string& handler) const;
  // No handler is doing anything, or would lose anything if it ended now.
  bool at_rest() const;
  // Messages that no handler wants, since the last call, and the topic of one of them.  They come
  // for subscriptions of an earlier configuration, which the broker keeps with the session.
  struct Unrouted {
    std::uint64_t messages = 0;
    std::string topic;
  };
  Unrouted take_unrouted() { return std::exchange(*unrouted_.lock(), {}); }

 private:
  // The lanes that are to have the message at hand.
  struct Targets {
    struct One {
      Lane* lane;
      bool stored = false;
    };
    std::vector<std::uint32_t> lanes;  // by number
    std::vector<One> all;
    std::vector<HandlerKey> stored;  // those for which it is to be stored
  };
  void choose_targets(const Message& message, Targets& targets);
  bool store(const Message& message, const PacketRecord* record, Targets& targets);
  // Whether it is not to be lost any more once it is acknowledged.
  bool is_promised(const Message& message) const { return message.qos() > 0 && stores(); }

  Spool* const spool_;
  const bool optimistic_;
  Outbox outbox_;  // outlives the lanes
  std::vector<std::unique_ptr<Lane>> lanes_;
  Routing routing_;
  // Message ids are given, and their messages stored and pushed, one after the other.
  Guarded<Targets> in_order_;
  std::atomic<TimePoint> store_again_{TimePoint()};  // after one that could not be stored
  Duration store_pause_{};                           // until then; the receiving thread's own
  Guarded<std::string> why_refused_;
  Guarded<Unrouted> unrouted_;
  const std::function<void()> attention_;
};

}  // namespace fastmqttd
