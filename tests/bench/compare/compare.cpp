// fastmqttd beside bare clients, end to end, in one run: each takes its turn in every round, and
// the medians of the rounds are compared.
//
//   cmake --preset bench && cmake --build --preset bench
//   build/bench/tests/bench/compare/compare --out docs/performance.json
//
// Every subscriber does the same with a message: counts it.  Loads: a firehose in the place of the
// broker, mosquitto as fast as it goes, and mosquitto at a steady rate for the latencies.
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "tests/bench/compare/load.hpp"
#include "tests/bench/compare/tally.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/daemon.hpp"
#include "tests/support/wait.hpp"

namespace bench {
namespace {

namespace fs = std::filesystem;
using fastmqttd::testing::Broker;
using fastmqttd::testing::Command;
using fastmqttd::testing::Daemon;
using fastmqttd::testing::eventually;
using fastmqttd::testing::Process;
using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

enum class Kind { paho, mosquitto_sub, libmosquitto, daemon };

struct Subject {
  std::string name;
  Kind kind;
  int qos;
  bool optimistic = false;
};

const std::vector<Subject> kSubjects{
    {"Paho C++, QoS 0", Kind::paho, 0},
    {"libmosquitto, QoS 0", Kind::libmosquitto, 0},
    {"mosquitto_sub, QoS 0", Kind::mosquitto_sub, 0},
    {"fastmqttd, QoS 0", Kind::daemon, 0},
    {"Paho C++, QoS 1", Kind::paho, 1},
    {"libmosquitto, QoS 1", Kind::libmosquitto, 1},
    {"mosquitto_sub, QoS 1", Kind::mosquitto_sub, 1},
    {"fastmqttd, QoS 1, optimistic", Kind::daemon, 1, true},
    {"fastmqttd, QoS 1, spooled", Kind::daemon, 1},
};

// By name, so that they can be written, read and compared alike.
using Figures = std::map<std::string, double>;

// What a process has used up to now.
struct Usage {
  double cpu_us = 0;
  double switches = 0;
  double rss_kib = 0;  // the most so far
};

double field_of(const fs::path& status, const std::string& name) {
  std::ifstream in(status);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1));
  return 0;
}

Usage usage_of(pid_t process) {
  Usage usage;
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(process, &clock) == 0 && ::clock_gettime(clock, &time) == 0)
    usage.cpu_us = static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
  const fs::path proc = "/proc/" + std::to_string(process);
  for (const auto& task : fs::directory_iterator(proc / "task"))
    usage.switches += field_of(task.path() / "status", "voluntary_ctxt_switches") +
                      field_of(task.path() / "status", "nonvoluntary_ctxt_switches");
  usage.rss_kib = field_of(proc / "status", "VmHWM");
  return usage;
}

// Of all children that have ended and were waited for.
Usage usage_of_children() {
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  const auto us = [](timeval time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return {us(used.ru_utime) + us(used.ru_stime),
          static_cast<double>(used.ru_nvcsw + used.ru_nivcsw), static_cast<double>(used.ru_maxrss)};
}

// One subscriber, from its start to the last message.
class Run {
 public:
  Run(const Subject& subject, std::uint64_t expected, bool latency)
      : subject_(subject), expected_(expected), latency_(latency) {}

  // Starts it for a broker on that port.
  void start(std::uint16_t port) {
    const std::string file = result();
    const std::vector<std::string> arguments{std::to_string(port), std::to_string(subject_.qos),
                                             std::to_string(expected_), file, latency_ ? "1" : "0"};
    switch (subject_.kind) {
      case Kind::paho: return start_program(PAHO_COUNTER, arguments);
      case Kind::libmosquitto: return start_program(MOSQUITTO_COUNTER, arguments);
      case Kind::mosquitto_sub:
        return start_program("mosquitto_sub",
                             {"-V", "mqttv5", "-p", arguments[0], "-t", "bench/#", "-q",
                              arguments[1], "-C", arguments[2], "-i", "mosquitto-sub"});
      case Kind::daemon: return start_daemon(port);
    }
  }
  std::string client_id() const {
    switch (subject_.kind) {
      case Kind::paho: return "paho-counter";
      case Kind::libmosquitto: return "mosquitto-counter";
      case Kind::mosquitto_sub: return "mosquitto-sub";
      default: return daemon_.client_id();
    }
  }

  // Once it has subscribed, before the first message.
  void begin() {
    before_ = subject_.kind == Kind::mosquitto_sub ? usage_of_children() : usage_of(pid());
    began_ns_ = now_ns();
  }
  // After the last one was sent.
  Figures end() {
    Figures figures = subject_.kind == Kind::mosquitto_sub ? end_of_process() : end_of_tally();
    if (daemon_.started()) daemon_.stop();
    return figures;
  }
  pid_t pid() { return process_ ? process_->pid() : daemon_.process().pid(); }

 private:
  void start_program(const std::string& program, const std::vector<std::string>& arguments) {
    Command command{.argv = {program}};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    process_ = std::make_unique<Process>(command);
  }
  void start_daemon(std::uint16_t port) {
    const auto plugin = daemon_.plugin_directory() / "tally.so";
    fs::copy_file(TALLY_PLUGIN, plugin);
    fastmqttd::testing::set_mode(plugin, 0755);
    daemon_.configure(
        daemon_.mqtt_section(nowhere_, fmt::format("  port: {}\n  optimistic_acknowledgement: {}\n",
                                                   port, subject_.optimistic)) +
        fmt::format("handlers: {{tally: {{subscribe: [{{topic: bench/#, qos: {}}}], "
                    "options: {{file: {}, expected: {}, latency: {}}}}}}}\n",
                    subject_.qos, result(), expected_, latency_));
    daemon_.start();
  }
  std::string result() const { return daemon_.file("result").string(); }

  Figures figures(const Usage& after, std::int64_t first_ns, std::int64_t last_ns) const {
    const auto messages = static_cast<double>(expected_);
    return {{"messages_per_second", messages * 1e9 / static_cast<double>(last_ns - first_ns)},
            {"cpu_us", (after.cpu_us - before_.cpu_us) / messages},
            {"context_switches", (after.switches - before_.switches) / messages},
            {"peak_rss_kib", after.rss_kib}};
  }
  Figures end_of_process() {
    if (!process_->wait(120s)) throw std::runtime_error(subject_.name + ": messages were lost");
    const std::int64_t last_ns = now_ns();
    Figures all = figures(usage_of_children(), began_ns_, last_ns);
    all.erase("peak_rss_kib");  // of all children so far
    return all;
  }
  Figures end_of_tally() {
    if (!eventually(120s, [&] { return fs::exists(result()); }))
      throw std::runtime_error(subject_.name + ": messages were lost:\n" + daemon_.log());
    Usage after = usage_of(pid());
    std::ifstream in(result());
    std::map<std::string, double> seen;
    std::string name;
    for (double value = 0; in >> name >> value;) seen[name] = value;
    Figures all = figures(after, static_cast<std::int64_t>(seen.at("first_ns")),
                          static_cast<std::int64_t>(seen.at("last_ns")));
    all["repeats"] = seen.at("repeats");
    if (latency_)
      for (const char* percentile : {"p50", "p99", "p999"})
        all[std::string(percentile) + "_us"] = seen.at(std::string(percentile) + "_ns") / 1000;
    return all;
  }

  const Subject& subject_;
  const std::uint64_t expected_;
  const bool latency_;
  Broker nowhere_;  // gives the daemon's settings; not started
  Daemon daemon_;   // for the others, a directory
  std::unique_ptr<Process> process_;
  Usage before_;
  std::int64_t began_ns_ = 0;
};

// Counts system calls while it lives.
class SystemCalls {
 public:
  explicit SystemCalls(pid_t process)
      : perf_({.argv = {"perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p",
                        std::to_string(process), "-o", file()}}) {}
  // Nothing when this machine does not let us.
  std::optional<double> count() {
    perf_.signal(SIGINT);
    static_cast<void>(perf_.wait());
    std::ifstream in(file());
    for (std::string line; std::getline(in, line);)
      if (line.find("sys_enter") != std::string::npos && std::isdigit(line[0]) != 0)
        return std::stod(line);
    return std::nullopt;
  }

 private:
  std::string file() const { return directory_ / "perf"; }

  fastmqttd::testing::TempDir directory_;
  Process perf_;
};

Figures firehose(const Subject& subject, Messages messages) {
  messages.qos = subject.qos;
  Firehose load;
  Run run(subject, messages.count, false);
  run.start(load.port());
  load.wait_for_subscriber();
  run.begin();
  load.send(messages);
  return run.end();
}

Figures through_mosquitto(const Subject& subject, Messages messages) {
  messages.qos = subject.qos;
  Broker broker;
  broker.add_setting("log_type error");
  broker.add_setting("log_type subscribe");
  broker.start();
  Run run(subject, messages.count, messages.per_second > 0);
  run.start(broker.port());
  if (!broker.wait_for_subscriptions(run.client_id(), {"bench/#"}))
    throw std::runtime_error(subject.name + " does not subscribe");
  Publisher load(broker.port());
  run.begin();
  load.send(messages);
  return run.end();
}

// System calls a message; with an observer, so in a run of its own.
std::optional<double> system_calls(const Subject& subject, Messages messages) {
  messages.qos = subject.qos;
  Firehose load;
  Run run(subject, messages.count, false);
  run.start(load.port());
  load.wait_for_subscriber();
  SystemCalls calls(run.pid());
  run.begin();
  load.send(messages);
  static_cast<void>(run.end());
  const auto count = calls.count();
  return count ? std::optional(*count / static_cast<double>(messages.count)) : std::nullopt;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Of each figure: the median, the least and the most.
Json summary(const std::vector<Figures>& rounds) {
  Json all;
  for (const auto& [name, first] : rounds.front()) {
    std::vector<double> values;
    for (const Figures& figures : rounds) values.push_back(figures.at(name));
    const auto [least, most] = std::ranges::minmax(values);
    all[name] = {{"median", median(values)}, {"least", least}, {"most", most}};
  }
  return all;
}

struct Plan {
  int rounds = 5;
  std::uint64_t messages = 100'000;
  double seconds = 5;  // of a steady load
  std::string out;
  std::vector<std::string> loads{"firehose", "mosquitto", "1000/s", "5000/s"};
  std::string subject;  // part of its name

  std::vector<Subject> subjects() const {
    std::vector<Subject> chosen;
    std::ranges::copy_if(kSubjects, std::back_inserter(chosen), [this](const Subject& one) {
      return one.name.find(subject) != std::string::npos;
    });
    return chosen;
  }
};

using Measure = std::function<Figures(const Subject&)>;

Json rounds_of(const Plan& plan, const std::string& load, const Measure& measure) {
  std::map<std::string, std::vector<Figures>> all;
  const std::vector<Subject> subjects = plan.subjects();
  for (int round = 1; round <= plan.rounds; ++round)
    for (const Subject& subject : subjects) {
      // It prints what it gets, and says nothing of latencies.
      if (load.ends_with("/s") && subject.kind == Kind::mosquitto_sub) continue;
      all[subject.name].push_back(measure(subject));
      fmt::print(stderr, "{}, round {}: {}: {:.1f} us, {:.0f}/s\n", load, round, subject.name,
                 all[subject.name].back().at("cpu_us"),
                 all[subject.name].back().at("messages_per_second"));
    }
  Json results;
  for (const Subject& subject : subjects)
    if (all.contains(subject.name)) results[subject.name] = summary(all.at(subject.name));
  return results;
}

std::string cell(const Json& figures, const char* name, const char* form) {
  if (!figures.contains(name)) return "";
  const auto value = figures.at(name).at("median").get<double>();
  return fmt::format(fmt::runtime(form), value);
}

void print_table(const std::string& load, const Json& results) {
  const bool steady = load.ends_with("/s");
  fmt::print("\n### {}\n\n", load);
  fmt::print(
      "| | messages/s | CPU us (least to most) | switches | {} RSS MiB "
      "|\n|---|---|---|---|{}---|\n",
      steady ? "p50 us | p99 us | p99.9 us |" : "", steady ? "---|---|---|" : "");
  for (const auto& [name, figures] : results.items()) {
    const Json& cpu = figures.at("cpu_us");
    std::string times;
    if (steady)
      for (const char* percentile : {"p50_us", "p99_us", "p999_us"})
        times += cell(figures, percentile, "{:.0f}") + " | ";
    std::string rss;
    if (figures.contains("peak_rss_kib"))
      rss = fmt::format("{:.1f}", figures.at("peak_rss_kib").at("median").get<double>() / 1024);
    fmt::print("| {} | {} | {} ({:.1f} to {:.1f}) | {} | {}{} |\n", name,
               cell(figures, "messages_per_second", "{:.0f}"), cell(figures, "cpu_us", "{:.1f}"),
               cpu.at("least").get<double>(), cpu.at("most").get<double>(),
               cell(figures, "context_switches", "{:.2f}"), times, rss);
  }
}

void compare(const Plan& plan) {
  Json results;
  for (const std::string& load : plan.loads) {
    Messages messages{.count = plan.messages};
    Measure measure = [&](const Subject& subject) { return firehose(subject, messages); };
    if (load.ends_with("/s")) {
      messages.per_second = std::stod(load);
      messages.count = static_cast<std::uint64_t>(messages.per_second * plan.seconds);
    }
    if (load != "firehose")
      measure = [&](const Subject& subject) { return through_mosquitto(subject, messages); };
    results[load] = rounds_of(plan, load, measure);
    print_table(load, results[load]);
  }
  fmt::print("\n### system calls a message, firehose\n\n");
  for (const Subject& subject : plan.subjects())
    if (subject.kind != Kind::mosquitto_sub)
      if (const auto calls = system_calls(subject, {.count = plan.messages})) {
        results["system calls"][subject.name] = *calls;
        fmt::print("| {} | {:.2f} |\n", subject.name, *calls);
      }
  if (!plan.out.empty()) std::ofstream(plan.out) << results.dump(1) << '\n';
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  CLI::App app("Compares fastmqttd with bare clients.");
  bench::Plan plan;
  app.add_option("--rounds", plan.rounds)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--messages", plan.messages, "of a load as fast as it goes")
      ->capture_default_str();
  app.add_option("--seconds", plan.seconds, "of a steady load")->capture_default_str();
  app.add_option("--load", plan.loads, "firehose, mosquitto, or a rate such as 5000/s");
  app.add_option("--subject", plan.subject, "only those with this in their name");
  app.add_option("--out", plan.out, "a JSON file");
  CLI11_PARSE(app, argc, argv);
  bench::compare(plan);
}
