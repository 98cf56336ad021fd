// fastmqtt/testing.hpp - a handler's own unit test, with no daemon and no broker.
//
//     #include "thermostat.cpp"
//     fastmqtt::testing::HandlerTester tester({{"limit", "18"}});
//     assert(tester.deliver("home/hall/temperature", "17.5") == fastmqtt::Result::ok);
//     assert(tester.logs.back() == "too cold");
//
// It drives the handler through its exported symbol, as the daemon does.  One thread.
#pragma once

#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::testing {

// An option as it would stand in the YAML: "a.b" and its scalar text.
struct Option {
  std::string path;
  std::string value;
};

class HandlerTester {
 public:
  // Throws std::runtime_error with what the handler said
  // when it refuses to start.
  explicit HandlerTester(std::initializer_list<Option> options = {},
                         const fastmqtt_handler& handler = fastmqtt_handler_v1)
      : handler_(handler) {
    for (const Option& option : options) {
      check_name(option.path);
      options_[option.path] = option.value;
    }
    host_.raw.size = sizeof host_.raw;
    host_.raw.log_level = FASTMQTT_DEBUG;
    host_.raw.log = [](const fastmqtt_host* h, std::int32_t level, fastmqtt_view text) {
      self(h).logs.emplace_back(to_string_view(text));
      self(h).last_level = static_cast<Level>(level);
    };
    host_.raw.log_message = [](const fastmqtt_host* h, std::int32_t level, fastmqtt_view text,
                               const fastmqtt_message*) { h->log(h, level, text); };
    host_.raw.complete = [](const fastmqtt_host* h, std::uint64_t id, fastmqtt_result result) {
      self(h).completed[id] = static_cast<Result>(result);
    };
    host_.raw.now_ns = [](const fastmqtt_host* h) -> std::int64_t { return self(h).now.count(); };
    host_.raw.wake_at = [](const fastmqtt_host* h, std::int64_t when) {
      self(h).alarm = std::chrono::nanoseconds(when);
    };
    host_.raw.config = [](const fastmqtt_host* h, const char* path) -> fastmqtt_view {
      const auto found = self(h).options_.find(path);
      return found == self(h).options_.end() ? fastmqtt_view{} : to_view(found->second);
    };
    host_.raw.config_error = [](const fastmqtt_host* h, const char* path, fastmqtt_view what) {
      self(h).logs.push_back(std::string(path) + ": " + std::string(to_string_view(what)));
    };
    host_.raw.counter = [](const fastmqtt_host* h, const char* name) -> std::uint32_t {
      self(h).counter_names_.emplace_back(name);
      return static_cast<std::uint32_t>(self(h).counter_names_.size() - 1);
    };
    host_.raw.count = [](const fastmqtt_host* h, std::uint32_t counter, std::uint64_t by) {
      self(h).counts[self(h).counter_names_.at(counter)] += by;
    };
    instance_ = handler_.create(&host_.raw);
    if (!instance_)
      throw std::runtime_error(logs.empty() ? "create() failed and said nothing" : logs.back());
  }
  HandlerTester(const HandlerTester&) = delete;
  HandlerTester& operator=(const HandlerTester&) = delete;
  ~HandlerTester() {
    if (instance_) handler_.destroy(instance_);
  }

  // Hands over one message and returns the answer.
  Result deliver(std::string_view topic, std::string_view payload, int qos = 1,
                 bool retained = false, std::span<const fastmqtt_property> properties = {}) {
    fastmqtt_message m{};
    m.size = sizeof m;
    m.qos = static_cast<std::uint8_t>(qos);
    m.retain = retained;
    m.topic = to_view(topic);
    m.payload = to_view(payload);
    m.properties = properties.data();
    m.property_count = properties.size();
    m.id = m.message_id = ++last_id;
    m.attempt = 1;
    const fastmqtt_message* list[] = {&m};
    fastmqtt_result result = FASTMQTT_OK;
    handler_.on_messages(instance_, list, 1, &result);
    return static_cast<Result>(result);
  }

  // Moves the clock on and, when that reaches the alarm, lets it ring.
  void advance(std::chrono::nanoseconds by) {
    now += by;
    if (!alarm || *alarm > now || !handler_.on_wake) return;
    alarm.reset();
    handler_.on_wake(instance_);
  }

  std::vector<std::string> logs;
  Level last_level = Level::debug;  // of the latest of them
  std::map<std::string, std::uint64_t> counts;
  std::map<std::uint64_t, Result> completed;
  std::optional<std::chrono::nanoseconds> alarm;
  std::chrono::nanoseconds now{};
  std::uint64_t last_id = 0;  // of the latest delivery

 private:
  // As the daemon refuses an option that the handler does not name.
  void check_name(const std::string& path) const {
    const std::string_view top = std::string_view(path).substr(0, path.find('.'));
    if (!handler_.options) return;
    for (auto name = handler_.options; *name; ++name)
      if (top == *name) return;
    throw std::runtime_error(path + ": unknown option");
  }

  // The C table with the way back to this object behind it.
  struct RawHost {
    fastmqtt_host raw{};
    HandlerTester* tester = nullptr;
  };
  static HandlerTester& self(const fastmqtt_host* host) {
    return *reinterpret_cast<const RawHost*>(host)->tester;
  }

  RawHost host_{{}, this};
  const fastmqtt_handler& handler_;
  std::map<std::string, std::string> options_;
  std::vector<std::string> counter_names_;
  void* instance_ = nullptr;
};

}  // namespace fastmqtt::testing
