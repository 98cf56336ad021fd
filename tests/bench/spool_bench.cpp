// What the receiving thread pays for a message that is stored, and what the others make it pay: the
// time of each append, as percentiles in microseconds.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "daemon/spool/spool.hpp"

namespace fastmqttd {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kAppends = 100'000;

class Appends {
 public:
  Appends(Durability durability, std::size_t payload, int handlers)
      : payload_(payload, 'x'),
        spool_(std::make_unique<Spool>(
            directory_,
            SpoolConfig{.directory = {}, .durability = durability, .max_size = 8ull << 30})) {
    for (int i = 0; i < handlers; ++i)
      handlers_.push_back(spool_->handler("h" + std::to_string(i)));
  }
  ~Appends() {
    spool_.reset();
    fs::remove_all(directory_);
  }

  // One message, and if so, its settlement by all handlers, as workers do it.
  void one(bool settle, std::vector<double>& times) {
    const std::uint64_t id = next_message_id();
    const std::string topic = "site/building/" + std::to_string(id % 1000) + "/temperature";
    const Message message({.topic = topic, .payload = payload_, .qos = 1, .id = id});
    std::string why;
    const TimePoint began = Clock::now();
    const bool stored = spool_->append(message, handlers_, nullptr, why);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - began).count());
    if (!stored) throw std::runtime_error(why);
    if (!settle) return;
    for (const HandlerKey handler : handlers_) spool_->write({{Done{id, handler}}, false, {}});
  }

 private:
  const fs::path directory_ = fs::current_path() / ("spool_bench-" + std::to_string(::getpid()));
  const std::string payload_;
  std::unique_ptr<Spool> spool_;
  std::vector<HandlerKey> handlers_;
};

void report(benchmark::State& state, std::vector<double>& times) {
  std::ranges::sort(times);
  const auto at = [&](double share) {
    return times[std::min(static_cast<std::size_t>(share * static_cast<double>(times.size())),
                          times.size() - 1)];
  };
  state.counters["p50_us"] = at(0.5);
  state.counters["p99_us"] = at(0.99);
  state.counters["p99.9_us"] = at(0.999);
  state.counters["max_us"] = times.back();
}

// The directory of the benchmark is on the disk where it is run.
void append(benchmark::State& state, Durability durability, int handlers, bool settle) {
  Appends appends(durability, static_cast<std::size_t>(state.range(0)), handlers);
  std::vector<double> times;
  for (auto _ : state) appends.one(settle, times);
  report(state, times);
}

void append_only(benchmark::State& state) { append(state, Durability::process, 1, false); }
void append_while_settling(benchmark::State& state) { append(state, Durability::process, 1, true); }
void append_for_four_while_settling(benchmark::State& state) {
  append(state, Durability::process, 4, true);
}
void append_against_power_cuts(benchmark::State& state) {
  append(state, Durability::power, 1, true);
}

BENCHMARK(append_only)->Arg(64)->Arg(1000)->Iterations(kAppends)->UseRealTime();
BENCHMARK(append_while_settling)->Arg(64)->Arg(1000)->Iterations(kAppends)->UseRealTime();
BENCHMARK(append_for_four_while_settling)->Arg(64)->Iterations(kAppends)->UseRealTime();
BENCHMARK(append_against_power_cuts)->Arg(64)->Iterations(5000)->UseRealTime();

}  // namespace
}  // namespace fastmqttd

BENCHMARK_MAIN();
