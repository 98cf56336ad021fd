// my_handler - publishes an alarm when a reading is too high, and takes it back when it is not.
//
// A handler to start from: rename it, keep what you need.  fastmqtt-handler(7) has the rest.
#include <map>
#include <string>

#include "fastmqtt/handler.hpp"

namespace {

using fastmqtt::Level;
using fastmqtt::Message;
using fastmqtt::Result;

class MyHandler {
 public:
  // Every option that it knows; the daemon refuses others, and names the file and line.
  static constexpr const char* options[] = {"limit", "alarm_topic"};

  // Runs before the first message.  What it throws keeps the daemon from starting, with the reason.
  explicit MyHandler(fastmqtt::Host host)
      : host_(host),
        limit_(host.option("limit", 30.0, -273.15)),
        alarm_topic_(host.option("alarm_topic", "alarm")),
        alarms_(host.counter("alarms")) {}

  // One message at a time, never two at once.
  Result on_message(const Message& message) {
    const std::optional<double> reading = message.number();
    if (!reading) {
      host_.log(Level::warning, "not a number", message);
      return Result::reject;  // it will not get any better
    }
    const bool high = *reading > limit_;
    bool& was_high = high_[std::string(message.topic())];
    if (high == was_high) return Result::ok;

    const std::string topic = alarm_topic_ + "/" + std::string(message.topic());
    const Result sent = host_.publish(topic, high ? "on" : "off", {.qos = 1, .retain = true});
    if (sent != Result::ok) return sent;  // `retry`: the message comes again after a pause
    was_high = high;
    if (high) alarms_.add();
    return Result::ok;
  }

 private:
  fastmqtt::Host host_;
  double limit_;
  std::string alarm_topic_;
  fastmqtt::Counter alarms_;
  std::map<std::string, bool> high_;  // by topic
};

}  // namespace

// Class, name, version, flags, and the topics that it handles when the configuration names none.
FASTMQTT_HANDLER(MyHandler, "my_handler", "1.0", 0, "example/+/reading");
