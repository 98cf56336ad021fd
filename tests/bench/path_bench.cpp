// What each step of a message's way costs: matching, routing, the hand-over to a handler's thread,
// the spool, and the templates of the shipped handlers.
//
//   build/bench/tests/bench/path_bench --benchmark_repetitions=5 --benchmark_report_aggregates_only
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "daemon/delivery/lane.hpp"
#include "daemon/delivery/outbox.hpp"
#include "daemon/delivery/router.hpp"
#include "daemon/delivery/routing.hpp"
#include "daemon/message/topic_filter.hpp"
#include "daemon/spool/spool.hpp"
#include "handlers/common/template.hpp"

namespace fastmqttd {
namespace {

// What a plant has: filters that differ in two levels, one of them with a wildcard behind.
std::vector<std::vector<SubscriptionConfig>> filters(int count) {
  std::vector<std::vector<SubscriptionConfig>> lanes(10);
  for (int i = 0; i < count; ++i)
    lanes[static_cast<std::size_t>(i % 10)].push_back(
        SubscriptionConfig{.topic = TopicFilter("site/" + std::to_string(i % 100) + "/machine/" +
                                                std::to_string(i / 100) + "/+")});
  return lanes;
}

std::string topic(int number, int count) {
  return "site/" + std::to_string(number % count % 100) + "/machine/" +
         std::to_string(number % count / 100) + "/temperature";
}

void match_a_filter(benchmark::State& state) {
  const TopicFilter filter("site/+/machine/+/temperature");
  const std::string name = topic(4711, 10'000);
  for (auto _ : state) benchmark::DoNotOptimize(filter.matches(name));
}
BENCHMARK(match_a_filter);

// A topic that has come before.
void route_a_known_topic(benchmark::State& state) {
  const int count = static_cast<int>(state.range(0));
  Router router{SubscriptionPlan(filters(count))};
  const std::string name = topic(7, count);
  for (auto _ : state) benchmark::DoNotOptimize(&router.match(name));
}
BENCHMARK(route_a_known_topic)->Arg(10)->Arg(10'000);

// More topics than are remembered, so that each one is looked up in the tree.
void route_a_new_topic(benchmark::State& state) {
  const int count = static_cast<int>(state.range(0));
  Router router{SubscriptionPlan(filters(count))};
  std::vector<std::string> names;
  for (int i = 0; i < 100'000; ++i) names.push_back(topic(i, count) + "/" + std::to_string(i));
  std::size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(&router.match(names[next]));
    next = next + 1 < names.size() ? next + 1 : 0;
  }
}
BENCHMARK(route_a_new_topic)->Arg(10)->Arg(10'000);

std::size_t resident_bytes() {
  std::size_t pages = 0, resident = 0;
  if (std::FILE* const in = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(in, "%zu %zu", &pages, &resident) != 2) resident = 0;
    std::fclose(in);
  }
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void memory_of_a_filter(benchmark::State& state) {
  for (auto _ : state) {
    const auto lanes = filters(100'000);
    const std::size_t before = resident_bytes();
    const SubscriptionPlan plan(lanes);
    const Router router(plan);
    state.counters["bytes"] = static_cast<double>(resident_bytes() - before) / 100'000;
  }
}
BENCHMARK(memory_of_a_filter)->Iterations(1)->Unit(benchmark::kMillisecond);

MessagePtr message(const std::string& name, std::size_t size = 64) {
  return std::make_shared<Message>(Message::Parts{
      .topic = name, .payload = std::string(size, 'x'), .qos = 1, .id = next_message_id()});
}

void copy_a_message(benchmark::State& state) {
  const std::string name = topic(7, 100);
  for (auto _ : state)
    benchmark::DoNotOptimize(message(name, static_cast<std::size_t>(state.range(0))));
}
BENCHMARK(copy_a_message)->Arg(64)->Arg(1024);

// A message to the lanes that take it.
void find_the_lanes(benchmark::State& state) {
  Routing routing(filters(1000));
  const MessagePtr one = message(topic(7, 1000));
  std::vector<std::uint32_t> lanes;
  for (auto _ : state) {
    benchmark::DoNotOptimize(routing.find(*one, lanes));
    lanes.clear();
  }
}
BENCHMARK(find_the_lanes);

// In at one thread, out at the handler's.
void hand_over(benchmark::State& state) {
  static std::atomic<std::uint64_t> handled{0};
  const fastmqtt_handler counting{sizeof(fastmqtt_handler),
                                  FASTMQTT_BATCHES,
                                  "counting",
                                  "1",
                                  nullptr,
                                  nullptr,
                                  [](const fastmqtt_host*) -> void* { return &handled; },
                                  [](void*) {},
                                  [](void*, const fastmqtt_message* const*, std::size_t count,
                                     fastmqtt_result*) { handled += count; },
                                  nullptr};
  const HandlerLibrary library{"counting.so", &counting, "counting", {}, false, {}};
  HandlerConfig config;
  config.name = config.plugin = "counting";
  config.queue.messages = 1 << 20;
  Outbox outbox;
  DeliveryTap tap;
  Lane lane(config, library, outbox, nullptr, tap, [] {});
  lane.start();
  std::vector<MessagePtr> messages;
  for (int i = 0; i < 1000; ++i) messages.push_back(message(topic(i, 100)));
  std::uint64_t pushed = handled;
  for (auto _ : state) {
    // Fresh ids: a message is handed over once.
    lane.push(message(topic(static_cast<int>(pushed % 100), 100)), false);
    if (++pushed % 1000 == 0)
      while (handled < pushed) ::sched_yield();
  }
  lane.abandon();
  while (!lane.finished()) ::sched_yield();
  lane.end();
}
BENCHMARK(hand_over)->UseRealTime();

// Stored, handed over, settled; the other thread's work counts.
void spool_a_message(benchmark::State& state) {
  const std::filesystem::path directory =
      std::filesystem::current_path() / ("path_bench-" + std::to_string(::getpid()));
  {
    Spool spool(directory,
                {.directory = {}, .durability = Durability::process, .max_size = 1 << 30});
    const std::vector<HandlerKey> handlers{spool.handler("one")};
    const std::string name = topic(7, 100);
    std::string why;
    for (auto _ : state) {
      const MessagePtr one = message(name);
      if (!spool.append(*one, handlers, nullptr, why)) state.SkipWithError(why.c_str());
      spool.write({{Done{one->id(), handlers[0]}}, false, {}});
    }
    spool.flush(std::chrono::seconds(60));
  }
  std::filesystem::remove_all(directory);
}
BENCHMARK(spool_a_message)->MeasureProcessCPUTime()->UseRealTime()->Iterations(50'000);

void fill_a_template(benchmark::State& state, const char* text) {
  const fastmqtt::common::Template form(text);
  const std::string name = topic(7, 100);
  const std::string payload = R"({"sensor": {"unit": "C", "value": 21.5}, "n": 17})";
  const Message one({.topic = name, .payload = payload, .qos = 1, .id = 1});
  const fastmqtt_message raw = one.view();
  for (auto _ : state) {
    fastmqtt::common::Source source{fastmqtt::Message(&raw), "bench"};
    benchmark::DoNotOptimize(form.fill(source));
  }
}
BENCHMARK_CAPTURE(fill_a_template, topic, "{topic.2}/{topic.-1}");
BENCHMARK_CAPTURE(fill_a_template, json, "{json:/sensor/value}");
BENCHMARK_CAPTURE(fill_a_template, time, "{time:%F}");

}  // namespace
}  // namespace fastmqttd

BENCHMARK_MAIN();
