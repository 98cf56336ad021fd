// What is said of the deliveries of one handler: in the journal, where lines that come by the
// thousand are limited, and to whoever looks on.
//
// Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/guarded.hpp"
#include "daemon/base/log.hpp"
#include "daemon/base/log_limit.hpp"
#include "daemon/base/units.hpp"
#include "daemon/delivery/delivery_tap.hpp"
#include "daemon/delivery/lane_queue.hpp"

namespace fastmqttd {

class DeliveryLog {
 public:
  // What went wrong last.
  struct Trouble {
    std::int64_t time_ns = 0;  // CLOCK_REALTIME
    std::string topic;         // of the message; "" when it is about none
    std::string what;
    bool own_words = false;  // of the handler
  };

  // `tap` must outlive it.
  DeliveryLog(std::string handler, std::string plugin, DeliveryTap& tap)
      : handler_(std::move(handler)), plugin_(std::move(plugin)), tap_(tap) {}

  // Whether answered() wants to hear of what went well too.
  bool wants_all() const { return tap_.is_watched(); }
  // An answer that is settled, to a message that was so long in the handler's hands.
  void answered(const Delivery& delivery, fastmqtt_result result, const Settled& settled,
                Clock::duration took);
  // What became a dead letter, and how it was answered last; never left out.
  void gave_up(const Message& message, std::uint32_t attempt, const char* result,
               std::string_view reason) const;
  void no_answer(const Delivery& delivery, fastmqtt_result result);
  void suspended();
  void resumed();
  void slow(std::string_view topic, Clock::duration took, Duration timeout);
  void overdue(std::size_t answers, Duration timeout);
  void letters_lost(std::uint64_t letters);
  // The handler's own words, of what it took for an error.
  void handler_said(std::string_view topic, std::string_view text);

  std::optional<Trouble> last_trouble() const { return *trouble_.lock(); }
  // Says how many lines were left out of intervals that are over; whether there are any of one that
  // is not.
  bool tell_left_out();

 private:
  // What may come by the thousand.
  enum Kind { kRetries, kDeaths, kNoAnswers, kSlowCalls, kOverdue, kLostLetters, kKinds };
  bool admits(Kind kind, std::uint64_t count = 1) {
    return (*limits_.lock())[kind].admits(Clock::now(), count);
  }
  void write(log::Level level, const std::string& text, const Message& message,
             std::uint32_t attempt, const char* result, std::string_view event_id = {}) const;
  void remember(std::string_view topic, std::string what, bool own_words = false);

  const std::string handler_, plugin_;
  DeliveryTap& tap_;
  Guarded<std::array<LogLimit, kKinds>> limits_;
  mutable Guarded<std::optional<Trouble>> trouble_;
};

}  // namespace fastmqttd
