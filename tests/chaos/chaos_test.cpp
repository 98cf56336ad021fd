#include "tests/chaos/chaos_test.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <limits>

namespace fastmqttd::testing {

Chaos::Chaos() : seed_(std::random_device{}()), random_(seed_) {
  // Whatever waits is in flight: else mosquitto 2.0.11 lets new messages overtake those that wait.
  broker_.add_setting("max_inflight_messages 0");
  // Not a line a packet.
  broker_.add_setting("log_type none");
  for (const char* type : {"error", "warning", "notice", "information", "subscribe"})
    broker_.add_setting(std::string("log_type ") + type);
}

int Chaos::rounds(int short_form) {
  const char* given = std::getenv("FASTMQTTD_CHAOS");
  return given ? std::atoi(given) : short_form;
}

std::string Chaos::ledger(const std::string& name, const std::string& filters,
                          const std::vector<std::string>& topics, const std::string& options,
                          const std::string& keys) {
  ledgers_.emplace(name, Wanted{Ledger(daemon_.file(name + ".records")), topics});
  return recorder_of("ledger", name, filters, options,
                     "retry: {attempts: unlimited, delay: 2ms, delay_max: 20ms}\n" + keys);
}

void Chaos::configure(const std::string& handlers, std::string_view mqtt,
                      const std::string& spool) {
  const std::string keys = "  version: " + version() + "\n" + std::string(mqtt);
  daemon_.write_config(daemon_.mqtt_section(broker_, keys) + "handlers:\n" + handlers + "spool: {" +
                       spool + "}\nplugin_directories: [" + daemon_.plugin_directory().string() +
                       "]\nlog: {level: info, target: stderr}\n");
  if (!std::filesystem::exists(daemon_.plugin_directory() / "ledger.so"))
    daemon_.add_plugin("ledger");
}

void Chaos::start(const std::string& handlers, const std::vector<std::string>& filters,
                  std::string_view mqtt, const std::string& spool) {
  broker_.start();
  configure(handlers, mqtt, spool);
  daemon_.start_ready();
  await_subscriptions(filters);
}

std::size_t Chaos::entries() {
  std::size_t sum = 0;
  for (auto& [name, wanted] : ledgers_) sum += wanted.book.entries().size();
  return sum;
}

// The number that all have come to.
int Chaos::slowest() {
  int least = std::numeric_limits<int>::max();
  for (auto& [name, wanted] : ledgers_)
    for (const std::string& topic : wanted.topics)
      least = std::min(least, wanted.book.highest(topic));
  return least;
}

void Chaos::let_run(Traffic& traffic) {
  constexpr int kAhead = 150;
  const std::size_t goal = entries() + static_cast<std::size_t>(random(800));
  // Each second time not of repeats alone.
  const int number = random(2) == 0 ? 0 : slowest() + random(100);
  static_cast<void>(eventually(800ms, [&] {
    traffic.pause_after(slowest() + kAhead);
    return entries() > goal && slowest() >= number;
  }));
}

bool Chaos::drained(const Traffic& traffic) {
  return std::ranges::all_of(ledgers_, [&](auto& one) {
    Wanted& wanted = one.second;
    return std::ranges::all_of(wanted.topics, [&](const std::string& topic) {
      return wanted.book.highest(topic) >= traffic.acknowledged(topic);
    });
  });
}

void Chaos::expect_all_handled(Traffic& traffic) {
  traffic.stop();
  for (std::size_t before = 0; !drained(traffic);) {
    before = entries();
    if (!eventually([&] { return entries() > before || drained(traffic); })) break;
  }
  for (auto& [name, wanted] : ledgers_)
    for (const std::string& topic : wanted.topics)
      EXPECT_EQ(gaps(numbers_of(wanted.book.handled(), topic), traffic.acknowledged(topic)), "")
          << name << ", " << topic;
  expect_in_order();
  EXPECT_TRUE(
      eventually([&] { return Database(spool()).text("SELECT count(*) FROM messages") == "0"; }));
}

void Chaos::expect_in_order() {
  for (auto& [name, wanted] : ledgers_)
    for (const std::string& topic : wanted.topics)
      EXPECT_EQ(disorder(numbers_of(wanted.book.handled(), topic)), "") << name << ", " << topic;
}

void Chaos::expect_all_published(const Traffic& traffic, const Collector& collector,
                                 const std::vector<std::string>& topics,
                                 const std::string& prefix) {
  for (const std::string& topic : topics) {
    std::vector<int> numbers;
    const auto missing = [&] {
      numbers = numbers_of(collector.arrivals(), topic, prefix);
      return gaps(numbers, traffic.acknowledged(topic));
    };
    EXPECT_TRUE(eventually([&] { return missing().empty(); })) << topic << ": " << missing();
    EXPECT_EQ(disorder(numbers), "") << topic;
  }
}

int Chaos::entered_twice() {
  int sum = 0;
  for (auto& [name, wanted] : ledgers_) sum += wanted.book.repeats(2, true);
  return sum;
}

void Chaos::report(const Traffic& traffic, int rounds, const std::string& more) {
  int handled = 0, repeats = 0;
  for (auto& [name, wanted] : ledgers_) {
    repeats += wanted.book.repeats(1) + wanted.book.repeats(2);
    for (const auto& [topic, payloads] : wanted.book.handled())
      handled += static_cast<int>(payloads.size());
  }
  std::cout << "seed " << seed_ << ", " << rounds << " rounds: " << traffic.acknowledged()
            << " messages, handled " << handled << " times, " << repeats << " of them repeats ("
            << (handled == 0 ? 0 : 100.0 * repeats / handled) << "%), " << entered_twice()
            << " of QoS 2 as another message" << more << "\n";
}

}  // namespace fastmqttd::testing
