// What sends the messages: raw sockets and packets made beforehand, so that it is never the
// bottleneck.  Not for more than one connection.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "daemon/base/unique_fd.hpp"

namespace bench {

struct Messages {
  std::uint64_t count = 0;
  int qos = 1;
  std::size_t size = 64;  // bytes of payload, 16 at least
  double per_second = 0;  // 0: as fast as it goes
  int topics = 10;        // bench/0 ...
};

// A sender of QoS 1 has at most so many messages on their way that are not acknowledged.
constexpr std::uint64_t kWindow = 1000;

// One MQTT 5 connection that messages are written to, with a thread that reads what comes back.
class Sender {
 public:
  virtual ~Sender();
  // Writes all of them, and with QoS 1 waits for the acknowledgements.  Throws std::runtime_error
  // when the connection ends.
  void send(const Messages& messages);

 protected:
  Sender() = default;
  void read_from(fastmqttd::UniqueFd connection);  // starts the thread
  void stop();
  void write(std::string_view bytes);
  virtual void packet(const std::string& bytes) = 0;  // [the thread] other than PUBACK

  std::string properties_;  // of each PUBLISH

 private:
  void read();

  fastmqttd::UniqueFd connection_;
  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// Takes the place of a broker, for one subscriber: nothing but the messages.
class Firehose : public Sender {
 public:
  Firehose();
  ~Firehose() override { stop(); }
  std::uint16_t port() const { return port_; }
  // For a client to have connected and subscribed; throws when none does.
  void wait_for_subscriber();

 private:
  void packet(const std::string& bytes) override;

  fastmqttd::UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> subscribed_{false};
};

// A client that publishes to a broker.
class Publisher : public Sender {
 public:
  explicit Publisher(std::uint16_t broker_port);
  ~Publisher() override { stop(); }

 private:
  void packet(const std::string& bytes) override;

  std::atomic<bool> connected_{false};
};

}  // namespace bench
