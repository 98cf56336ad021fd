// A handler that does what a message's payload tells it, a verb and an argument:
//     echo TEXT        publishes TEXT
//     count N          publishes 1 to N; goes on where it stopped when the way out was full
//     down N           publishes "down N-1" to its own topic, until N is 0; then logs "landed"
//     properties       publishes with every property of MQTT 5
//     reply TEXT       answers the request
//     later TEXT       answers pending; a thread of its own publishes TEXT and completes
//     wake TEXT        a thread of its own asks for a wake-up, in which TEXT is published
//     when FILE        a thread of its own waits for FILE to exist, then publishes 1 to 50
//     bad              publishes to a topic that is none
// Options: `to`, `qos`, `retain` and `expires` (a duration) of what is published; with `pad` the
// number N has pad + N bytes.
#include <unistd.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "fastmqtt/handler.hpp"

namespace {

using fastmqtt::Message;
using fastmqtt::Result;

class Actor {
 public:
  static constexpr const char* options[] = {"to", "qos", "retain", "expires", "pad"};

  explicit Actor(fastmqtt::Host host)
      : host_(host),
        to_(host.option("to", "out")),
        publish_{.qos = host.option("qos", 1, 0, 2), .retain = host.option("retain", false)},
        pad_(host.option("pad", std::size_t{0})),
        acts_(host.counter("acts")) {
    const std::chrono::seconds expires = host.option("expires", std::chrono::seconds(0));
    if (expires.count() > 0) publish_.properties.expires_in(expires);
  }

  Result on_message(const Message& message) {
    acts_.add();
    const std::string text(message.payload());
    const std::string verb = text.substr(0, text.find(' '));
    const std::string argument = text.size() > verb.size() ? text.substr(verb.size() + 1) : "";
    if (verb == "echo") return host_.publish(to_, argument, publish_);
    if (verb == "count") return count(message.message_id(), std::stoi(argument));
    if (verb == "down") return down(message, std::stoi(argument));
    if (verb == "properties") return properties();
    if (verb == "reply") return host_.reply(message, argument, publish_);
    if (verb == "bad") return host_.publish("not/+/a topic", "x");
    if (verb == "later") {
      in_a_thread([this, argument, id = message.id()](const std::stop_token&) {
        host_.complete(id, host_.publish(to_, argument, publish_));
        host_.complete(id, Result::reject);  // one too many
      });
      return Result::pending;
    }
    if (verb == "wake") {
      woken_says_ = argument;
      in_a_thread([this](const std::stop_token&) { host_.wake(); });
      return Result::ok;
    }
    if (verb == "when") {
      in_a_thread([this, argument](const std::stop_token& stop) {
        while (::access(argument.c_str(), F_OK) != 0) {
          if (stop.stop_requested()) return;
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        for (int i = 1; i <= 50; ++i) host_.publish(to_, number(i), publish_);
      });
      return Result::ok;
    }
    return Result::reject;
  }

  void on_wake() { host_.publish(to_, woken_says_, publish_); }

 private:
  Result count(std::uint64_t message_id, int last) {
    int& next = next_[message_id];
    for (next = next == 0 ? 1 : next; next <= last; ++next) {
      const Result result = host_.publish(to_, number(next), publish_);
      if (result != Result::ok) return result;
    }
    return Result::ok;
  }

  std::string number(int n) const {
    std::string text = std::to_string(n);
    if (pad_ > 0) text.resize(pad_ + static_cast<std::size_t>(n), ' ');
    return text;
  }

  Result down(const Message& message, int left) {
    if (left == 0) {
      host_.log(fastmqtt::Level::info, "landed", message);
      return Result::ok;
    }
    return host_.publish(message.topic(), "down " + std::to_string(left - 1), publish_);
  }

  Result properties() {
    fastmqtt::PublishOptions all = publish_;
    all.properties.payload_is_text()
        .expires_in(std::chrono::seconds(3600))
        .content_type("text/plain")
        .response_topic("answers/here")
        .correlation_data("id 7")
        .user("first", "1")
        .user("second", "2");
    return host_.publish(to_, "with everything", all);
  }

  template <class Work>
  void in_a_thread(Work work) {
    threads_.emplace_back(std::move(work));
  }

  fastmqtt::Host host_;
  std::string to_;
  fastmqtt::PublishOptions publish_;
  std::size_t pad_;
  fastmqtt::Counter acts_;
  std::map<std::uint64_t, int> next_;  // of "count", by message
  std::string woken_says_;
  std::vector<std::jthread> threads_;  // last: they use the rest
};

}  // namespace

FASTMQTT_HANDLER(Actor, "actor", "1.0", 0, "act/#");
