// What the daemon says, byte by byte, where the standard matters.
#include "tests/support/wire.hpp"

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

class Wire : public IntegrationTest {
 protected:
  void SetUp() override {
    broker_.start();
    relay_ = std::make_unique<Relay>(broker_.port());
  }

  // With the relay between daemon and broker.
  void start_relayed(const std::string& handlers, const std::string& mqtt = "") {
    configure(handlers, relay_->key() + mqtt);
    daemon_.start_ready();
    ASSERT_TRUE(relay_->wait_for(kSuback, 1, false));
  }

  std::string sent_hex(PacketType type, std::size_t which = 0) const {
    const auto packets = relay_->sent(type);
    return packets.size() > which ? hex(packets[which]) : "none";
  }

  std::unique_ptr<Relay> relay_;
};

constexpr char kNever[] = {0x11, '\xff', '\xff', '\xff', '\xff'};
const std::string kNeverExpires(kNever, sizeof kNever);

std::string connect(std::string_view protocol, unsigned char level, unsigned char flags,
                    std::uint16_t keepalive, std::string_view rest) {
  std::string body = wire_text(protocol);
  body += static_cast<char>(level);
  body += static_cast<char>(flags);
  body += static_cast<char>(keepalive >> 8);
  body += static_cast<char>(keepalive & 0xFF);
  return wire_packet(0x10, body.append(rest));
}

// The length of properties, then themselves.
std::string properties(std::string_view bytes) {
  return std::string(1, static_cast<char>(bytes.size())).append(bytes);
}

TEST_F(Wire, ConnectOfMqtt5) {
  start_relayed(recorder("all", "a/#"), "  keepalive: 300\n");
  EXPECT_EQ(sent_hex(kConnect),
            hex(connect("MQTT", 5, 0x00, 300,
                        properties(kNeverExpires) + wire_text(daemon_.client_id()))));
}

TEST_F(Wire, ConnectWithEverythingOfMqtt5) {
  start_relayed(recorder("all", "a/#"),
                "  keepalive: 17\n  username: joe\n  password: sesame\n"
                "  session_expiry_interval: 1h\n  receive_maximum: 258\n"
                "  will_message_topic: w/t\n  will_message_payload: gone\n"
                "  will_message_qos: 2\n  will_message_retain: true\n  will_delay_interval: 30\n");
  using namespace std::string_literals;
  // User name, password, will retain, QoS 2, will; no clean start.
  EXPECT_EQ(
      sent_hex(kConnect),
      hex(connect("MQTT", 5, 0xF4, 17,
                  properties("\x11\0\0\x0e\x10\x21\x01\x02"s) + wire_text(daemon_.client_id()) +
                      properties("\x18\0\0\0\x1e"s) + wire_text("w/t") + wire_text("gone") +
                      wire_text("joe") + wire_text("sesame"))));
}

// The will goes without a delay, too: the property is what is left out.
TEST_F(Wire, WillWithoutDelay) {
  start_relayed(recorder("all", "a/#"),
                "  keepalive: 0\n  will_message_topic: w\n  will_message_payload: x\n");
  EXPECT_EQ(sent_hex(kConnect),
            hex(connect("MQTT", 5, 0x04, 0,
                        properties(kNeverExpires) + wire_text(daemon_.client_id()) +
                            properties("") + wire_text("w") + wire_text("x"))));
}

TEST_F(Wire, CleanSessionOfMqtt5Ends) {
  using namespace std::string_literals;
  start_relayed(recorder("all", "a/#"), "  keepalive: 60\n  clean_session: true\n");
  EXPECT_EQ(sent_hex(kConnect),
            hex(connect("MQTT", 5, 0x02, 60,
                        properties("\x11\0\0\0\0"s) + wire_text(daemon_.client_id()))));
}

TEST_F(Wire, ConnectOfMqtt311) {
  start_relayed(recorder("all", "a/#"),
                "  version: 3.1.1\n  keepalive: 60\n  username: joe\n  password: sesame\n"
                "  will_message_topic: w\n  will_message_payload: x\n  will_message_qos: 1\n");
  EXPECT_EQ(sent_hex(kConnect),
            hex(connect("MQTT", 4, 0xCC, 60,
                        wire_text(daemon_.client_id()) + wire_text("w") + wire_text("x") +
                            wire_text("joe") + wire_text("sesame"))));
}

TEST_F(Wire, ConnectOfMqtt31) {
  start_relayed(recorder("all", "a/#"), "  version: 3.1\n  keepalive: 60\n  clean_session: true\n");
  EXPECT_EQ(sent_hex(kConnect),
            hex(connect("MQIsdp", 3, 0x02, 60, wire_text(daemon_.client_id()))));
}

TEST_F(Wire, SubscribeOfMqtt5SaysEveryOption) {
  start_relayed(recorder("all",
                         "{topic: a/b, qos: 2, no_local: true, retain_as_published: true, "
                         "retain_handling_options: 2, subscription_identifier: 7}"));
  const std::string packet = relay_->sent(kSubscribe).at(0);
  ASSERT_GE(packet.size(), 4u);
  const std::string packet_id = packet.substr(2, 2);
  EXPECT_EQ(hex(packet),
            hex(wire_packet(0x82, packet_id + properties("\x0b\x07") + wire_text("a/b") + "\x2e")));
}

TEST_F(Wire, SubscribeOfMqtt311) {
  start_relayed(recorder("all", "{topic: a/b, qos: 2}"), "  version: 3.1.1\n");
  const std::string packet = relay_->sent(kSubscribe).at(0);
  EXPECT_EQ(hex(packet), hex(wire_packet(0x82, packet.substr(2, 2) + wire_text("a/b") + "\x02")));
}

// As many as it may the broker sends ahead of the acknowledgements, and no more.
TEST_F(Wire, ReceiveMaximumIsKeptToByTheBroker) {
  start_relayed(recorder("all", "a/#"), "  receive_maximum: 3\n");
  relay_->hold_back(kPuback);
  publish_all(broker_, "a/b", numbers(10));
  ASSERT_TRUE(relay_->wait_for(kPuback, 3));
  publish(broker_, "a/b", "marker", {.qos = 0});  // passes by those that wait
  await_payload("all", "marker");
  EXPECT_THAT(payloads(records("all")), ElementsAre("1", "2", "3", "marker"));
}

// A disconnect as asked: no will, and the session goes on as CONNECT said.
TEST_F(Wire, StopSaysDisconnect) {
  start_relayed(recorder("all", "a/#"));
  ASSERT_EQ(daemon_.stop(), Exit{});
  ASSERT_TRUE(relay_->wait_for(kDisconnect));
  EXPECT_EQ(sent_hex(kDisconnect), "e0 02 00 00");
}

class WireByVersion : public Wire, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Versions, WireByVersion, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(WireByVersion, AcknowledgesByTheStandard) {
  start_relayed(recorder("all", "{topic: a/#, qos: 2}"), "  version: " + GetParam() + "\n");
  publish(broker_, "a/1", "one", {.qos = 1});
  publish(broker_, "a/2", "two", {.qos = 2});
  ASSERT_TRUE(relay_->wait_for(kPuback));
  ASSERT_TRUE(relay_->wait_for(kPubcomp));
  EXPECT_EQ(sent_hex(kPuback), "40 02 00 01");
  EXPECT_EQ(sent_hex(kPubrec), "50 02 00 02");
  EXPECT_EQ(sent_hex(kPubcomp), "70 02 00 02");
}

// The status: born after it has subscribed, retained; gone by the will, or by its own word.
TEST_P(WireByVersion, StatusIsBornRetained) {
  start_relayed(recorder("all", "a/#"), "  status_topic: st/me\n  version: " + GetParam() + "\n");
  ASSERT_TRUE(relay_->wait_for(kPublish));
  const bool five = GetParam() == "5";
  const std::string packet = relay_->sent(kPublish).at(0);
  EXPECT_EQ(hex(packet),
            hex(wire_packet(0x31, wire_text("st/me") + (five ? properties("") : "") + "online")));
  EXPECT_THAT(relay_->sent(kConnect).at(0),
              ::testing::HasSubstr(wire_text("st/me") + wire_text("offline")));
}

// Nagle's algorithm would hold a PUBLISH back until the broker's kernel has acknowledged the PUBACK
// before it, which that puts off for 40 ms when the broker has nothing to say.
TEST_F(IntegrationTest, SmallPacketsLeaveAtOnce) {
  using namespace std::string_literals;
  ScriptedBroker fake({ScriptedBroker::connack5(0)});
  daemon_.add_plugin("actor");
  configure("  actor: {subscribe: [do], options: {to: out, qos: 1}}\n", fake.key());
  daemon_.start_ready();
  constexpr std::size_t kRounds = 60;  // the kernel is quick for the first few
  for (std::size_t i = 1; i <= kRounds; ++i) {
    fake.send(wire_packet(0x32, wire_text("do") + "\0"s + static_cast<char>(i) + "\0"s + "echo x"));
    ASSERT_TRUE(fake.wait_for(kPublish, i));
    ASSERT_TRUE(fake.wait_for(kPuback, i));
  }
  std::vector<std::chrono::steady_clock::time_point> acknowledged, published;
  for (const WirePacket& packet : fake.packets()) {
    if (packet.from_client && packet.type() == kPuback) acknowledged.push_back(packet.at);
    if (packet.from_client && packet.type() == kPublish) published.push_back(packet.at);
  }
  std::vector<std::chrono::steady_clock::duration> apart;
  for (std::size_t i = kRounds / 2; i < kRounds; ++i)
    apart.push_back(std::chrono::abs(published[i] - acknowledged[i]));
  std::ranges::sort(apart);
  EXPECT_LT(apart[apart.size() / 2], 20ms);
}

// Never more on their way than the broker takes [MQTT-3.3.4-7]; and never as many, for then Paho
// stands still for a second.
TEST_F(IntegrationTest, ReceiveMaximumOfTheBrokerIsKeptTo) {
  using namespace std::string_literals;
  constexpr std::size_t kMaximum = 10, kMessages = 300;
  ScriptedBroker fake({ScriptedBroker::connack5(0, "\x21\x00\x0a"s)});
  daemon_.add_plugin("actor");
  configure("  actor: {subscribe: [do], options: {to: out, qos: 1}}\n", fake.key());
  daemon_.start_ready();
  const auto begin = std::chrono::steady_clock::now();
  fake.send(wire_packet(0x30, wire_text("do") + "\0"s + "count " + std::to_string(kMessages)));
  ASSERT_TRUE(fake.wait_for(kPublish, kMessages));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);  // with the stalls: 30 s
  std::size_t on_way = 0, most = 0;
  for (const WirePacket& packet : fake.packets()) {
    if (packet.from_client && packet.type() == kPublish) most = std::max(most, ++on_way);
    if (!packet.from_client && packet.type() == kPuback) --on_way;
  }
  EXPECT_LE(most, kMaximum);
}

}  // namespace
}  // namespace fastmqttd::testing
