#include "tests/chaos/client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>

#include "tests/support/wire.hpp"

namespace fastmqttd::testing {
namespace {

constexpr Milliseconds kAnswerWithin = 5s;

std::string unique_client_id() {
  static std::atomic<int> count{0};
  return "chaos-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

// MQTT 5.0 section 1.5.5; moves `at` behind it.
std::size_t variable_integer(std::string_view bytes, std::size_t& at) {
  std::size_t value = 0;
  for (int shift = 0; at < bytes.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= static_cast<std::size_t>(byte & 127) << shift;
    if (byte < 128) break;
  }
  return value;
}

std::string connect_packet(bool mqtt5) {
  const std::string level(1, mqtt5 ? '\5' : '\4'), clean(1, '\2'), no_keepalive(2, '\0');
  const std::string no_properties(mqtt5 ? 1 : 0, '\0');
  return wire_packet(0x10, wire_text("MQTT") + level + clean + no_keepalive + no_properties +
                               wire_text(unique_client_id()));
}

UniqueFd connected_socket(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot connect to the broker");
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

}  // namespace

PublishPacket read_publish(std::string_view bytes, bool mqtt5) {
  PublishPacket publish;
  publish.qos = bytes[0] >> 1 & 3;
  std::size_t at = 1;
  variable_integer(bytes, at);
  const std::size_t topic_size =
      256u * static_cast<unsigned char>(bytes[at]) + static_cast<unsigned char>(bytes[at + 1]);
  publish.topic = bytes.substr(at + 2, topic_size);
  at += 2 + topic_size;
  if (publish.qos > 0) {
    publish.id = bytes.substr(at, 2);
    at += 2;
  }
  if (mqtt5) {
    const std::size_t properties = variable_integer(bytes, at);
    at += properties;
  }
  publish.payload = bytes.substr(at);
  return publish;
}

std::string write_publish(const PublishPacket& publish, bool mqtt5) {
  const std::string no_properties(mqtt5 ? 1 : 0, '\0');
  return wire_packet(static_cast<unsigned char>(0x30 | publish.qos << 1),
                     wire_text(publish.topic) + publish.id + no_properties + publish.payload);
}

Client::Client(std::uint16_t port, bool mqtt5) : mqtt5_(mqtt5), socket_(connected_socket(port)) {
  send(connect_packet(mqtt5));
  const std::string connack = await();
  if (connack.size() < 4 || connack[3] != 0) throw std::runtime_error("the broker refuses");
}

void Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) throw std::runtime_error("the broker is gone");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::optional<std::string> Client::receive(Milliseconds within) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  for (;;) {
    if (std::optional<std::string> packet = next_packet(pending_)) return packet;
    const auto left = std::chrono::ceil<Milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{socket_.get(), POLLIN, 0};
    if (left <= 0ms || ::poll(&readable, 1, static_cast<int>(left.count())) <= 0)
      return std::nullopt;
    char buffer[16384];
    const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (got <= 0) throw std::runtime_error("the broker is gone");
    pending_.append(buffer, static_cast<std::size_t>(got));
  }
}

std::string Client::await() {
  std::optional<std::string> packet = receive(kAnswerWithin);
  if (!packet) throw std::runtime_error("the broker does not answer");
  return *std::move(packet);
}

}  // namespace fastmqttd::testing
