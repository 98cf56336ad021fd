// What a handler makes of 20,000 messages that come through a broker: messages a second from the
// first to the last answer, and what each costs in CPU, of the daemon and of what it runs.
//
//   build/release/tests/bench/handler_bench exec "command: ['true']" --messages 2000
//
// The options stand as in the configuration; a %d in them is the daemon's own directory.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/broker.hpp"
#include "tests/support/daemon.hpp"
#include "tests/support/mqtt.hpp"
#include "tests/support/wait.hpp"

namespace fastmqttd::testing {
namespace {

struct Load {
  std::string plugin;
  std::string options;
  std::string keys;
  std::size_t messages = 20'000;
  std::size_t topics = 10;
  std::string payload = R"({"sensor": {"unit": "C", "value": 21.5}, "n": %n})";
};

// Of a process, in seconds: by itself, and by children that it has waited for (proc(5)).
struct Cpu {
  double own = 0;
  double children = 0;

  explicit Cpu(pid_t process) {
    std::ifstream in("/proc/" + std::to_string(process) + "/stat");
    std::string field;
    std::getline(in, field, ')');
    for (int i = 3; i < 14; ++i) in >> field;
    double user = 0, system = 0, their_user = 0, their_system = 0;
    in >> user >> system >> their_user >> their_system;
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    own = (user + system) / ticks;
    children = (their_user + their_system) / ticks;
  }
};

std::string replaced(std::string text, std::string_view what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

nlohmann::json counts(const Daemon& daemon) {
  return nlohmann::json::parse(daemon.ctl({"handlers", "--json"}).output).at(0);
}

void measure(const Load& load) {
  Broker broker;
  broker.start();
  Daemon daemon;
  const auto plugin = daemon.plugin_directory() / (load.plugin + ".so");
  std::filesystem::copy_file(std::string(FASTMQTTD_HANDLERS "/") + load.plugin + ".so", plugin);
  set_mode(plugin, 0755);
  daemon.configure(daemon.mqtt_section(broker) +
                   "handlers: {it: {subscribe: ['bench/#'], plugin: " + load.plugin + load.keys +
                   ", options: {" + replaced(load.options, "%d", daemon.file("").string()) +
                   "}}}\n");
  daemon.start_ready();
  if (!broker.wait_for_subscriptions(daemon.client_id(), {"bench/#"}))
    throw std::runtime_error("nothing is subscribed");

  std::vector<std::vector<std::string>> payloads(load.topics);
  for (std::size_t i = 0; i < load.messages; ++i)
    payloads[i % load.topics].push_back(replaced(load.payload, "%n", std::to_string(i)));
  const Cpu before(daemon.process().pid());
  const auto began = std::chrono::steady_clock::now();
  {
    // Side by side: of one topic a handler has one message at a time.
    std::vector<std::jthread> publishers;
    for (std::size_t i = 0; i < load.topics; ++i)
      publishers.emplace_back(
          [&, i] { publish_all(broker, "bench/" + std::to_string(i), payloads[i]); });
  }
  const auto finished = [&](const nlohmann::json& now) {
    return now.at("done").get<std::size_t>() + now.at("given_up").get<std::size_t>();
  };
  if (!eventually(std::chrono::minutes(30),
                  [&] { return finished(counts(daemon)) >= load.messages; }))
    throw std::runtime_error("not all came:\n" + daemon.log());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const Cpu after(daemon.process().pid());
  const nlohmann::json now = counts(daemon);
  const auto each = [&](double seconds) {
    return seconds * 1e6 / static_cast<double>(load.messages);
  };
  fmt::print("{}: {} messages, {:.0f}/s, {:.0f} us CPU each", load.plugin, load.messages,
             static_cast<double>(load.messages) / took.count(), each(after.own - before.own));
  if (after.children > before.children)
    fmt::print(" and {:.0f} us of what it ran", each(after.children - before.children));
  fmt::print("; done {}, tried again {}, given up {}\n", now.at("done").get<std::size_t>(),
             now.at("failed").get<std::size_t>(), now.at("given_up").get<std::size_t>());
  daemon.stop();
}

}  // namespace
}  // namespace fastmqttd::testing

int main(int argc, char** argv) {
  CLI::App app("Measures a handler.");
  fastmqttd::testing::Load load;
  app.add_option("PLUGIN", load.plugin)->required();
  app.add_option("OPTIONS", load.options, "such as \"file: %d/a.db, table: t\"");
  app.add_option("--keys", load.keys, "further keys of its entry: \", workers: 2\"");
  app.add_option("--messages", load.messages)->capture_default_str();
  app.add_option("--topics", load.topics)->capture_default_str();
  app.add_option("--payload", load.payload, "%n is the message's number")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  fastmqttd::testing::measure(load);
}
