// A handler inside the test program, behind the same C interface as a plugin.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/message/message.hpp"
#include "daemon/plugin/handler_library.hpp"
#include "fastmqtt/handler.h"

namespace fastmqttd::testing {

// What the handler was given, and what it answers.  One at a time in a test program.
class InProcessHandler {
 public:
  struct Seen {
    std::string topic;
    std::string payload;
    unsigned attempt = 0;
    std::uint64_t id = 0;
    std::thread::id thread = {};
    const fastmqtt_host* host = nullptr;
  };
  using Answer = std::function<fastmqtt_result(const fastmqtt_message&)>;

  explicit InProcessHandler(
      Answer answer = [](const auto&) { return FASTMQTT_OK; }, std::uint32_t flags = 0)
      : answer_(std::move(answer)) {
    current = this;
    raw_ = {sizeof raw_, flags,  "fake",  "1",         nullptr,
            nullptr,     create, destroy, on_messages, on_wake};
    library_ = {"fake.so", &raw_, "fake", {}, false, {}};
  }
  InProcessHandler(const InProcessHandler&) = delete;
  InProcessHandler& operator=(const InProcessHandler&) = delete;

  HandlerLibrary& library() { return library_; }
  fastmqtt_handler& raw() { return raw_; }
  // Of the latest instance; of all of them.
  const fastmqtt_host* host() const { return hosts_.back(); }
  const std::vector<const fastmqtt_host*>& hosts() const { return hosts_; }
  std::size_t instances() const { return hosts_.size(); }
  // Of the instance that a function of the C interface was given.
  static const fastmqtt_host* host_of(void* self) { return static_cast<Instance*>(self)->host; }

  std::vector<Seen> seen() { return log_.lock()->seen; }
  std::vector<std::size_t> batches() { return log_.lock()->batches; }
  std::string payloads() {
    std::string text;
    for (const Seen& s : seen()) text += (text.empty() ? "" : " ") + s.payload;
    return text;
  }
  std::size_t wakes() { return log_.lock()->wakes; }
  // Waits until so many messages were seen; false after ten seconds.
  bool wait_for(std::size_t count) {
    return wait([count](const Log& log) { return log.seen.size() >= count; });
  }
  bool wait_for_wakes(std::size_t count) {
    return wait([count](const Log& log) { return log.wakes >= count; });
  }

 private:
  // What create() makes; one a worker.
  struct Instance {
    InProcessHandler& handler;
    const fastmqtt_host* host;
  };
  struct Log {
    std::vector<Seen> seen;
    std::vector<std::size_t> batches;
    std::size_t wakes = 0;
  };

  bool wait(const std::function<bool(const Log&)>& there) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    auto log = log_.lock();
    while (!there(*log) && std::chrono::steady_clock::now() < deadline)
      log.wait_until(changed_, deadline);
    return there(*log);
  }

  static void* create(const fastmqtt_host* host) {
    current->hosts_.push_back(host);
    return new Instance{*current, host};
  }
  static void destroy(void* self) { delete static_cast<Instance*>(self); }
  static void on_messages(void* self, const fastmqtt_message* const* messages, std::size_t count,
                          fastmqtt_result* results) {
    const Instance& instance = *static_cast<Instance*>(self);
    InProcessHandler& in = instance.handler;
    for (std::size_t i = 0; i < count; ++i) {
      const fastmqtt_message& m = *messages[i];
      const Seen seen{{m.topic.data, m.topic.size},
                      {m.payload.data, m.payload.size},
                      m.attempt,
                      m.id,
                      std::this_thread::get_id(),
                      instance.host};
      results[i] = in.answer_(m);
      in.log_.lock()->seen.push_back(seen);
    }
    in.log_.lock()->batches.push_back(count);
    in.changed_.notify_all();
  }
  static void on_wake(void* self) {
    InProcessHandler& in = static_cast<Instance*>(self)->handler;
    ++in.log_.lock()->wakes;
    in.changed_.notify_all();
  }

  static inline InProcessHandler* current = nullptr;

  Answer answer_;
  fastmqtt_handler raw_{};
  HandlerLibrary library_;
  std::vector<const fastmqtt_host*> hosts_;
  std::condition_variable changed_;
  Guarded<Log> log_;
};

inline MessagePtr make_message(const std::string& topic, const std::string& payload, int qos = 1,
                               std::vector<std::uint32_t> subscription_ids = {},
                               bool retain = false) {
  return std::make_shared<Message>(Message::Parts{.topic = topic,
                                                  .payload = payload,
                                                  .qos = qos,
                                                  .retain = retain,
                                                  .id = next_message_id(),
                                                  .subscription_ids = subscription_ids});
}

}  // namespace fastmqttd::testing
