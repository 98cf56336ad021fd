// exec - runs a command for each message, without a shell: the payload on its standard input, the
// topic and the rest in its environment and, by placeholders, in its arguments.
//
// Up to `parallel` commands run at once, each watched by a thread; how it ends is the answer to its
// message, which is put off until then.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/missing.hpp"
#include "handlers/common/template.hpp"
#include "handlers/common/time_left.hpp"
#include "handlers/exec/child.hpp"
#include "handlers/exec/service.hpp"

namespace {

using fastmqtt::Level;
using fastmqtt::Message;
using fastmqtt::OptionError;
using fastmqtt::Result;
using fastmqtt::common::Source;
using fastmqtt::common::Template;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Before the daemon would take the message back: it would be tried again beside a command that has
// not ended yet.
constexpr milliseconds kSlack{2500};
constexpr milliseconds kLeastTime{100};  // with less of it no command is started
constexpr int kTryAgain = 75;            // EX_TEMPFAIL of sysexits(3)

std::vector<Template> templates(const std::vector<std::string>& texts) {
  std::vector<Template> all;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    try {
      all.emplace_back(texts[i]);
    } catch (const std::invalid_argument& error) {
      throw OptionError("command." + std::to_string(i), error.what());
    }
  }
  return all;
}

bool has_placeholder(const std::string& text) {
  try {
    return !Template(text).is_constant();
  } catch (const std::invalid_argument&) {
    return false;  // braces of another meaning
  }
}

// What each exit status answers; the others retry.
std::map<int, Result> answers(const fastmqtt::Host& host) {
  std::map<int, Result> all{{0, Result::ok}, {kTryAgain, Result::retry}};
  for (const auto& [word, result] : {std::pair("ok", Result::ok), std::pair("retry", Result::retry),
                                     std::pair("reject", Result::reject)}) {
    const std::string path = std::string("exit_status.") + word;
    const std::vector<std::string> numbers = host.list(path);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto number = fastmqtt::detail::OptionType<int>::read(numbers[i]);
      if (!number || *number < 0 || *number > 255)
        throw OptionError(path, "expected exit statuses, from 0 to 255");
      all[*number] = result;
    }
  }
  return all;
}

class Exec {
 public:
  static constexpr const char* options[] = {"command",     "parallel",    "timeout", "directory",
                                            "environment", "exit_status", "output",  "publish",
                                            "persistent",  "missing"};

  explicit Exec(fastmqtt::Host host)
      : host_(host),
        persistent_(host.option("persistent", false)),
        texts_(host.list("command")),
        command_(persistent_ ? std::vector<Template>() : templates(texts_)),
        parallel_(host.option<std::size_t>("parallel", 1, 1, 64)),
        timeout_(host.option("timeout", milliseconds(10'000), milliseconds(1), kLongest)),
        directory_(host.option("directory", "")),
        environment_(host.map("environment")),
        answers_(answers(host)),
        missing_(host),
        output_(host.option(
            "output", Output::log,
            {{"log", Output::log}, {"ignore", Output::ignore}, {"publish", Output::publish}})) {
    if (texts_.empty()) throw OptionError("command", "expected a program and its arguments");
    if (has_placeholder(texts_.front()))
      throw OptionError("command.0",
                        "expected the path of a program, without placeholders: what "
                        "comes with a message must not choose it");
    read_publish();
    program_ = fastmqtt::exec::find_program(texts_.front());
    if (program_.empty())
      throw OptionError("command.0",
                        "'" + texts_.front() + "': there is no such program, or it may not be run");
    if (persistent_)
      start_service();
    else
      for (std::size_t i = 0; i < parallel_; ++i) threads_.emplace_back([this] { run_jobs(); });
  }
  ~Exec() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Exec(const Exec&) = delete;
  Exec& operator=(const Exec&) = delete;

  // Not before: `fastmqttd --check` makes a handler too, and starts no program.
  void on_wake() {
    if (service_) service_->start();
  }

  Result on_message(const Message& message) {
    if (service_) return service_->take(message);
    Source source(message, host_.name());
    std::string why;
    auto job = make_job(message, source, why);
    if (!job) {
      if (missing_.skips(source)) return Result::ok;
      host_.log(Level::error, why + ": the command cannot be made", message);
      return Result::reject;
    }
    warn_of_short_timeout(message);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return busy_ < parallel_; });
    if (time_for(message) < std::min(kLeastTime, timeout_)) return Result::retry;
    ++busy_;
    next_.push_back(std::move(*job));
    changed_.notify_all();
    return Result::pending;
  }

 private:
  static constexpr milliseconds kLongest = std::chrono::hours(24);
  enum class Output { log, ignore, publish };

  struct Job {
    Message message;  // readable until it is complete
    fastmqtt::exec::Command command;
    std::string topic;  // of what it writes
  };

  // One program for all messages: what goes by the message has no place then.
  void start_service() {
    for (std::size_t i = 0; i < texts_.size(); ++i)
      if (has_placeholder(texts_[i]))
        throw OptionError(
            "command." + std::to_string(i),
            "no placeholders with persistent: the program is given messages in lines");
    for (const char* other : {"exit_status", "output", "publish", "missing"})
      if (host_.config(other) || !host_.members(other).empty())
        throw OptionError(other, "has no effect with persistent: the program says what it means");
    fastmqtt::exec::Command command{.program = program_};
    command.arguments = texts_;
    command.directory = directory_;
    command.environment = environment_;
    command.environment.emplace_back("MQTT_HANDLER", host_.name());
    service_ =
        std::make_unique<fastmqtt::exec::Service>(host_, std::move(command), parallel_, timeout_);
    host_.wake();
  }

  void read_publish() {
    const bool wanted = output_ == Output::publish;
    const bool given = !host_.members("publish").empty();
    if (wanted && !given)
      throw OptionError("publish", "expected {topic: ...}, since output says so");
    if (!wanted && given) throw OptionError("publish", "has no effect without output: publish");
    if (!wanted) return;
    publish_topic_.emplace(fastmqtt::common::template_option(host_, "publish.topic", nullptr));
    publish_options_.qos = host_.option<int>("publish.qos", 1, 0, 2);
    publish_options_.retain = host_.option("publish.retain", false);
    for (const std::string& name : host_.members("publish"))
      if (name != "topic" && name != "qos" && name != "retain")
        throw OptionError("publish." + name, "unknown: expected topic, qos or retain");
  }

  std::optional<Job> make_job(const Message& message, Source& source, std::string& why) {
    Job job{message, {}, {}};
    job.command.program = program_;
    for (std::size_t i = 0; i < command_.size(); ++i) {
      auto text = command_[i].fill(source);
      if (!text) why = source.missing();
      // An argument ends where it has a zero byte: the rest would be lost.
      else if (text->find('\0') != std::string::npos)
        why = "command." + std::to_string(i) + " would hold a zero byte";
      if (!why.empty()) return std::nullopt;
      job.command.arguments.push_back(std::move(*text));
    }
    if (publish_topic_) {
      auto topic = publish_topic_->fill(source);
      if (!topic) {
        why = source.missing();
        return std::nullopt;
      }
      job.topic = std::move(*topic);
    }
    job.command.directory = directory_;
    job.command.environment = environment_of(message);
    job.command.input = message.payload();
    return job;
  }

  std::vector<std::pair<std::string, std::string>> environment_of(const Message& message) const {
    auto all = environment_;
    const auto add = [&](std::string name, std::string_view value) {
      // What an environment cannot hold is left out rather than cut.
      if (value.find('\0') == std::string_view::npos) all.emplace_back(std::move(name), value);
    };
    add("MQTT_TOPIC", message.topic());
    add("MQTT_QOS", std::to_string(message.qos()));
    add("MQTT_RETAIN", message.retained() ? "1" : "0");
    add("MQTT_ATTEMPT", std::to_string(message.attempt()));
    add("MQTT_MESSAGE_ID", std::to_string(message.message_id()));
    add("MQTT_HANDLER", host_.name());
    if (const auto type = message.content_type()) add("MQTT_CONTENT_TYPE", *type);
    if (const auto topic = message.response_topic()) add("MQTT_RESPONSE_TOPIC", *topic);
    if (const auto data = message.correlation_data()) add("MQTT_CORRELATION_DATA", *data);
    for (const fastmqtt_property& p : message.properties())
      if (p.id == FASTMQTT_USER_PROPERTY)
        add("MQTT_USER_" + fastmqtt::exec::variable_name(fastmqtt::to_string_view(p.name)),
            fastmqtt::to_string_view(p.value));
    return all;
  }

  void run_jobs() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !next_.empty(); });
      if (next_.empty()) return;
      Job job = std::move(next_.front());
      next_.pop_front();
      lock.unlock();
      run(std::move(job));
      lock.lock();
      --busy_;
      changed_.notify_all();
    }
  }

  // That a command may take, when it is started now.
  milliseconds time_for(const Message& message) const {
    const auto left = fastmqtt::common::time_left(host_, message, kSlack);
    return left ? std::min(timeout_, std::chrono::duration_cast<milliseconds>(*left)) : timeout_;
  }

  // What waits for a command to end has less time left for its own.
  void warn_of_short_timeout(const Message& message) {
    if (message.deadline().count() == 0 || warned_) return;
    if (message.deadline() - host_.now() >= 2 * timeout_ + kSlack) return;
    warned_ = true;
    host_.log(Level::warning,
              "the handler's timeout is too short for commands that take as long as the option "
              "timeout allows: a message that waits for one to end has less for its own; expected "
              "more than twice as much, see man fastmqttd.yaml");
  }

  void run(Job job) {
    job.command.timeout = std::max(time_for(job.message), milliseconds(1));
    const fastmqtt::exec::Ended ended = fastmqtt::exec::run(job.command, [this] {
      const std::lock_guard lock(mutex_);
      return stopping_;
    });
    const Result result = answer(job, ended);
    host_.complete(job.message.id(), result);
  }

  Result answer(const Job& job, const fastmqtt::exec::Ended& ended) {
    for (const std::string& line : fastmqtt::exec::lines_of(ended.errors))
      host_.log(Level::warning, line, job.message);
    Result result = ended.was_too_long ? Result::reject : Result::retry;
    if (ended.status) {
      const auto known = answers_.find(*ended.status);
      if (known != answers_.end()) result = known->second;
    }
    if (result != Result::ok) {
      host_.log(Level::error, ended.what, job.message);
      return result;
    }
    if (output_ == Output::log)
      for (const std::string& line : fastmqtt::exec::lines_of(ended.output))
        host_.log(Level::info, line, job.message);
    if (ended.output_was_cut && output_ != Output::ignore) {
      host_.log(Level::error, "wrote more than 1 MiB to its standard output", job.message);
      if (output_ == Output::publish) return Result::reject;
    }
    if (output_ == Output::publish && !ended.output.empty())
      result = host_.publish(job.topic, ended.output, publish_options_);
    return result;
  }

  const fastmqtt::Host host_;
  const bool persistent_;
  const std::vector<std::string> texts_;
  const std::vector<Template> command_;  // of them, unless it is persistent
  const std::size_t parallel_;
  const milliseconds timeout_;
  const std::string directory_;
  const std::vector<std::pair<std::string, std::string>> environment_;
  const std::map<int, Result> answers_;
  const fastmqtt::common::Missing missing_;
  const Output output_;
  std::optional<Template> publish_topic_;
  fastmqtt::PublishOptions publish_options_;
  std::string program_;
  bool warned_ = false;                               // of a short timeout
  std::unique_ptr<fastmqtt::exec::Service> service_;  // with persistent

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> next_;
  std::size_t busy_ = 0;  // threads that run a command, or are about to
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

FASTMQTT_HANDLER(Exec, "exec", "1.0", FASTMQTT_SHARDABLE);
