// What happens to the messages in the spool, in terms of delivery.  Plain values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/message/message.hpp"

namespace fastmqttd {

// A handler by its number in the database, which it keeps for ever.
using HandlerKey = std::int64_t;

// A handler is done with a message.
struct Done {
  std::uint64_t message = 0;
  HandlerKey handler = 0;
};

// It is to be tried again.
struct RetryAt {
  std::uint64_t message = 0;
  HandlerKey handler = 0;
  std::uint32_t attempts = 0;  // so often it was handed over
  std::uint32_t failures = 0;  // of those, the ones that count
  std::int64_t due_ns = 0;     // not before; CLOCK_REALTIME
  std::uint32_t crashes = 0;   // of the failures, those that ended the daemon
};

// It was given up: a dead letter.
struct Dead {
  MessagePtr message;
  HandlerKey handler = 0;
  std::uint32_t attempts = 0;
  std::string reason;
  bool stored = true;  // as a message too
};

// What was in memory only, for one handler, and is to wait in the spool.  Not a Change: see
// Spool::keep().
struct Kept {
  MessagePtr message;
  std::uint32_t attempts = 0;
  std::uint32_t failures = 0;
};

// A handler has published a message, or ...
struct Publish {
  std::uint64_t number = 0;
  HandlerKey handler = 0;
  MessagePtr message;
};

// ... the broker has it, or it was given up.
struct Published {
  std::uint64_t number = 0;
};

// The exchange of a published message of QoS 2 is over: of Paho's records its PUBLISH, if it is
// still this one, goes with its PUBREL, and with them the message.
struct ExchangeOver {
  std::string session;
  std::string publish_key;
  std::string publish;
  std::string pubrel_key;
  std::optional<std::uint64_t> published;  // its number, if it is known
};

using Change = std::variant<Done, RetryAt, Dead, Publish, Published, ExchangeOver>;

// Written in order.
struct Changes {
  std::vector<Change> list;
  bool together = false;          // all of it or nothing, whatever happens
  std::function<void()> written;  // called, by the spool's thread, once all of it is
};

}  // namespace fastmqttd
