// fastmqtt/testing.hpp - a handler's own unit test, with no daemon and no broker.
//
//     #include "thermostat.cpp"
//     fastmqtt::testing::HandlerTester tester({{"limit", "18"}});
//     assert(tester.deliver("home/hall/temperature", "17.5") == fastmqtt::Result::ok);
//     assert(tester.last_log() == "too cold");
//
// It drives the handler through its exported symbol, as the daemon does, and stands in for the
// daemon: it keeps what the handler logs, publishes, counts and answers, and its clock moves only
// when the test moves it.  One thread tests; the handler's own threads may call the host meanwhile.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::testing {

// An option as it would stand in the YAML: "a.b" and its scalar text.  "command.0", "command.1" ...
// make a list, "headers.Accept" a map.
struct Option {
  std::string path;
  std::string value;
};

// A message that the handler is given, or that it has published.
struct TestMessage {
  std::string topic = {};
  std::string payload = {};
  int qos = 1;
  bool retain = false;
  bool dup = false;
  unsigned attempt = 1;
  std::vector<std::pair<std::string, std::string>> user_properties = {};
  std::string content_type = {};  // this one and those below: none when empty
  std::string response_topic = {};
  std::string correlation_data = {};
  std::optional<std::uint32_t> expires_in = {};  // seconds
  bool payload_is_text = false;
  std::uint64_t message_id = 0;  // 0: another one each time; else as one that comes again has it
  std::chrono::system_clock::time_point received = {};  // in 1970, unless said otherwise

  Properties properties() const {
    Properties all;
    if (payload_is_text) all.payload_is_text();
    if (expires_in) all.expires_in(std::chrono::seconds(*expires_in));
    if (!content_type.empty()) all.content_type(content_type);
    if (!response_topic.empty()) all.response_topic(response_topic);
    if (!correlation_data.empty()) all.correlation_data(correlation_data);
    for (const auto& [name, value] : user_properties) all.user(name, value);
    return all;
  }
};

class HandlerTester {
 public:
  // `name` is the instance's, the plugin's own when empty.  Throws std::runtime_error with what the
  // handler said when it refuses to start.
  explicit HandlerTester(std::initializer_list<Option> options = {}, std::string name = {},
                         const fastmqtt_handler& handler = fastmqtt_handler_v1)
      : handler_(handler), name_(name.empty() ? handler.name : std::move(name)) {
    for (const Option& option : options) {
      check_name(option.path);
      options_.push_back(option);
    }
    fill_host_table();
    instance_ = handler_.create(&host_.table);
    if (!instance_)
      throw std::runtime_error(logs_.empty() ? "create() failed and said nothing" : logs_.back());
  }
  HandlerTester(const HandlerTester&) = delete;
  HandlerTester& operator=(const HandlerTester&) = delete;
  ~HandlerTester() {
    if (instance_) handler_.destroy(instance_);
  }

  // Hands over one message and returns the answer.
  Result deliver(const TestMessage& message) { return deliver_batch({message}).front(); }
  Result deliver(std::string_view topic, std::string_view payload) {
    return deliver({.topic = std::string(topic), .payload = std::string(payload)});
  }
  // Hands over several, as the daemon does: in one call to a handler that takes batches, else one
  // by one.
  std::vector<Result> deliver_batch(const std::vector<TestMessage>& messages) {
    const std::size_t most = (handler_.flags & FASTMQTT_BATCHES) != 0 ? FASTMQTT_MAX_BATCH : 1;
    std::vector<Result> answers;
    for (std::size_t from = 0; from < messages.size(); from += most) {
      const std::size_t to = std::min(from + most, messages.size());
      const std::vector<TestMessage> part(messages.begin() + static_cast<std::ptrdiff_t>(from),
                                          messages.begin() + static_cast<std::ptrdiff_t>(to));
      for (const Result answer : call(part)) answers.push_back(answer);
    }
    return answers;
  }
  // Of the latest message, for answer_to(); the ids of a batch count up to it.
  std::uint64_t last_id() const { return last_id_; }

  // Moves the clock on and, when that reaches the alarm, lets it ring once.
  void advance(std::chrono::nanoseconds by) {
    {
      const std::lock_guard lock(mutex_);
      now_ += by;
    }
    wake();
  }
  // Lets an alarm ring that is due by now; false when there is none.
  bool wake() {
    {
      const std::lock_guard lock(mutex_);
      if (!alarm_ || *alarm_ > now_ || !handler_.on_wake) return false;
      alarm_.reset();
    }
    handler_.on_wake(instance_);
    return true;
  }

  // What publish() answers from now on to what is well-formed: `retry` is a way out that is full.
  void set_publish_answer(Result answer) {
    const std::lock_guard lock(mutex_);
    publish_answer_ = answer;
  }

  // ---- what the handler did so far
  // ---------------------------------------------------------------
  std::vector<std::string> logs() const { return copy(logs_); }
  std::string last_log() const {  // empty when there is none
    const std::lock_guard lock(mutex_);
    return logs_.empty() ? "" : logs_.back();
  }
  std::vector<Level> levels() const { return copy(levels_); }  // of the logs, one each
  // The handler's own, of the latest line.
  std::map<std::string, std::string> last_fields() const { return copy(last_fields_); }
  std::vector<TestMessage> published() const { return copy(published_); }
  std::map<std::string, std::uint64_t> counts() const { return copy(counts_); }
  std::vector<std::string> used_files() const { return copy(used_files_); }
  std::optional<std::chrono::nanoseconds> alarm() const { return copy(alarm_); }
  std::chrono::nanoseconds now() const { return copy(now_); }
  // The answer given through complete(); waits for it, and throws when it does not come in time.
  Result answer_to(std::uint64_t id,
                   std::chrono::milliseconds within = std::chrono::seconds(10)) const {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, within, [&] { return completed_.contains(id); }))
      throw std::runtime_error("delivery " + std::to_string(id) + " was not completed");
    return completed_.at(id);
  }
  // Waits until the handler has asked for an alarm that is due, then lets it ring; throws when it
  // does not ask in time.
  void wait_for_wake(std::chrono::milliseconds within = std::chrono::seconds(10)) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, within, [&] { return alarm_ && *alarm_ <= now_; }))
        throw std::runtime_error("the handler did not ask to be woken");
    }
    wake();
  }

 private:
  // The C table with the way back to this object behind it.
  struct Host {
    fastmqtt_host table{};
    HandlerTester* tester = nullptr;
  };
  // What the handler is given in one call.
  struct Call {
    explicit Call(const std::vector<TestMessage>& given) : messages(given) {
      for (const TestMessage& m : messages) kept.push_back(m.properties());
      for (const Properties& p : kept) properties.push_back(p.list());
    }
    std::vector<TestMessage> messages;
    std::vector<Properties> kept;
    std::vector<std::vector<fastmqtt_property>> properties;  // of each message; views into `kept`
    std::vector<fastmqtt_message> raw;                       // views into the others
  };

  static HandlerTester& self(const fastmqtt_host* host) {
    return *reinterpret_cast<const Host*>(host)->tester;
  }

  void fill_host_table() {
    host_.tester = this;
    fastmqtt_host& table = host_.table;
    table.size = sizeof table;
    table.log_level = FASTMQTT_DEBUG;
    table.name = name_.c_str();
    table.log = [](const fastmqtt_host* h, std::int32_t level, fastmqtt_view text) {
      self(h).log(level, to_string_view(text));
    };
    table.log_message = [](const fastmqtt_host* h, std::int32_t level, fastmqtt_view text,
                           const fastmqtt_message*) { h->log(h, level, text); };
    table.log_fields = [](const fastmqtt_host* h, std::int32_t level, fastmqtt_view text,
                          const fastmqtt_message*, const fastmqtt_field* fields,
                          std::size_t count) {
      self(h).log(level, to_string_view(text), std::span(fields, count));
    };
    table.publish = [](const fastmqtt_host* h, const fastmqtt_message* message) {
      return self(h).publish(*message);
    };
    table.complete = [](const fastmqtt_host* h, std::uint64_t id, fastmqtt_result result) {
      const std::lock_guard lock(self(h).mutex_);
      self(h).completed_.emplace(id, static_cast<Result>(result));
      self(h).changed_.notify_all();
    };
    table.now_ns = [](const fastmqtt_host* h) -> std::int64_t { return self(h).now().count(); };
    table.wake_at = [](const fastmqtt_host* h, std::int64_t when) {
      const std::lock_guard lock(self(h).mutex_);
      self(h).alarm_ = when == 0 ? self(h).now_ : std::chrono::nanoseconds(when);
      if (when == std::numeric_limits<std::int64_t>::max()) self(h).alarm_.reset();
      self(h).changed_.notify_all();
    };
    table.config = [](const fastmqtt_host* h, const char* path) { return self(h).config(path); };
    table.config_kind = [](const fastmqtt_host* h, const char* path, std::size_t* members) {
      const std::size_t count = self(h).members(path).size();
      if (members) *members = count;
      return self(h).kind(path);
    };
    table.config_name = [](const fastmqtt_host* h, const char* path, std::size_t member) {
      const auto names = self(h).members(path);
      return member < names.size() ? to_view(names[member]) : fastmqtt_view{};
    };
    table.config_error = [](const fastmqtt_host* h, const char* path, fastmqtt_view what) {
      self(h).log(FASTMQTT_ERROR, std::string(path) + ": " + std::string(to_string_view(what)));
    };
    table.counter = [](const fastmqtt_host* h, const char* name) { return self(h).counter(name); };
    table.count = [](const fastmqtt_host* h, std::uint32_t counter, std::uint64_t by) {
      const std::lock_guard lock(self(h).mutex_);
      self(h).counts_[self(h).counter_names_.at(counter)] += by;
    };
    table.uses_file = [](const fastmqtt_host* h, const char* path) {
      const std::lock_guard lock(self(h).mutex_);
      self(h).used_files_.emplace_back(path);
    };
  }

  template <class T>
  T copy(const T& value) const {
    const std::lock_guard lock(mutex_);
    return value;
  }

  void log(std::int32_t level, std::string_view text, std::span<const fastmqtt_field> fields = {}) {
    const std::lock_guard lock(mutex_);
    logs_.emplace_back(text);
    levels_.push_back(static_cast<Level>(level));
    last_fields_.clear();
    for (const fastmqtt_field& field : fields)
      last_fields_.emplace(to_string_view(field.name), to_string_view(field.value));
  }

  fastmqtt_result publish(const fastmqtt_message& message) {
    if (malformed(message)) {
      log(FASTMQTT_WARNING, "cannot publish to " + std::string(to_string_view(message.topic)));
      return FASTMQTT_REJECT;
    }
    const std::lock_guard lock(mutex_);
    if (publish_answer_ == Result::ok) published_.push_back(from_raw(message));
    return static_cast<fastmqtt_result>(publish_answer_);
  }

  // What the daemon would reject, as far as that is easily told.
  static bool malformed(const fastmqtt_message& message) {
    std::uint64_t seen = 0;
    for (const fastmqtt_property& p : Message(&message).properties()) {
      const bool unfit = p.id >= 64 || p.id == FASTMQTT_SUBSCRIPTION_IDENTIFIER ||
                         p.id == FASTMQTT_TOPIC_ALIAS || p.value.size > 65'535;
      if (unfit || (p.id != FASTMQTT_USER_PROPERTY && (seen >> p.id & 1) != 0)) return true;
      seen |= std::uint64_t{1} << p.id;
    }
    return message.qos > 2 || bad_topic(to_string_view(message.topic));
  }
  static bool bad_topic(std::string_view topic) {
    return topic.empty() || topic.size() > 65'535 ||
           topic.find_first_of(std::string_view("+#\0", 3)) != topic.npos;
  }

  std::uint32_t counter(const char* name) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(counter_names_, std::string_view(name));
    const auto index = found - counter_names_.begin();
    if (found == counter_names_.end()) counter_names_.emplace_back(name);
    counts_[name];
    return static_cast<std::uint32_t>(index);
  }

  static TestMessage from_raw(const fastmqtt_message& raw) {
    TestMessage message;
    const Message view(&raw);
    message.topic = view.topic();
    message.payload = view.payload();
    message.qos = view.qos();
    message.retain = view.retained();
    message.content_type = view.content_type().value_or("");
    message.response_topic = view.response_topic().value_or("");
    message.correlation_data = view.correlation_data().value_or("");
    for (const fastmqtt_property& p : view.properties()) {
      if (p.id == FASTMQTT_USER_PROPERTY)
        message.user_properties.emplace_back(to_string_view(p.name), to_string_view(p.value));
      if (p.id == FASTMQTT_MESSAGE_EXPIRY_INTERVAL) message.expires_in = p.number;
      if (p.id == FASTMQTT_PAYLOAD_FORMAT_INDICATOR) message.payload_is_text = p.number == 1;
    }
    return message;
  }

  std::vector<Result> call(const std::vector<TestMessage>& messages) {
    auto given = std::make_unique<Call>(messages);
    for (std::size_t i = 0; i < messages.size(); ++i)
      given->raw.push_back(to_raw(given->messages[i], given->properties[i]));
    std::vector<const fastmqtt_message*> list;
    for (const fastmqtt_message& m : given->raw) list.push_back(&m);
    std::vector<fastmqtt_result> results(messages.size(), FASTMQTT_OK);
    handler_.on_messages(instance_, list.data(), list.size(), results.data());
    std::vector<Result> answers;
    for (const fastmqtt_result result : results) answers.push_back(static_cast<Result>(result));
    // A pending message stays readable, as it does in the daemon.
    if (std::ranges::find(answers, Result::pending) != answers.end())
      pending_.push_back(std::move(given));
    return answers;
  }

  fastmqtt_message to_raw(const TestMessage& message,
                          const std::vector<fastmqtt_property>& properties) {
    if (message.qos < 0 || message.qos > 2 || bad_topic(message.topic))
      throw std::invalid_argument(message.topic + ": no message of MQTT has such a topic or QoS");
    fastmqtt_message raw{};
    raw.size = sizeof raw;
    raw.qos = static_cast<std::uint8_t>(message.qos);
    raw.retain = message.retain;
    raw.dup = message.dup;
    raw.topic = to_view(message.topic);
    raw.payload = to_view(message.payload);
    raw.properties = properties.data();
    raw.property_count = properties.size();
    raw.id = ++last_id_;
    raw.message_id = message.message_id != 0 ? message.message_id : raw.id;
    raw.attempt = message.attempt;
    raw.received_ns = std::chrono::nanoseconds(message.received.time_since_epoch()).count();
    raw.deadline_ns = (now() + std::chrono::seconds(30)).count();
    return raw;
  }

  // ---- options
  // ----------------------------------------------------------------------------------- As the
  // daemon refuses an option that the handler does not name.
  void check_name(const std::string& path) const {
    const std::string_view top = std::string_view(path).substr(0, path.find('.'));
    if (!handler_.options) return;
    for (auto name = handler_.options; *name; ++name)
      if (top == *name) return;
    throw std::runtime_error(path + ": unknown option");
  }

  // The names right below a path, in the order given.
  std::vector<std::string_view> members(std::string_view path) const {
    std::vector<std::string_view> names;
    for (const Option& option : options_) {
      std::string_view rest = option.path;
      if (!path.empty()) {
        if (!rest.starts_with(path) || rest.size() <= path.size() || rest[path.size()] != '.')
          continue;
        rest.remove_prefix(path.size() + 1);
      }
      rest = rest.substr(0, rest.find('.'));
      if (std::ranges::find(names, rest) == names.end()) names.push_back(rest);
    }
    return names;
  }

  std::int32_t kind(std::string_view path) const {
    const auto names = members(path);
    if (names.empty()) return config(path).data ? FASTMQTT_SCALAR : FASTMQTT_ABSENT;
    for (std::size_t i = 0; i < names.size(); ++i)
      if (names[i] != std::to_string(i)) return FASTMQTT_MAP;
    return FASTMQTT_LIST;
  }

  // Scalars only: there is no YAML here.
  fastmqtt_view config(std::string_view path) const {
    const auto found = std::ranges::find(options_, path, &Option::path);
    return found == options_.end() ? fastmqtt_view{} : to_view(found->value);
  }

  Host host_;
  const fastmqtt_handler& handler_;
  const std::string name_;
  std::vector<Option> options_;
  void* instance_ = nullptr;
  std::uint64_t last_id_ = 0;
  std::vector<std::unique_ptr<Call>> pending_;

  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable changed_;
  std::vector<std::string> logs_;
  std::vector<Level> levels_;
  std::map<std::string, std::string> last_fields_;
  std::vector<TestMessage> published_;
  Result publish_answer_ = Result::ok;
  std::map<std::string, std::uint64_t> counts_;
  std::vector<std::string> counter_names_;
  std::vector<std::string> used_files_;
  std::map<std::uint64_t, Result> completed_;
  std::optional<std::chrono::nanoseconds> alarm_;
  std::chrono::nanoseconds now_{};
};

}  // namespace fastmqtt::testing
