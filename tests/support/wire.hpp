// MQTT as it goes over the wire: a relay in front of a broker that records every packet, and a
// broker that answers as it is told, for what no real one can be brought to say.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/base/unique_fd.hpp"
#include "tests/support/port.hpp"
#include "tests/support/wait.hpp"

namespace fastmqttd::testing {

// The types of MQTT 5.0 section 2.1.2.
enum PacketType {
  kConnect = 1,
  kConnack,
  kPublish,
  kPuback,
  kPubrec,
  kPubrel,
  kPubcomp,
  kSubscribe,
  kSuback,
  kUnsubscribe,
  kUnsuback,
  kPingreq,
  kPingresp,
  kDisconnect
};

struct WirePacket {
  int connection = 0;  // counted from 0, in the order they were accepted
  bool from_client = false;
  std::string bytes;  // the whole packet
  std::chrono::steady_clock::time_point at;

  int type() const { return static_cast<unsigned char>(bytes[0]) >> 4; }
};

// A text as the standard writes it [MQTT-1.5.4]: its length in two bytes, then itself.
std::string wire_text(std::string_view text);
// A packet of that first byte with its remaining length put in.
std::string wire_packet(unsigned char first, std::string_view rest);
// Takes one whole packet off the front.
std::optional<std::string> next_packet(std::string& bytes);
// "10 0c 00"
std::string hex(std::string_view bytes);

// Listens on a loopback port of its own and reads the packets of each connection, in a thread of
// its own, until it is destroyed.
class PacketServer {
 public:
  virtual ~PacketServer();
  PacketServer(const PacketServer&) = delete;
  PacketServer& operator=(const PacketServer&) = delete;

  std::uint16_t port() const { return port_.number(); }
  // "  port: N\n" for the `mqtt` section.
  std::string key() const { return "  port: " + std::to_string(port()) + "\n"; }
  std::vector<WirePacket> packets() const;
  // Those of one type and direction, in order.
  std::vector<std::string> sent(PacketType type, bool from_client = true) const;
  // For `count` of them.
  [[nodiscard]] bool wait_for(PacketType type, std::size_t count = 1,
                              bool from_client = true) const;
  int connections() const { return accepted_; }
  // Ends every connection, as a cable that is pulled does not: the client sees it at once.
  void cut() { cut_ = true; }

 protected:
  struct Connection {
    int number = 0;
    UniqueFd client;
    UniqueFd broker;          // a relay's
    std::string from_client;  // not yet a whole packet
    std::string from_broker;
    bool ended = false;
  };
  PacketServer() = default;
  void start();
  void stop();  // by the destructor of each derived class

  // All run on the server's thread.
  virtual void accepted(Connection&) {}
  virtual void packet(Connection& connection, const WirePacket& packet) = 0;
  virtual void turn(Connection&) {}  // now and then
  void write(int fd, std::string_view bytes);
  void record(const Connection& connection, bool from_client, std::string bytes);

 private:
  void run();
  void read(Connection& connection, bool from_client);

  Port port_;
  UniqueFd listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  mutable std::mutex mutex_;
  std::vector<WirePacket> packets_;
  std::atomic<int> accepted_{0};
  std::atomic<bool> cut_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// Hands everything on, both ways, and may hold back what the broker gets.
class Relay : public PacketServer {
 public:
  // `watch` is called with each packet before it goes on.
  using Watch = std::function<void(const WirePacket& packet)>;
  explicit Relay(std::uint16_t broker_port, Watch watch = {});
  ~Relay() override { stop(); }

  // From now on the broker gets none of these.
  void hold_back(PacketType type) { held_back_ = type; }

 protected:
  void accepted(Connection& connection) override;
  void packet(Connection& connection, const WirePacket& packet) override;

 private:
  const std::uint16_t broker_port_;
  const Watch watch_;
  std::atomic<int> held_back_{0};
};

// Answers each CONNECT with the next of its answers, the last one again and again; "" ends the
// connection instead.  After a CONNACK it acknowledges what comes, granting what is asked.
class ScriptedBroker : public PacketServer {
 public:
  explicit ScriptedBroker(std::vector<std::string> answers);
  ~ScriptedBroker() override { stop(); }

  // Sends it on every connection that is open.
  void send(std::string bytes);
  // What it makes of a packet, instead of the answer that a broker gives; "" for nothing.
  using React = std::function<std::string(const WirePacket& packet)>;
  void react(PacketType type, React react);

  // A CONNACK of MQTT 5 with the properties as they go over the wire.
  static std::string connack5(unsigned char code, std::string_view properties = "",
                              bool session_present = false);
  static std::string connack3(unsigned char code, bool session_present = false);

 protected:
  void packet(Connection& connection, const WirePacket& packet) override;
  void turn(Connection& connection) override;

 private:
  std::string answer(const WirePacket& packet, bool mqtt5) const;

  const std::vector<std::string> answers_;
  std::mutex mutex_;
  std::vector<std::pair<PacketType, React>> reactions_;
  std::vector<std::string> to_send_;
  std::vector<std::size_t> sent_;  // by connection, how many of them
  std::vector<bool> mqtt5_;        // by connection
  std::size_t connects_ = 0;
};

}  // namespace fastmqttd::testing
