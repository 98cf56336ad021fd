#include "tests/chaos/traffic.hpp"

#include <algorithm>
#include <stdexcept>

#include "tests/support/wire.hpp"

namespace fastmqttd::testing {
namespace {

constexpr Milliseconds kPause = 20ms;  // before another attempt to connect

// Two bytes: of the stream of that place, which has one message on the way at most.
std::string packet_id(std::size_t stream) { return {'\0', static_cast<char>(stream + 1)}; }

int type_of(const std::string& packet) { return static_cast<unsigned char>(packet[0]) >> 4; }

std::string id_of(const std::string& packet) { return packet.substr(2, 2); }

}  // namespace

Traffic::Traffic(const Broker& broker, std::vector<Stream> streams, const Options& options)
    : port_(broker.port()), options_(options) {
  for (Stream& stream : streams) streams_.push_back(std::make_unique<State>(std::move(stream)));
  thread_ = std::thread([this] { run(); });
}

Traffic::Traffic(const Broker& broker, std::vector<Stream> streams)
    : Traffic(broker, std::move(streams), Options()) {}

Traffic::~Traffic() {
  abandoned_ = true;
  if (thread_.joinable()) thread_.join();
}

void Traffic::stop() {
  stopping_ = true;
  if (!eventually([this] { return ended_.load(); }))
    throw std::runtime_error("the broker does not acknowledge what is published");
}

bool Traffic::wait_for(int number) const {
  return eventually([&] { return acknowledged_on_all() >= number; });
}

int Traffic::acknowledged_on_all() const {
  const auto of = [](const auto& state) { return state->acknowledged.load(); };
  return of(*std::ranges::min_element(streams_, {}, of));
}

int Traffic::acknowledged(const std::string& topic) const {
  for (const auto& state : streams_)
    if (state->stream.topic == topic) return state->acknowledged;
  throw std::runtime_error("nothing is sent to " + topic);
}

int Traffic::acknowledged() const {
  int sum = 0;
  for (const auto& state : streams_) sum += state->acknowledged;
  return sum;
}

void Traffic::run() {
  while (goes_on()) {
    try {
      Client client(port_, options_.version == "5");
      send_over(client);
    } catch (const std::runtime_error&) {
      std::this_thread::sleep_for(kPause);
    }
  }
  ended_ = true;
}

void Traffic::send_over(Client& client) {
  while (goes_on()) {
    const auto next = std::chrono::steady_clock::now() + options_.pace;
    const int number = acknowledged_on_all() + 1;
    if (open_ || number <= pause_after_) send_one_each(client, number);
    if (number == options_.last) stopping_ = true;
    std::this_thread::sleep_until(next);
  }
}

void Traffic::send_one_each(Client& client, int number) {
  open_ = true;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    const Stream& to = streams_[i]->stream;
    streams_[i]->open = streams_[i]->acknowledged < number;
    if (!streams_[i]->open) continue;
    const std::string payload =
        to.payload.empty() ? numbered(to.topic, number, options_.size) : to.payload;
    client.send(write_publish({to.topic, payload, to.qos, packet_id(i)}, client.mqtt5()));
  }
  while (std::ranges::any_of(streams_, &State::open)) await_acknowledgement(client, number);
  open_ = false;
}

void Traffic::await_acknowledgement(Client& client, int number) {
  const std::string packet = client.await();
  if (type_of(packet) == kPubrec) client.send(wire_packet(0x62, id_of(packet)));
  if (type_of(packet) != kPuback && type_of(packet) != kPubcomp) return;
  if (packet.size() > 4 && static_cast<unsigned char>(packet[4]) >= 0x80)
    throw std::runtime_error("the broker refuses a message");
  State& state = *streams_.at(static_cast<std::size_t>(packet[3] - 1));
  state.acknowledged = number;
  state.open = false;
}

Collector::Collector(const Broker& broker, const std::string& filter)
    : client_(broker.port(), false) {
  client_.send(wire_packet(0x82, packet_id(0) + wire_text(filter) + '\2'));
  if (type_of(client_.await()) != kSuback)
    throw std::runtime_error("the broker does not subscribe");
  thread_ = std::thread([this] { run(); });
}

Collector::~Collector() {
  stopping_ = true;
  thread_.join();
}

void Collector::run() {
  constexpr Milliseconds kTurn = 20ms;
  try {
    while (!stopping_)
      if (const std::optional<std::string> packet = client_.receive(kTurn)) take(*packet);
  } catch (const std::runtime_error&) {
    // The test misses what does not come.
  }
}

void Collector::take(const std::string& packet) {
  if (type_of(packet) == kPubrel) {
    unreleased_.erase(id_of(packet));
    client_.send(wire_packet(0x70, id_of(packet)));
  }
  if (type_of(packet) != kPublish) return;
  const PublishPacket publish = read_publish(packet, false);
  if (publish.qos < 2 || unreleased_.insert(publish.id).second) {
    const std::lock_guard lock(mutex_);
    arrivals_[publish.topic].push_back(publish.payload);
  }
  if (publish.qos > 0) client_.send(wire_packet(publish.qos == 1 ? 0x40 : 0x50, publish.id));
}

Arrivals Collector::arrivals() const {
  const std::lock_guard lock(mutex_);
  return arrivals_;
}

}  // namespace fastmqttd::testing
