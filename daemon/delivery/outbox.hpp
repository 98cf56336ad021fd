// What handlers publish, until the broker has it: in order, bounded for each handler.
//
// publish() comes from any thread and never waits for anyone; the session takes from the outbox and
// says what became of each.  In memory: what is here when the process ends is lost.
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
    std::uint64_t number = 0;  // in the order of publish(), from 1
    MessagePtr message;
    SenderPtr sender;
    TimePoint accepted;
  };

  Outbox() = default;
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  // `limits` bound what may be in here of this handler; when nothing is, a message of any size may.
  static SenderPtr make_sender(std::string handler, std::string plugin, const QueueConfig& limits);
  static Counts counts(const SenderPtr& sender);

  // Called, from any thread, when there is something to take.
  void on_more(std::function<void()> more) { *more_.lock() = std::move(more); }

  // [any thread] False when the sender has too many in here, or after close().
  bool publish(const SenderPtr& sender, MessagePtr message);

  // The oldest that waits; it is on its way from now on.
  std::optional<Item> take();
  // Of those on their way, by number; of others nothing happens.
  void acknowledge(std::uint64_t number);
  void give_back(std::uint64_t number);  // not sent after all: it waits again, in its old place
  // It cannot be published; `why`, and the reason code of MQTT if there is one, go to the journal,
  // for each sender once in ten seconds at most.
  void give_up(std::uint64_t number, const std::string& why, int reason_code = 0);

  // Nothing will be sent any more.
  void close() { state_.lock()->closed = true; }

  // All that the broker does not have yet.
  std::size_t waiting();

 private:
  struct State {
    std::deque<Item> waiting;              // by number
    std::map<std::uint64_t, Item> on_way;  // taken
    std::uint64_t next_number = 1;
    bool closed = false;
  };
  static std::optional<Item> finish(State& state, std::uint64_t number);

  Guarded<State> state_;
  Guarded<std::function<void()>> more_{[] {}};
};

}  // namespace fastmqttd
