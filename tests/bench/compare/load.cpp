#include "tests/bench/compare/load.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "tests/bench/compare/tally.hpp"
#include "tests/support/wait.hpp"
#include "tests/support/wire.hpp"

namespace bench {

namespace wire = fastmqttd::testing;

namespace {

constexpr std::size_t kAtOnce = 64;  // messages in one write

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("load: " + what); }

std::string number_16(std::uint64_t number) {
  return {static_cast<char>(number >> 8 & 0xff), static_cast<char>(number & 0xff)};
}

// Packet identifiers are 1 to 65535, over and over.
std::uint64_t packet_identifier(std::uint64_t number) { return number % 65'535 + 1; }

// MQTT 5.0 section 3.8.2.1: the subscription identifier with its property byte; "" without one.
std::string subscription_identifier(const std::string& subscribe) {
  std::size_t at = 1;
  while (static_cast<unsigned char>(subscribe[at]) >= 0x80) ++at;
  at += 3;  // the last byte of the length, the packet identifier
  if (subscribe[at] == 0 || subscribe[at + 1] != 0x0B) return "";
  std::size_t end = at + 2;
  while (static_cast<unsigned char>(subscribe[end]) >= 0x80) ++end;
  return subscribe.substr(at + 1, end - at);
}

}  // namespace

Sender::~Sender() = default;

void Sender::read_from(fastmqttd::UniqueFd connection) {
  connection_ = std::move(connection);
  const int on = 1;
  ::setsockopt(connection_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // What is measured is not to be slowed by waking us for each acknowledgement.
  const int low_water = kAtOnce * 4;
  const timeval at_latest{0, 1000};
  ::setsockopt(connection_.get(), SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water);
  ::setsockopt(connection_.get(), SOL_SOCKET, SO_RCVTIMEO, &at_latest, sizeof at_latest);
  thread_ = std::thread([this] { read(); });
}

void Sender::stop() {
  if (!thread_.joinable()) return;
  ::shutdown(connection_.get(), SHUT_RDWR);
  thread_.join();
}

void Sender::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written <= 0) fail("the connection has ended");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Sender::read() {
  std::vector<char> some(1 << 16);
  std::string bytes;
  for (;;) {
    const ssize_t size = ::recv(connection_.get(), some.data(), some.size(), 0);
    if (size < 0 && errno == EAGAIN) continue;
    if (size <= 0) break;
    bytes.append(some.data(), static_cast<std::size_t>(size));
    // PUBACKs come by the thousand: they are skipped in place.
    std::size_t at = 0;
    std::uint64_t acknowledged = 0;
    while (bytes.size() - at >= 2 && static_cast<unsigned char>(bytes[at]) == 0x40 &&
           bytes.size() - at >= 2u + static_cast<unsigned char>(bytes[at + 1])) {
      at += 2u + static_cast<unsigned char>(bytes[at + 1]);
      ++acknowledged;
    }
    bytes.erase(0, at);
    if (acknowledged > 0) {
      acknowledged_ += acknowledged;
      acknowledged_.notify_all();
    }
    while (const auto whole =
               bytes.empty() || bytes[0] == 0x40 ? std::nullopt : wire::next_packet(bytes))
      packet(*whole);
  }
  ended_ = true;
  acknowledged_ += 1;  // whoever waits looks again
  acknowledged_.notify_all();
}

void Sender::send(const Messages& messages) {
  const auto first = static_cast<unsigned char>(0x30 | messages.qos << 1);
  const std::uint64_t before = acknowledged_;
  const std::int64_t began = now_ns();
  std::string payload(std::max(messages.size, sizeof(Stamp)), 'x');
  std::string bytes;
  const auto wait_for = [&](std::uint64_t acknowledgements) {
    for (;;) {
      const std::uint64_t now = acknowledged_;
      if (ended_) fail("the connection has ended");
      if (now - before >= acknowledgements) return;
      acknowledged_.wait(now);
    }
  };
  for (std::uint64_t number = 0; number < messages.count; ++number) {
    Stamp stamp{number, 0};
    if (messages.per_second > 0) {
      const auto due = began + static_cast<std::int64_t>(1e9 * static_cast<double>(number) /
                                                         messages.per_second);
      const timespec time{due / 1'000'000'000, due % 1'000'000'000};
      ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
    }
    stamp.sent_ns = now_ns();
    std::memcpy(payload.data(), &stamp, sizeof stamp);
    bytes += wire::wire_packet(
        first, wire::wire_text("bench/" +
                               std::to_string(number % static_cast<unsigned>(messages.topics))) +
                   (messages.qos > 0 ? number_16(packet_identifier(number)) : "") +
                   static_cast<char>(properties_.size()) + properties_ + payload);
    const bool last = number + 1 == messages.count;
    if (messages.per_second > 0 || last || (number + 1) % kAtOnce == 0) {
      if (messages.qos > 0 && number + 1 > kWindow) wait_for(number + 1 - kWindow);
      write(bytes);
      bytes.clear();
    }
  }
  // A subscriber that has counted all of them may go without the last acknowledgements.
  while (messages.qos > 0 && !ended_ && acknowledged_ - before < messages.count)
    acknowledged_.wait(acknowledged_);
}

Firehose::Firehose() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), any, size) != 0 || ::listen(listener_.get(), 1) != 0 ||
      ::getsockname(listener_.get(), any, &size) != 0)
    fail(std::strerror(errno));
  port_ = ntohs(address.sin_port);
}

void Firehose::wait_for_subscriber() {
  pollfd event{listener_.get(), POLLIN, 0};
  if (::poll(&event, 1, 20'000) != 1) fail("no subscriber connects");
  read_from(fastmqttd::UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  if (!wire::eventually([&] { return subscribed_.load(); })) fail("nobody subscribes");
}

void Firehose::packet(const std::string& bytes) {
  switch (static_cast<unsigned char>(bytes[0]) >> 4) {
    case wire::kConnect: return write(wire::wire_packet(0x20, std::string(3, '\0')));
    case wire::kPingreq: return write(wire::wire_packet(0xD0, ""));
    case wire::kSubscribe: {
      properties_ = subscription_identifier(bytes);
      std::size_t at = 1;
      while (static_cast<unsigned char>(bytes[at]) >= 0x80) ++at;
      write(wire::wire_packet(0x90, bytes.substr(at + 1, 2) + std::string("\0\1", 2)));
      subscribed_ = true;
      return;
    }
    default: return;
  }
}

Publisher::Publisher(std::uint16_t broker_port) {
  fastmqttd::UniqueFd connection(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(broker_port);
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail(std::strerror(errno));
  read_from(std::move(connection));
  // Version 5, a clean start, no keep-alive, no properties.
  write(wire::wire_packet(0x10, wire::wire_text("MQTT") + std::string("\5\2\0\0\0", 5) +
                                    wire::wire_text("bench-load")));
  if (!wire::eventually([&] { return connected_.load(); })) fail("the broker does not answer");
}

void Publisher::packet(const std::string& bytes) {
  if (static_cast<unsigned char>(bytes[0]) >> 4 == wire::kConnack) connected_ = true;
}

}  // namespace bench
