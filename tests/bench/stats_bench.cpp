// What counting costs a delivery.
#include <benchmark/benchmark.h>

#include "daemon/delivery/handler_stats.hpp"

namespace fastmqttd {
namespace {

void count_a_delivery(benchmark::State& state) {
  HandlerStats stats;
  for (auto _ : state) {
    stats.waiting.Observe(1e-5);
    stats.handling.Observe(3e-5);
    ++stats.ok;
  }
}
BENCHMARK(count_a_delivery)->Repetitions(9)->ReportAggregatesOnly();

}  // namespace
}  // namespace fastmqttd

BENCHMARK_MAIN();
