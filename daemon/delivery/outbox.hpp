// What handlers publish, until the broker has it: in order, bounded for each handler.
//
// publish() comes from any thread and never waits for the broker; the session takes from the outbox
// and says what became of each.  Of QoS 1 and 2 it is in the spool from the moment it is accepted
// until the broker has it, and goes out only once it is there; what a handler publishes while it is
// given a message is written together with its answer, see Worker.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/units.hpp"
#include "daemon/config/config.hpp"
#include "daemon/message/message.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

class Outbox {
 public:
  // One handler's share of it.
  class Sender;
  using SenderPtr = std::shared_ptr<Sender>;
  struct Counts {
    std::uint64_t published = 0;  // the broker has them; of QoS 0: they were sent
    std::uint64_t failed = 0;     // given up: refused by the broker, or expired on the way
    std::size_t waiting = 0;      // neither
  };
  struct Item {
    std::uint64_t number = 0;  // in the order of publish()
    MessagePtr message;
    SenderPtr sender;
    TimePoint accepted;
  };

  // With a spool, which must outlive it.  Throws StartError when that cannot be read.
  explicit Outbox(Spool* spool = nullptr);
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  // `limits` bound what may be in here of this handler; when nothing is, a message of any size may.
  // `before` is the handler's until now: it goes on, see set_limits().
  SenderPtr make_sender(std::string handler, std::string plugin, const QueueConfig& limits,
                        const SenderPtr& before = nullptr) const;
  static void set_limits(const SenderPtr& sender, const QueueConfig& limits);
  static Counts counts(const SenderPtr& sender);

  // Called, from any thread, when there is something to take.
  void on_more(std::function<void()> more) { *core_->more.lock() = std::move(more); }

  // What an earlier run has left in the spool, before what this one has published; how many
  // messages.  Those of handlers that are not among the senders go out too.
  std::size_t restore(const std::vector<SenderPtr>& senders);

  // [any thread] False when the sender has too many in here, when it cannot be stored, or after
  // close().
  bool publish(const SenderPtr& sender, MessagePtr message);
  // The same in two steps.  It has its place from now on ...
  bool reserve(const SenderPtr& sender, const Message& message);
  // ... and is written with these changes, and then goes out.
  void publish_with(Changes& changes, const SenderPtr& sender, std::vector<MessagePtr> messages);

  // The oldest that waits; it is on its way from now on.
  std::optional<Item> take();
  // The same for the oldest with this topic, payload and QoS; its number.
  std::optional<std::uint64_t> take_equal(std::string_view topic, std::string_view payload,
                                          int qos);
  // Of those on their way, by number; of others nothing happens.
  void acknowledge(std::uint64_t number);
  void give_back(std::uint64_t number);  // not sent after all: it waits again, in its old place
  // It cannot be published; `why`, and the reason code of MQTT if there is one, go to the journal,
  // for each sender once in ten seconds at most.
  void give_up(std::uint64_t number, const std::string& why, int reason_code = 0);

  // Nothing will be sent any more.
  void close() { core_->state.lock()->closed = true; }

  // All that the broker does not have yet.
  std::size_t waiting();

 private:
  struct State {
    std::map<std::uint64_t, Item> unwritten;
    std::deque<Item> waiting;              // by number
    std::map<std::uint64_t, Item> on_way;  // taken
    std::uint64_t next_number = 1;
    bool closed = false;

    void wait_in_place(Item item);
  };
  // What the spool may still call for, however late.
  struct Core {
    Guarded<State> state;
    Guarded<std::function<void()>> more{[] {}};

    void release(const std::vector<std::uint64_t>& numbers);
  };

  static std::uint64_t number(State& state, const SenderPtr& sender, MessagePtr message);
  void withdraw(std::uint64_t number);
  std::optional<Item> finish(std::uint64_t number);

  Spool* const spool_;
  const std::shared_ptr<Core> core_;
  std::vector<Spool::Unpublished> left_;  // by an earlier run, until restore()
};

}  // namespace fastmqttd
