// A broker that is stopped and killed at random moments while messages go both ways: the daemon
// ends connected, has not grown, and never hangs.
//
// A short form runs with all tests; FASTMQTTD_SOAK=500 ./check dev -R Soak makes it 500 rounds.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <sstream>

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

class Soak : public IntegrationTest {
 protected:
  struct Size {
    long rss_kib = 0;
    long descriptors = 0;
    long threads = 0;
  };

  Size size() {
    const std::filesystem::path proc = "/proc/" + std::to_string(daemon_.process().pid());
    Size now;
    std::ifstream status(proc / "status");
    for (std::string line; std::getline(status, line);) {
      std::istringstream words(line);
      std::string key;
      words >> key;
      if (key == "VmRSS:") words >> now.rss_kib;
      if (key == "Threads:") words >> now.threads;
    }
    now.descriptors = std::distance(std::filesystem::directory_iterator(proc / "fd"), {});
    return now;
  }

  std::size_t times_logged(std::string_view text) const {
    const std::string log = daemon_.log();
    std::size_t times = 0;
    for (std::size_t at = 0; (at = log.find(text, at)) != log.npos; ++at) ++times;
    return times;
  }
  std::size_t connections() const { return times_logged(" connected to "); }

  // What the recorder has written.
  std::uintmax_t recorded_bytes() const {
    std::error_code none_yet;
    const std::uintmax_t bytes = std::filesystem::file_size(daemon_.file("all.records"), none_yet);
    return none_yet ? 0 : bytes;
  }

  // Sends a batch from another client, which does not mind when the broker goes away under it.
  void send(int round) const {
    const std::string file = daemon_.file("batch");
    std::string batch;
    for (int i = 0; i < 20; ++i) batch += "echo " + std::to_string(round * 100 + i) + "\n";
    write_file(file, batch);
    run({.argv = {"timeout", "5", "mosquitto_pub", "-p", std::to_string(broker_.port()), "-h",
                  "127.0.0.1", "-t", "do", "-q", std::to_string(round % 3), "-l"},
         .input = file});
  }

  static int rounds() {
    const char* given = std::getenv("FASTMQTTD_SOAK");
    return given ? std::atoi(given) : 8;
  }

  static constexpr bool sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
  }
};

TEST_F(Soak, BrokerRestartsAtRandomMoments) {
  const int all = rounds(), warm = std::min(all / 2, 50);
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << ", " << all << " rounds\n";
  std::minstd_rand random(seed);
  daemon_.add_plugin("actor");
  start(recorder("all", "out") +
            // Not of QoS 2: a mosquitto that is killed comes back with exchanges of an earlier save
            // open, counts them against its Receive Maximum for ever, and refuses all that follows.
            "  actor: {subscribe: [{topic: do, qos: 2}], options: {to: out, qos: 1}}\n",
        {"do", "out"}, "  status_topic: status/me\n");
  Size warmed, largest;
  std::chrono::steady_clock::duration longest{};
  for (int round = 1; round <= all; ++round) {
    const std::size_t before = connections();
    std::jthread traffic([this, round] { send(round); });
    // Somewhere in the middle of the batch, or when it does not come so far.
    const std::uintmax_t some = recorded_bytes() + random() % 500;
    static_cast<void>(eventually(400ms, [&] { return recorded_bytes() > some; }));
    if (random() % 2 == 0)
      broker_.kill();
    else
      broker_.stop();
    if (random() % 4 == 0) {
      const std::size_t missed = times_logged("cannot connect to ");
      ASSERT_TRUE(eventually([&] { return times_logged("cannot connect to ") > missed; }));
    }
    broker_.start();
    const auto began = std::chrono::steady_clock::now();
    ASSERT_TRUE(eventually([&] { return connections() > before; })) << "round " << round;
    longest = std::max(longest, std::chrono::steady_clock::now() - began);
    if (round == warm) warmed = largest = size();
    if (round > warm) largest.rss_kib = std::max(largest.rss_kib, size().rss_kib);
  }
  EXPECT_TRUE(eventually(
      [&] { return Subscriber(broker_, "status/me").wait_for("status/me") == "online"; }));
  publish(broker_, "do", "echo the end");
  await_payload("all", "the end");
  const Size end = size();
  std::cout << "RSS " << warmed.rss_kib << " KiB after round " << warm << ", " << end.rss_kib
            << " KiB at the end, " << largest.rss_kib << " KiB at most; descriptors "
            << warmed.descriptors << ", " << end.descriptors << "; threads " << warmed.threads
            << ", " << end.threads << "; longest reconnect "
            << std::chrono::duration_cast<Milliseconds>(longest).count() << " ms; messages "
            << records("all").size() << "\n";
  EXPECT_LE(end.descriptors, warmed.descriptors);
  EXPECT_LE(end.threads, warmed.threads);
  if (!sanitized()) {
    EXPECT_LE(end.rss_kib, warmed.rss_kib + 2048);
  }
  EXPECT_EQ(daemon_.stop(), Exit{});
}

}  // namespace
}  // namespace fastmqttd::testing
