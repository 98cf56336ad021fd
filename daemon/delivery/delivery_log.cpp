#include "daemon/delivery/delivery_log.hpp"

#include <utility>
#include <vector>

#include "daemon/base/events.hpp"
#include "daemon/base/log.hpp"
#include "daemon/config/words.hpp"

namespace fastmqttd {
namespace {

constexpr std::int64_t kJustSaid = 1'000'000'000;

const char* result_name(fastmqtt_result result, const Settled& settled) {
  if (settled.kind == Settled::Kind::done) return "ok";
  if (settled.kind == Settled::Kind::retry) return "retry";
  return result == FASTMQTT_REJECT ? "reject" : "dead";
}

}  // namespace

void DeliveryLog::answered(const Delivery& delivery, fastmqtt_result result, const Settled& settled,
                           Clock::duration took) {
  const std::string_view topic = delivery.message->topic();
  if (wants_all())
    tap_.add({0, realtime_ns(), std::string(topic), handler_, result_name(result, settled),
              delivery.attempt, std::chrono::nanoseconds(took).count()});
  if (settled.kind == Settled::Kind::done) return;

  if (settled.kind == Settled::Kind::dead) {
    remember(topic, fmt::format("gave up on a message: {}", settled.reason));
    if (admits(kDeaths))
      gave_up(*delivery.message, delivery.attempt, result_name(result, settled), settled.reason);
    return;
  }
  remember(topic, "failed, and is to be tried again");
  // The first attempt is news; the others are to be expected.
  const log::Level level = delivery.attempt == 1 ? log::Level::warning : log::Level::debug;
  if (level != log::Level::debug && !admits(kRetries)) return;
  write(level,
        fmt::format("{}: will try again in {}: {} (attempt {})", handler_,
                    format_roughly(settled.pause), log::shown_topic(topic), delivery.attempt),
        *delivery.message, delivery.attempt, result_name(result, settled));
}

void DeliveryLog::gave_up(const Message& message, std::uint32_t attempt, const char* result,
                          std::string_view reason) const {
  write(log::Level::error,
        fmt::format("{}: gave up on a message: {}: {} (attempt {})", handler_,
                    log::shown_topic(message.topic()), reason, attempt),
        message, attempt, result, event::kDeadLetter);
}

void DeliveryLog::write(log::Level level, const std::string& text, const Message& message,
                        std::uint32_t attempt, const char* result,
                        std::string_view event_id) const {
  const std::string qos = std::to_string(message.qos()), attempt_text = std::to_string(attempt);
  std::vector<log::Field> fields{{"MQTT_HANDLER", handler_},      {"MQTT_PLUGIN", plugin_},
                                 {"MQTT_TOPIC", message.topic()}, {"MQTT_QOS", qos},
                                 {"MQTT_RESULT", result},         {"MQTT_ATTEMPT", attempt_text}};
  if (!event_id.empty()) fields.push_back({"MESSAGE_ID", event_id});
  log::write(level, text, fields);
}

void DeliveryLog::no_answer(const Delivery& delivery, fastmqtt_result result) {
  if (!admits(kNoAnswers)) return;
  log::write(log::Level::error,
             fmt::format("{}: answered {}, which is no answer, taken as retry", handler_, result),
             {{"MQTT_HANDLER", handler_},
              {"MQTT_PLUGIN", plugin_},
              {"MQTT_TOPIC", delivery.message->topic()},
              {"MQTT_RESULT", "retry"}});
}

void DeliveryLog::suspended() {
  log::write(log::Level::error,
             fmt::format("{}: suspended: it fails again and again; one message is tried at each "
                         "pause until one succeeds",
                         handler_),
             {{"MESSAGE_ID", event::kHandlerSuspended},
              {"MQTT_HANDLER", handler_},
              {"MQTT_PLUGIN", plugin_}});
}

void DeliveryLog::resumed() {
  log::write(log::Level::info, fmt::format("{}: works again: going on", handler_),
             {{"MESSAGE_ID", event::kHandlerResumed},
              {"MQTT_HANDLER", handler_},
              {"MQTT_PLUGIN", plugin_}});
}

void DeliveryLog::slow(std::string_view topic, Clock::duration took, Duration timeout) {
  if (!admits(kSlowCalls)) return;
  log::write(log::Level::warning,
             fmt::format("{}: {}: the call took {}, more than its timeout of {}", handler_,
                         log::shown_topic(topic),
                         format_roughly(std::chrono::duration_cast<Duration>(took)),
                         format_duration(timeout)),
             {{"MQTT_HANDLER", handler_}, {"MQTT_PLUGIN", plugin_}, {"MQTT_TOPIC", topic}});
}

void DeliveryLog::overdue(std::size_t answers, Duration timeout) {
  if (!admits(kOverdue, answers)) return;
  log::write(log::Level::warning,
             fmt::format("{}: no answer for {} within {}", handler_,
                         count(answers, "pending message"), format_duration(timeout)),
             {{"MQTT_HANDLER", handler_}, {"MQTT_PLUGIN", plugin_}});
}

void DeliveryLog::letters_lost(std::uint64_t letters) {
  if (!admits(kLostLetters, letters)) return;
  log::write(log::Level::warning,
             fmt::format("{}: {}, as the spool has no room for what was not "
                         "in it: those of QoS 0, or acknowledged before they were stored",
                         handler_,
                         count(letters, "message that was given up is not kept as a dead letter",
                               "messages that were given up are not kept as dead letters")),
             {{"MQTT_HANDLER", handler_}});
}

void DeliveryLog::handler_said(std::string_view topic, std::string_view text) {
  remember(topic, std::string(text), /*own_words=*/true);
}

bool DeliveryLog::tell_left_out() {
  struct Rest {
    log::Level level;
    const char* what;
  };
  static constexpr std::array<Rest, kKinds> kRests{
      {{log::Level::warning, "to be tried again"},
       {log::Level::error, "given up: see 'fastmqttctl dead-letters list'"},
       {log::Level::error, "answered with what is no answer"},
       {log::Level::warning, "that took more than the timeout"},
       {log::Level::warning, "without an answer in time"},
       {log::Level::warning, "given up and not kept, for want of room in the spool"}}};
  std::array<std::uint64_t, kKinds> left_out{};
  bool more = false;
  {
    auto limits = limits_.lock();
    const TimePoint now = Clock::now();
    for (int kind = 0; kind < kKinds; ++kind) {
      left_out[kind] = (*limits)[kind].take_left_out(now);
      more = more || (*limits)[kind].has_left_out();
    }
  }
  for (int kind = 0; kind < kKinds; ++kind)
    if (left_out[kind] > 0)
      log::write(
          kRests[kind].level,
          fmt::format("{}: ... {} more in 10 s {}", handler_, left_out[kind], kRests[kind].what),
          {{"MQTT_HANDLER", handler_}, {"MQTT_PLUGIN", plugin_}});
  return more;
}

// What the handler itself has just said says more than that it failed.
void DeliveryLog::remember(std::string_view topic, std::string what, bool own_words) {
  const std::int64_t now = realtime_ns();
  auto trouble = trouble_.lock();
  if (!own_words && *trouble && (*trouble)->own_words && now - (*trouble)->time_ns < kJustSaid)
    return;
  *trouble = Trouble{now, std::string(topic), std::move(what), own_words};
}

}  // namespace fastmqttd
