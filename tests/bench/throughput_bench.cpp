// What the spool costs the daemon as a whole: messages of QoS 1 that a broker has queued, from the
// connection to the last answer of a handler that does nothing but count.
//
//   build/dev/tests/bench/throughput_bench --benchmark_enable_random_interleaving=true
//
// compares the ways of storing in one run.
#include <benchmark/benchmark.h>

#include <chrono>
#include <stdexcept>
#include <string>

#include "tests/support/broker.hpp"
#include "tests/support/daemon.hpp"
#include "tests/support/mqtt.hpp"
#include "tests/support/records.hpp"
#include "tests/support/wait.hpp"

namespace fastmqttd::testing {
namespace {

constexpr int kMessages = 20'000;

// Queues the messages for a daemon that is away, and starts it.
double seconds(const std::string& mqtt, const std::string& spool) {
  Broker broker;
  broker.start();
  Daemon daemon;
  daemon.add_plugin("recorder");
  const auto records = daemon.file("records");
  daemon.configure(daemon.mqtt_section(broker, mqtt) + spool +
                   "handlers: {all: {plugin: recorder, subscribe: [bench/#], queue: "
                   "{messages: 100000}, options: {file: " +
                   records.string() + "}}}\n");
  daemon.start_ready();
  if (!broker.wait_for_subscriptions(daemon.client_id(), {"bench/#"}))
    throw std::runtime_error("nothing is subscribed");
  daemon.stop();
  std::vector<std::string> payloads(kMessages, std::string(64, 'x'));
  publish_all(broker, "bench/topic", payloads);
  const auto began = std::chrono::steady_clock::now();
  daemon.start();
  const auto all_there = [&] {
    std::error_code none;
    // A line a message: topic, numbers, the payload in hex.
    const auto bytes = std::filesystem::file_size(records, none);
    return !none && bytes >= std::uintmax_t{kMessages} * 150;
  };
  if (!eventually(Milliseconds(120'000), all_there)) throw std::runtime_error("not all came");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (read_records(records).size() != kMessages) throw std::runtime_error("too many came");
  daemon.stop();
  return took.count();
}

void throughput(benchmark::State& state, const std::string& mqtt, const std::string& spool) {
  for (auto _ : state) state.SetIterationTime(seconds(mqtt, spool));
  state.counters["messages/s"] =
      benchmark::Counter(kMessages, benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK_CAPTURE(throughput, without_spool, "  optimistic_acknowledgement: true\n", "")
    ->Iterations(1)
    ->Repetitions(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(throughput, with_spool, "", "")
    ->Iterations(1)
    ->Repetitions(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(throughput, against_power_cuts, "", "spool: {durability: power}\n")
    ->Iterations(1)
    ->Repetitions(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fastmqttd::testing

BENCHMARK_MAIN();
