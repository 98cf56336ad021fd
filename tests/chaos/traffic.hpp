// Other clients of the broker, in this process: one that sends numbers and knows which of them the
// broker has acknowledged, and one that collects what comes.
#pragma once

#include <atomic>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/client.hpp"
#include "tests/chaos/numbers.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/wait.hpp"

namespace fastmqttd::testing {

// Sends on several topics, on each one message after the other has been acknowledged: so the broker
// has them in order, whatever befalls it.  What a lost connection leaves open is sent again.
class Traffic {
 public:
  struct Stream {
    std::string topic;
    int qos = 1;
    std::string payload = {};  // always this one, instead of a number
  };
  struct Options {
    std::string version = "5";
    std::size_t size = 0;     // see numbered()
    Milliseconds pace = 2ms;  // from one message of a topic to the next, at least
    int last = 0;             // the number to end with; 0: none
  };

  Traffic(const Broker& broker, std::vector<Stream> streams, const Options& options);
  Traffic(const Broker& broker, std::vector<Stream> streams);
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  // Sends no number above this one until the next call.
  void pause_after(int number) { pause_after_ = number; }
  // Sends no more; throws when what has been sent is not acknowledged in time.
  void stop();
  // For the broker to have acknowledged this number on every topic.
  [[nodiscard]] bool wait_for(int number) const;
  // 1 to this are.
  int acknowledged(const std::string& topic) const;
  int acknowledged() const;  // on all topics

 private:
  struct State {
    explicit State(Stream of) : stream(std::move(of)) {}
    const Stream stream;
    std::atomic<int> acknowledged{0};
    bool open = false;  // one more is sent
  };

  int acknowledged_on_all() const;
  bool goes_on() const { return !abandoned_ && (!stopping_ || open_); }
  void run();
  // Until the connection is lost.
  void send_over(Client& client);
  void send_one_each(Client& client, int number);
  void await_acknowledgement(Client& client, int number);

  const std::uint16_t port_;
  const Options options_;
  std::vector<std::unique_ptr<State>> streams_;
  std::atomic<int> pause_after_{std::numeric_limits<int>::max()};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> open_{false};  // a number is sent and not acknowledged
  std::atomic<bool> abandoned_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// Subscribed, with QoS 2, once the constructor returns; as long as the broker does not go away.
class Collector {
 public:
  Collector(const Broker& broker, const std::string& filter);
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  Arrivals arrivals() const;

 private:
  void run();
  void take(const std::string& packet);

  Client client_;
  std::set<std::string> unreleased_;  // identifiers of QoS 2
  mutable std::mutex mutex_;
  Arrivals arrivals_;  // under mutex_
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace fastmqttd::testing
