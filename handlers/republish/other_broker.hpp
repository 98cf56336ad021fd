// Another broker: the connection to it, made again whenever it is lost, and what is on its way.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/republish/broker_options.hpp"
#include "handlers/republish/client.hpp"
#include "handlers/republish/publication.hpp"

namespace fastmqtt::republish {

// start() and send() belong to the handler's turn.  A thread of its own makes all calls into Paho.
//
// Nothing is kept here over a lost connection: the daemon does, until the broker has acknowledged a
// message, or refused it.  What was on its way when a connection ended may be what ended it, so it
// goes alone the next time: it holds up no other again.
class OtherBroker {
 public:
  OtherBroker(Host host, BrokerOptions options);
  // Within about a second, whatever the broker does.
  ~OtherBroker();
  OtherBroker(const OtherBroker&) = delete;
  OtherBroker& operator=(const OtherBroker&) = delete;

  // Begins to connect; further calls do nothing.
  void start();
  // Pending, and complete once the broker has answered; retry without a connection, or when there
  // is no room for long.  Rejects what the broker cannot take, and logs why.
  Result send(const Message& message, Publication publication);

 private:
  using Clock = std::chrono::steady_clock;
  enum class Phase { connecting, up, down };
  // Given to us, and not complete yet.
  struct Flying {
    Message message;
    Publication publication;
    bool sent = false;  // the broker may have it
  };
  struct Outcome {
    std::uint64_t number;
    int reason_code;
  };

  bool has_room(const Message& message) const;

  // The thread's own.
  void run();
  std::unique_ptr<Client> connect(Loss& loss);
  std::unique_ptr<Client> connect_to(const Address& address, Loss& loss);
  Loss serve(Client& client);
  void send_waiting(Client& client, const std::vector<std::uint64_t>& numbers);
  void settle(const Outcome& outcome);
  void finish(std::uint64_t number, Result result);
  void give_back(const Loss& loss);
  void pause(Clock::duration length);
  Clock::duration next_pause();
  void log_up(const Client& client);
  void log_down(const Loss& loss);
  bool keep_going();

  const Host host_;
  const BrokerOptions options_;
  std::chrono::seconds keepalive_;      // ours, or the one that the broker wants
  std::chrono::milliseconds pause_{0};  // the latest
  bool useful_ = false;                 // the connection: the broker has answered a publication
  std::string logged_;                  // why there is no connection, as it was logged
  std::mt19937_64 random_{std::random_device{}()};

  std::mutex mutex_;                  // guards what follows
  std::condition_variable changed_;   // for the thread
  std::condition_variable progress_;  // for send()
  Phase phase_ = Phase::connecting;
  Client* client_ = nullptr;                // while it is up
  std::size_t window_ = 1;                  // how many may be on their way
  std::map<std::uint64_t, Flying> flying_;  // by the id of the delivery
  std::vector<std::uint64_t> waiting_;      // those of them that are not sent
  std::set<std::uint64_t> suspects_;        // message ids: on their way when a connection ended
  std::uint64_t alone_ = 0;                 // the delivery of a suspect that is on its way
  std::vector<Outcome> outcomes_;           // from Paho
  std::optional<Loss> lost_;                // from Paho
  Clock::time_point latest_progress_;       // an outcome, or the first on its way
  std::chrono::milliseconds patience_{0};   // how long to wait for one
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fastmqtt::republish
