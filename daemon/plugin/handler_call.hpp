// Whose code a thread is running: for the report when it crashes, exits, or does not come back.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fastmqttd {

// A message in a handler's hands.
struct InHand {
  std::uint64_t message = 0;  // its id in the spool; 0: it is not stored
  std::uint32_t attempt = 0;
};

// Around every call into a plugin.  `name`, of the handler or the file, must live as long.
class HandlerCall {
 public:
  enum class Kind {
    at_work,
    starting,
    on_trial,  // the same, but in another process
  };

  explicit HandlerCall(const char* name, Kind kind = Kind::at_work)
      : name_(kind != Kind::at_work ? name : nullptr), before_(current_name) {
    if (kind != Kind::on_trial) current_name = name;
    if (name_) starting_name = name_;
  }
  ~HandlerCall() {
    current_name = before_;
    const char* mine = name_;
    if (mine) starting_name.compare_exchange_strong(mine, nullptr);
  }
  HandlerCall(const HandlerCall&) = delete;
  HandlerCall& operator=(const HandlerCall&) = delete;

  // Of the calling thread, null outside of calls.  Safe in a signal handler.
  static const char* current() { return current_name; }
  // The one that is being started, by whatever thread; null when none is.
  static const char* starting() { return starting_name; }

  // The messages that the calling thread is about to give a handler; they stay until it says that
  // there are none any more.
  static void takes(const InHand* messages, std::size_t count) {
    current_messages = messages;
    current_count = messages ? count : 0;
  }
  // Those of the calling thread.  Safe in a signal handler.
  static const InHand* messages() { return current_messages; }
  static std::size_t message_count() { return current_count; }

 private:
  static inline thread_local constinit const char* current_name = nullptr;
  static inline thread_local constinit const InHand* current_messages = nullptr;
  static inline thread_local constinit std::size_t current_count = 0;
  static inline std::atomic<const char*> starting_name{nullptr};

  const char* const name_;  // while it starts, else null
  const char* const before_;
};

}  // namespace fastmqttd
