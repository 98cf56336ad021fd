#include "tests/support/wire.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <stdexcept>

namespace fastmqttd::testing {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::string_view packet_id(std::string_view packet) {
  // After the fixed header; these packets are short enough for any length of it.
  std::size_t at = 1;
  while (static_cast<unsigned char>(packet[at]) >= 0x80) ++at;
  ++at;
  if (static_cast<unsigned char>(packet[0]) >> 4 == kPublish)
    at += 2 + static_cast<unsigned char>(packet[at + 1]) +
          256u * static_cast<unsigned char>(packet[at]);
  return packet.substr(at, 2);
}

}  // namespace

std::string wire_text(std::string_view text) {
  std::string bytes{static_cast<char>(text.size() >> 8), static_cast<char>(text.size() & 0xFF)};
  return bytes.append(text);
}

std::string wire_packet(unsigned char first, std::string_view rest) {
  std::string bytes{static_cast<char>(first)};
  std::size_t length = rest.size();
  do {
    const auto digit = static_cast<unsigned>(length & 0x7F);
    length >>= 7;
    bytes += static_cast<char>(digit | (length > 0 ? 0x80u : 0u));
  } while (length > 0);
  return bytes.append(rest);
}

std::optional<std::string> next_packet(std::string& bytes) {
  std::size_t length = 0;
  for (std::size_t i = 1; i < std::min<std::size_t>(5, bytes.size()); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    length |= static_cast<std::size_t>(byte & 0x7F) << 7 * (i - 1);
    if (byte >= 0x80) continue;
    if (bytes.size() < i + 1 + length) return std::nullopt;
    std::string packet = bytes.substr(0, i + 1 + length);
    bytes.erase(0, packet.size());
    return packet;
  }
  return std::nullopt;
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    char two[4];
    std::snprintf(two, sizeof two, "%02x ", static_cast<unsigned char>(c));
    text += two;
  }
  if (!text.empty()) text.pop_back();
  return text;
}

PacketServer::~PacketServer() = default;

void PacketServer::start() {
  listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = loopback(port());
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_.get(), 16) != 0)
    throw std::runtime_error("cannot listen");
  thread_ = std::thread([this] { run(); });
}

void PacketServer::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void PacketServer::run() {
  constexpr int kTurnMs = 5;
  while (!stopping_) {
    std::vector<pollfd> fds{{listener_.get(), POLLIN, 0}};
    for (const auto& c : connections_) {
      fds.push_back({c->client.get(), POLLIN, 0});
      fds.push_back({c->broker.get(), POLLIN, 0});  // -1 is ignored
    }
    ::poll(fds.data(), fds.size(), kTurnMs);
    if (cut_.exchange(false)) {
      connections_.clear();
      continue;
    }
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (fds[1 + 2 * i].revents != 0) read(*connections_[i], true);
      if (fds[2 + 2 * i].revents != 0) read(*connections_[i], false);
      turn(*connections_[i]);
    }
    std::erase_if(connections_, [](const auto& c) { return c->ended; });
    if (fds[0].revents == 0) continue;
    auto fresh = std::make_unique<Connection>();
    fresh->client = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    fresh->number = accepted_++;
    accepted(*fresh);
    connections_.push_back(std::move(fresh));
  }
}

void PacketServer::read(Connection& connection, bool from_client) {
  char buffer[16384];
  const int fd = from_client ? connection.client.get() : connection.broker.get();
  const ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got <= 0) {
    connection.ended = got == 0 || (errno != EAGAIN && errno != EINTR);
    return;
  }
  std::string& pending = from_client ? connection.from_client : connection.from_broker;
  pending.append(buffer, static_cast<std::size_t>(got));
  while (auto bytes = next_packet(pending)) {
    record(connection, from_client, *bytes);
    packet(connection, {connection.number, from_client, *bytes, std::chrono::steady_clock::now()});
  }
}

void PacketServer::write(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void PacketServer::record(const Connection& connection, bool from_client, std::string bytes) {
  const std::lock_guard lock(mutex_);
  packets_.push_back(
      {connection.number, from_client, std::move(bytes), std::chrono::steady_clock::now()});
}

std::vector<WirePacket> PacketServer::packets() const {
  const std::lock_guard lock(mutex_);
  return packets_;
}

std::vector<std::string> PacketServer::sent(PacketType type, bool from_client) const {
  std::vector<std::string> found;
  for (const WirePacket& p : packets())
    if (p.type() == type && p.from_client == from_client) found.push_back(p.bytes);
  return found;
}

bool PacketServer::wait_for(PacketType type, std::size_t count, bool from_client) const {
  return eventually([&] { return sent(type, from_client).size() >= count; });
}

Relay::Relay(std::uint16_t broker_port, Watch watch)
    : broker_port_(broker_port), watch_(std::move(watch)) {
  start();
}

void Relay::accepted(Connection& connection) {
  connection.broker = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(broker_port_);
  const int on = 1;
  for (const int fd : {connection.client.get(), connection.broker.get()})
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  connection.ended = ::connect(connection.broker.get(), reinterpret_cast<const sockaddr*>(&address),
                               sizeof address) != 0;
}

void Relay::packet(Connection& connection, const WirePacket& packet) {
  if (watch_) watch_(packet);
  if (packet.from_client && packet.type() == held_back_) return;
  write(packet.from_client ? connection.broker.get() : connection.client.get(), packet.bytes);
}

ScriptedBroker::ScriptedBroker(std::vector<std::string> answers) : answers_(std::move(answers)) {
  start();
}

void ScriptedBroker::send(std::string bytes) {
  const std::lock_guard lock(mutex_);
  to_send_.push_back(std::move(bytes));
}

void ScriptedBroker::react(PacketType type, React react) {
  const std::lock_guard lock(mutex_);
  reactions_.emplace_back(type, std::move(react));
}

std::string ScriptedBroker::connack5(unsigned char code, std::string_view properties,
                                     bool session_present) {
  std::string rest{session_present ? '\1' : '\0', static_cast<char>(code),
                   static_cast<char>(properties.size())};
  return wire_packet(0x20, rest.append(properties));
}

std::string ScriptedBroker::connack3(unsigned char code, bool session_present) {
  return wire_packet(0x20, std::string{session_present ? '\1' : '\0', static_cast<char>(code)});
}

void ScriptedBroker::packet(Connection& connection, const WirePacket& packet) {
  const auto number = static_cast<std::size_t>(packet.connection);
  std::string reply;
  {
    const std::lock_guard lock(mutex_);
    if (mqtt5_.size() <= number) {
      mqtt5_.resize(number + 1);
      sent_.resize(number + 1, to_send_.size());
    }
    if (packet.type() == kConnect) {
      reply = answers_[std::min(connects_++, answers_.size() - 1)];
      mqtt5_[number] = packet.bytes.find(std::string("MQTT\5", 5)) != std::string::npos;
      connection.ended = reply.empty();
    } else {
      const auto reaction =
          std::ranges::find(reactions_, packet.type(), [](const auto& r) { return int{r.first}; });
      reply =
          reaction == reactions_.end() ? answer(packet, mqtt5_[number]) : reaction->second(packet);
    }
  }
  if (packet.type() == kDisconnect) connection.ended = true;
  if (reply.empty()) return;
  record(connection, false, reply);
  write(connection.client.get(), reply);
}

void ScriptedBroker::turn(Connection& connection) {
  const auto number = static_cast<std::size_t>(connection.number);
  const std::lock_guard lock(mutex_);
  if (number >= sent_.size()) return;
  for (; sent_[number] < to_send_.size(); ++sent_[number])
    write(connection.client.get(), to_send_[sent_[number]]);
}

std::string ScriptedBroker::answer(const WirePacket& packet, bool mqtt5) const {
  const std::string& bytes = packet.bytes;
  const auto first = static_cast<unsigned char>(bytes[0]);
  switch (packet.type()) {
    case kPingreq: return wire_packet(0xD0, "");
    case kPublish: {
      const unsigned qos = first >> 1 & 3u;
      if (qos == 0) return {};
      return wire_packet(qos == 1 ? 0x40 : 0x50, packet_id(bytes));
    }
    case kPubrel: return wire_packet(0x70, packet_id(bytes));
    case kSubscribe: {
      // One code for each filter: what its options ask for.
      std::string codes;
      std::size_t at = 1;
      while (static_cast<unsigned char>(bytes[at]) >= 0x80) ++at;
      at += 3;
      if (mqtt5) at += 1 + static_cast<unsigned char>(bytes[at]);
      while (at + 2 < bytes.size()) {
        at += 2 + static_cast<unsigned char>(bytes[at + 1]) +
              256u * static_cast<unsigned char>(bytes[at]);
        codes += static_cast<char>(bytes[at++] & 3);
      }
      return wire_packet(
          0x90, std::string(packet_id(bytes)) + (mqtt5 ? std::string(1, '\0') : "") + codes);
    }
    case kUnsubscribe:
      return wire_packet(0xB0, std::string(packet_id(bytes)) + (mqtt5 ? std::string(2, '\0') : ""));
    default: return {};
  }
}

}  // namespace fastmqttd::testing
