#include "daemon/ctl/try.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

#include "daemon/base/error.hpp"
#include "daemon/base/guarded.hpp"
#include "daemon/base/log.hpp"
#include "daemon/config/file.hpp"
#include "daemon/config/options.hpp"
#include "daemon/config/values.hpp"
#include "daemon/config/words.hpp"
#include "daemon/config/yaml.hpp"
#include "daemon/ctl/failure.hpp"
#include "daemon/message/publication.hpp"
#include "daemon/message/view.hpp"
#include "daemon/operate/crash_report.hpp"
#include "daemon/operate/start_watch.hpp"
#include "daemon/plugin/handler_instance.hpp"
#include "daemon/plugin/handler_library.hpp"

namespace fastmqttd {
namespace {

constexpr int kNotDone = 1;
constexpr int kInvalid = 65;  // EX_DATAERR of sysexits(3)
constexpr std::size_t kMaxPayload = (1u << 28) - 1;
constexpr std::uint64_t kDelivery = 1;

std::string text_or_file(const std::string& argument, std::size_t limit) {
  if (!argument.starts_with('@')) return argument;
  const std::string path = argument.substr(1);
  try {
    return read_all(open_regular(path), limit);
  } catch (const std::runtime_error& error) {
    throw Failure{kInvalid, {argument + ": the file that follows the @ " + error.what()}};
  }
}

[[noreturn]] void fail_config(const std::vector<Problem>& problems) {
  Failure failure{static_cast<int>(ExitStatus::config), {}};
  for (const Problem& problem : problems) failure.lines.push_back(to_string(problem));
  throw failure;
}

HandlerOptions read_options(const std::string& yaml) {
  std::vector<Problem> problems;
  HandlerOptions options;
  const Tree tree = parse_yaml(yaml, "--options", problems);
  Reading reading{&problems};
  if (problems.empty() && !tree.null()) read(Given{reading, tree, "options"}, options, Any{});
  if (!problems.empty()) fail_config(problems);
  return options;
}

// The message of the command line, owned.
MessagePtr make_message(const TryArguments& arguments) {
  const std::string payload = text_or_file(arguments.payload, kMaxPayload);
  std::vector<fastmqtt_property> properties;
  const auto view = [](std::string_view text) { return fastmqtt_view{text.data(), text.size()}; };
  const auto add = [&](std::uint32_t id, const std::string& text) {
    if (!text.empty()) properties.push_back({id, 0, {}, view(text)});
  };
  add(FASTMQTT_CONTENT_TYPE, arguments.content_type);
  add(FASTMQTT_RESPONSE_TOPIC, arguments.response_topic);
  add(FASTMQTT_CORRELATION_DATA, arguments.correlation_data);
  for (const std::string& property : arguments.user_properties) {
    const std::size_t equals = property.find('=');
    if (equals == property.npos)
      throw Failure{static_cast<int>(ExitStatus::usage),
                    {"--user-property: '" + property + "' is not NAME=VALUE"}};
    const std::string_view text = property;
    properties.push_back(
        {FASTMQTT_USER_PROPERTY, 0, view(text.substr(0, equals)), view(text.substr(equals + 1))});
  }
  fastmqtt_message raw{};
  raw.size = sizeof raw;
  raw.qos = static_cast<std::uint8_t>(arguments.qos);
  raw.topic = view(arguments.topic);
  raw.payload = view(payload);
  raw.properties = properties.data();
  raw.property_count = properties.size();
  if (const std::string error = publication_error(raw); !error.empty())
    throw Failure{kInvalid, {"the message is not valid: " + error}};
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::make_shared<Message>(Message::Parts{
      .topic = arguments.topic,
      .payload = payload,
      .qos = arguments.qos,
      .retain = arguments.retain,
      .received_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count(),
      .id = 1,
      .properties = properties});
}

void print_published(const Message& message) {
  std::string line =
      fmt::format("publish: {} (QoS {}{}): {}", log::shown_topic(message.topic()), message.qos(),
                  message.retain() ? ", retained" : "", printable(message.payload()));
  for (const fastmqtt_property& p : message.properties()) {
    const auto text = [](fastmqtt_view v) { return printable(text_of(v)); };
    switch (p.id) {
      case FASTMQTT_PAYLOAD_FORMAT_INDICATOR:
        line += "\n  payload format: " + std::to_string(p.number);
        break;
      case FASTMQTT_MESSAGE_EXPIRY_INTERVAL:
        line += "\n  expires in seconds: " + std::to_string(p.number);
        break;
      case FASTMQTT_CONTENT_TYPE: line += "\n  content type: " + text(p.value); break;
      case FASTMQTT_RESPONSE_TOPIC: line += "\n  response topic: " + text(p.value); break;
      case FASTMQTT_CORRELATION_DATA: line += "\n  correlation data: " + text(p.value); break;
      default: line += "\n  " + text(p.name) + " = " + text(p.value); break;
    }
  }
  std::puts(line.c_str());
}

// Ends the process when a call does not return in time.
class Watch {
 public:
  explicit Watch(Duration limit)
      : thread_([this, limit](const std::stop_token& stop) {
          std::unique_lock lock(mutex_);
          ended_.wait_for(lock, stop, limit, [] { return false; });
          if (stop.stop_requested()) return;
          std::printf("result: none, the call has not returned within %s\n",
                      format_duration(limit).c_str());
          std::fflush(stdout);
          std::_Exit(kNotDone);
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any ended_;
  std::jthread thread_;  // last: asked to stop and joined first
};

// One instance and its one message.
class Trial : private HandlerRequests {
 public:
  Trial(const HandlerLibrary& library, const HandlerConfig& config)
      // Not make_unique: only this class may turn itself into its private base.
      : timeout_(config.timeout),
        instance_(new HandlerInstance(library, config, counters_, *this)) {}

  // The answer, and in `remark` what is to be said of it.
  fastmqtt_result deliver(const MessagePtr& message, std::string& remark) {
    const TimePoint deadline = Clock::now() + timeout_;
    message_ = message;
    view_ = message->view();
    view_.id = kDelivery;
    view_.attempt = 1;
    view_.deadline_ns = std::chrono::nanoseconds(deadline.time_since_epoch()).count();
    const fastmqtt_message* list[] = {&view_};
    fastmqtt_result result = FASTMQTT_OK;
    {
      const Watch watch(timeout_);
      instance_->on_messages(list, 1, &result);
    }
    if (result == FASTMQTT_PENDING) result = wait_for_answer(deadline, remark);
    while (take_alarm(Clock::now())) instance_->on_wake();
    if (const auto alarm = state_.lock()->alarm)
      std::printf("alarm: in %s\n",
                  format_roughly(std::chrono::ceil<Duration>(*alarm - Clock::now())).c_str());
    if (result >= FASTMQTT_OK && result <= FASTMQTT_REJECT) return result;
    remark = fmt::format(" (it answered {}, which is no answer)", result);
    return FASTMQTT_RETRY;
  }

  std::map<std::string, std::uint64_t> counters() const { return counters_.values(); }

 private:
  struct State {
    std::optional<fastmqtt_result> answer;
    std::optional<TimePoint> alarm;
  };

  fastmqtt_result wait_for_answer(TimePoint deadline, std::string& remark) {
    for (;;) {
      if (take_alarm(Clock::now())) instance_->on_wake();
      auto state = state_.lock();
      if (state->answer) {
        remark = " (pending at first)";
        return *state->answer;
      }
      if (Clock::now() >= deadline) break;
      const TimePoint next = std::min(deadline, state->alarm.value_or(deadline));
      if (Clock::now() < next) state.wait_until(changed_, next);
    }
    remark = " (pending, and no answer within " + format_duration(timeout_) + ")";
    return FASTMQTT_RETRY;
  }

  bool take_alarm(TimePoint now) {
    auto state = state_.lock();
    if (!state->alarm || *state->alarm > now) return false;
    state->alarm.reset();
    return true;
  }

  void complete(std::uint64_t delivery_id, fastmqtt_result result) override {
    auto state = state_.lock();
    if (delivery_id == kDelivery && !state->answer) state->answer = result;
    changed_.notify_one();
  }
  void wake_at(std::int64_t when_ns) override {
    state_.lock()->alarm = alarm_time(when_ns);
    changed_.notify_one();
  }
  bool publish(MessagePtr message) override {
    print_published(*message);
    return true;
  }
  void said(std::string_view, std::string_view) override {}

  const Duration timeout_;
  MessagePtr message_;  // both readable until the instance is destroyed
  fastmqtt_message view_{};
  std::condition_variable changed_;
  Guarded<State> state_;
  HandlerCounters counters_;
  std::unique_ptr<HandlerInstance> instance_;
};

HandlerLibrary load(const std::string& path) {
  std::vector<Problem> doubts;
  try {
    HandlerLibrary library = load_handler_library(path, doubts);
    for (const Problem& doubt : doubts)
      std::fprintf(stderr, "fastmqttctl: note: fastmqttd would refuse this: %s\n",
                   to_string(doubt).c_str());
    return library;
  } catch (const Problem& problem) {
    fail_config({problem});
  }
}

int run(const TryArguments& arguments) {
  const auto timeout = parse_duration(arguments.timeout);
  if (!timeout)
    throw Failure{static_cast<int>(ExitStatus::usage),
                  {"--timeout: '" + arguments.timeout + "' is not " + std::string(kDurationForm)}};
  const MessagePtr message = make_message(arguments);
  const HandlerLibrary library = load(arguments.plugin);
  if (!library.topics.empty() &&
      std::ranges::none_of(library.topics, [&](const TopicFilter& filter) {
        return filter.matches(arguments.topic);
      }))
    std::fprintf(stderr, "fastmqttctl: note: %s matches none of the plugin's own topics\n",
                 printable(arguments.topic).c_str());

  HandlerConfig config;
  config.name = config.plugin = library.name;
  if (!arguments.options.empty()) config.place = Place{"--options", 0, 0};
  config.options = read_options(text_or_file(arguments.options, kMaxYamlBytes));
  config.timeout = *timeout;
  std::string remark;
  fastmqtt_result result = FASTMQTT_RETRY;
  try {
    auto start_watch = std::make_unique<StartWatch>();
    Trial trial(library, config);
    start_watch.reset();
    result = trial.deliver(message, remark);
    for (const auto& [name, value] : trial.counters())
      std::printf("counter: %s %llu\n", name.c_str(), static_cast<unsigned long long>(value));
  } catch (const StartError& error) {
    fail_config(error.problems());
  }
  const char* name = result == FASTMQTT_OK ? "ok" : result == FASTMQTT_RETRY ? "retry" : "reject";
  std::printf("result: %s%s\n", name, remark.c_str());
  return result == FASTMQTT_OK ? 0 : kNotDone;
}

}  // namespace

int try_plugin(const TryArguments& arguments) {
  const auto sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("try", sink));
  spdlog::set_pattern("%l: %v");
  log::set_level(log::Level::debug);
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // in order with what goes to standard error
  install_crash_report();
  return run(arguments);
}

}  // namespace fastmqttd
