// Brokers that refuse, fall silent, or send away: which version is spoken then, when it is tried
// again, and what the operator reads.
#include <atomic>

#include "tests/integration/integration_test.hpp"
#include "tests/support/wire.hpp"

namespace fastmqttd::testing {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Refusal : public IntegrationTest {
 protected:
  void start_with(std::vector<std::string> answers, const std::string& mqtt = "") {
    fake_ = std::make_unique<ScriptedBroker>(std::move(answers));
    configure(recorder("all", "a/#"), fake_->key() + mqtt);
    daemon_.start();
  }

  // The protocol levels of the CONNECTs, in order.
  std::vector<int> versions() const {
    std::vector<int> levels;
    for (const std::string& packet : fake_->sent(kConnect)) levels.push_back(packet[8]);
    return levels;
  }

  static std::string ok5(std::string_view properties = "") {
    return ScriptedBroker::connack5(0, properties);
  }
  static std::string ok3() { return ScriptedBroker::connack3(0); }

  std::unique_ptr<ScriptedBroker> fake_;
};

TEST_F(Refusal, ByAReturnCodeOfMqtt311FallsBack) {
  start_with({ScriptedBroker::connack3(1), ok3()});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  EXPECT_THAT(versions(), ElementsAre(5, 4));
  await_log("does not speak MQTT 5: using MQTT 3.1.1 until the next start");
  await_log("connected to .*, MQTT 3.1.1");
}

TEST_F(Refusal, ByAReasonCodeFallsBack) {
  start_with({ScriptedBroker::connack5(0x84), ok3()});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  EXPECT_THAT(versions(), ElementsAre(5, 4));
}

TEST_F(Refusal, ByTwoEndsWithoutAWordFallsBack) {
  start_with({"", "", ok3()});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  EXPECT_THAT(versions(), ElementsAre(5, 5, 4));
  await_log("does not speak MQTT 5");
}

TEST_F(Refusal, ByTwoEndsWithoutAWordFallsBackAmongSeveralHosts) {
  start_with({"", "", ok3()}, "  host: [127.0.0.2, 127.0.0.1]\n");
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  EXPECT_THAT(versions(), ElementsAre(5, 5, 4));
}

// [MQTT-3.1.2-22]
TEST_F(Refusal, FallingBackLeavesOutAPasswordWithoutAUserName) {
  start_with({ScriptedBroker::connack5(0x84), ok3()}, "  password: sesame\n");
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  EXPECT_EQ(fake_->sent(kConnect).at(0)[9] & 0xC0, 0x40);
  EXPECT_EQ(fake_->sent(kConnect).at(1)[9] & 0xC0, 0);
  await_log("no effect with MQTT 3.1.1: password .without username.");
}

TEST_F(Refusal, IsRememberedForTheRunAndForgottenAtTheNext) {
  start_with({ScriptedBroker::connack5(0x84), ok3()});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  fake_->cut();
  ASSERT_TRUE(fake_->wait_for(kConnect, 3));
  EXPECT_THAT(versions(), ElementsAre(5, 4, 4));
  ASSERT_TRUE(fake_->wait_for(kSubscribe, 2));
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start();
  ASSERT_TRUE(fake_->wait_for(kConnect, 4));
  EXPECT_EQ(versions().at(3), 5);
}

TEST_F(Refusal, FallbackCanBeForbidden) {
  start_with({ScriptedBroker::connack5(0x84)}, "  version_fallback: false\n");
  ASSERT_TRUE(fake_->wait_for(kConnect, 3));
  EXPECT_THAT(versions(), ::testing::Each(5));
  await_log("refuses the connection: .*0x84.*: set mqtt.version");
}

// A proxy without a broker behind it ends every connection, too.
TEST_F(Refusal, SilenceToBothVersionsIsNoReasonToStayWithTheOlder) {
  start_with({"", "", "", ok5()});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  EXPECT_THAT(versions(), ElementsAre(5, 5, 4, 5));
  EXPECT_FALSE(daemon_.logged("does not speak MQTT 5"));
}

// Nor is that of a broker which has spoken it: it is being restarted.
TEST_F(Refusal, SilenceOfABrokerThatSpokeMqtt5IsNoReason) {
  start_with({ok5(), "", "", "", ok5()});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  fake_->cut();
  ASSERT_TRUE(fake_->wait_for(kSubscribe, 2));
  EXPECT_THAT(versions(), ElementsAre(5, 5, 5, 5, 5));
}

struct Code {
  const char* name;
  std::string answer;
  bool for_good;
  const char* text;
  const char* version = "5";
};
class RefusedBy : public Refusal, public ::testing::WithParamInterface<Code> {};
INSTANTIATE_TEST_SUITE_P(
    Codes, RefusedBy,
    ::testing::Values(
        Code{"BadCredentials", ScriptedBroker::connack5(0x86), true,
             "0x86.*check mqtt.username, mqtt.password"},
        Code{"NotAuthorized", ScriptedBroker::connack5(0x87), true, "0x87"},
        Code{"ClientId", ScriptedBroker::connack5(0x85), true, "0x85.*set another mqtt.client_id"},
        Code{"Banned", ScriptedBroker::connack5(0x8A), true, "0x8a"},
        Code{"ServerMoved", ScriptedBroker::connack5(0x9D), true, "server moved .0x9d.*mqtt.host"},
        Code{"UseAnotherServer", ScriptedBroker::connack5(0x9C), false,
             "use another server .0x9c.*mqtt.host"},
        Code{"Busy", ScriptedBroker::connack5(0x89), false, "0x89"},
        Code{"Unavailable", ScriptedBroker::connack5(0x88), false, "0x88"},
        Code{"OldClientId", ScriptedBroker::connack3(2), true, "client identifier rejected", "4"},
        Code{"OldUnavailable", ScriptedBroker::connack3(3), false, "server unavailable", "4"},
        Code{"OldBadCredentials", ScriptedBroker::connack3(4), true, "bad user name", "4"},
        Code{"OldNotAuthorized", ScriptedBroker::connack3(5), true, "not authorized", "4"}),
    [](const auto& code) { return code.param.name; });

// What passes by itself is tried again after the first pause, what does not after the longest.
TEST_P(RefusedBy, IsTriedAgainInItsTime) {
  start_with({GetParam().answer}, "  version: "s + GetParam().version +
                                      "\n  reconnect_delay: 100ms\n  reconnect_delay_max: 10m\n");
  await_log("refuses the connection: .*"s + GetParam().text);
  if (GetParam().for_good) {
    await_log("next attempt in (8|9|10|[4-6][0-9][0-9]).*m?");
    EXPECT_FALSE(daemon_.logged("next attempt in [0-9]+ms"));
    EXPECT_EQ(fake_->sent(kConnect).size(), 1u);
  } else {
    ASSERT_TRUE(fake_->wait_for(kConnect, 3));
  }
  ASSERT_EQ(daemon_.stop(5s), Exit{});
}

TEST_F(Refusal, GivesUpAfterSoManyAttempts) {
  start_with({ScriptedBroker::connack5(0x88)}, "  reconnect_retries: 3\n");
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = 69});
  EXPECT_EQ(fake_->sent(kConnect).size(), 3u);
  await_log("giving up after 3 attempts to connect in a row .mqtt.reconnect_retries.");
}

TEST_F(Refusal, GivesUpOnABrokerThatIsNotThere) {
  configure(recorder("all", "a/#"), "  reconnect_retries: 2\n");
  daemon_.start();
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = 69});
}

TEST_F(Refusal, OnlyAttemptsInARowCount) {
  const std::string no = ScriptedBroker::connack5(0x88);
  start_with({no, ok5(), no, ok5(), no, no}, "  reconnect_retries: 2\n");
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  fake_->cut();
  ASSERT_TRUE(fake_->wait_for(kSubscribe, 2));
  EXPECT_TRUE(daemon_.process().running());
  fake_->cut();
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = 69});
  EXPECT_EQ(fake_->sent(kConnect).size(), 6u);
}

TEST_F(Refusal, TakenOverIsExplainedAndDoesNotFight) {
  // Each connection is taken over, however long it lasted.
  start_with({ok5()}, "  reconnect_delay: 100ms\n  reconnect_delay_max: 10m\n");
  for (std::size_t i = 1; i <= 4; ++i) {
    ASSERT_TRUE(fake_->wait_for(kSubscribe, i));
    fake_->send("\xe0\x01\x8e"s);
    ASSERT_TRUE(eventually([&] {
      const std::string log = daemon_.log();
      std::size_t times = 0;
      for (std::size_t at = 0; (at = log.find("next attempt in", at)) != log.npos; ++at) ++times;
      return times >= i;
    }));
  }
  await_log(
      "lost: the broker disconnected: .*0x8e.*another client, or another daemon, uses the "
      "client_id");
  await_log("next attempt in [6-8][0-9][0-9]ms");
}

TEST_F(Refusal, DisconnectNamesReasonAndServer) {
  start_with({ok5()});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  // Use another server; Reason String, Server Reference.
  const std::string properties =
      "\x1f" + wire_text("moving house") + "\x1c" + wire_text("b.example");
  fake_->send(wire_packet(
      0xE0, "\x9c" + std::string(1, static_cast<char>(properties.size())) + properties));
  await_log(
      "the broker disconnected: use another server .0x9c.: moving house: it names the server "
      "b.example");
}

TEST_F(Refusal, ShorterKeepaliveOfTheBrokerIsTaken) {
  start_with({ok5("\x13\x00\x01"s)}, "  keepalive: 60\n");
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  const auto connects = fake_->sent(kConnect);
  ASSERT_EQ(connects.size(), 2u);
  EXPECT_EQ(hex(connects[0].substr(10, 2)), "00 3c");
  EXPECT_EQ(hex(connects[1].substr(10, 2)), "00 01");
  // In order, and it does what it says.
  EXPECT_EQ(fake_->sent(kDisconnect).size(), 1u);
  ASSERT_TRUE(fake_->wait_for(kPingreq, 2));
}

// The first connection has made a session: the second finds it, and nothing subscribed.
TEST_F(Refusal, ShorterKeepaliveDoesNotHideALostSession) {
  const std::string shorter("\x13\x00\x1e", 3);
  start_with({ok5(), ok5(shorter), ScriptedBroker::connack5(0, shorter, true)});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  fake_->cut();
  ASSERT_TRUE(fake_->wait_for(kSubscribe, 2));
  await_log("has lost our session");
}

// A CONNECT whose answer never came may have made a session: what it finds then is not ours.
TEST_F(Refusal, AConnectWithoutAnAnswerMayHaveMadeASession) {
  start_with({ok5(), "", ScriptedBroker::connack5(0, "", true)});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  fake_->cut();
  ASSERT_TRUE(fake_->wait_for(kSubscribe, 2));
}

TEST_F(Refusal, AKeptSessionIsNotSubscribedAgain) {
  start_with({ok5(), ScriptedBroker::connack5(0, "", true)});
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  fake_->cut();
  await_log("connected to .*session kept");
  fake_->send(wire_packet(0x30, wire_text("a/b") + "\0hello"s));
  await_payload("all", "hello");
  EXPECT_EQ(fake_->sent(kSubscribe).size(), 1u);
}

TEST_F(Refusal, LongerKeepaliveOfTheBrokerIsNoReasonToConnectAgain) {
  start_with({ok5("\x13\x00\x64"s)}, "  keepalive: 60\n");
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  EXPECT_EQ(fake_->sent(kConnect).size(), 1u);
}

TEST_F(Refusal, ShorterExpiryOfTheBrokerIsSaid) {
  start_with({ok5("\x11\x00\x00\x0e\x10"s)});
  await_log("keeps the session for 1h after a lost connection only");
}

TEST_F(Refusal, StopsAtOnceWhileTheBrokerSaysNothing) {
  fake_ = std::make_unique<ScriptedBroker>(std::vector<std::string>{ok5()});
  broker_.start();
  broker_.pause();
  configure(recorder("all", "a/#"), "  connect_timeout: 10m\n");
  daemon_.start();
  await_log("connecting to");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(daemon_.stop(10s), Exit{});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  broker_.resume();
}

// ---- a real broker without MQTT 5 --------------------------------------------------------------

class Aedes : public IntegrationTest {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(FASTMQTTD_SOURCE_DIR "/build/aedes/node_modules/aedes"))
      GTEST_SKIP()
          << "aedes is not there: packaging/install-build-deps gets it from the npm registry";
    broker_process_ = std::make_unique<Process>(
        Command{.argv = {"node", FASTMQTTD_SOURCE_DIR "/tests/support/aedes/broker.js",
                         std::to_string(port_.number())},
                .environment = {"NODE_PATH=" FASTMQTTD_SOURCE_DIR "/build/aedes/node_modules"},
                .output = daemon_.file("aedes"),
                .errors = daemon_.file("aedes")});
    ASSERT_TRUE(eventually([&] { return read_file(daemon_.file("aedes")) != ""; }));
    ASSERT_EQ(read_file(daemon_.file("aedes")), "running\n");
  }

  Port port_;
  std::unique_ptr<Process> broker_process_;
};

TEST_F(Aedes, IsSpokenToInItsVersion) {
  daemon_.add_plugin("actor");
  configure(recorder("all", "out") + "  actor: {subscribe: [do], options: {to: out, qos: 2}}\n",
            "  port: " + std::to_string(port_.number()) + "\n  status_topic: do\n");
  daemon_.start_ready();
  await_log("does not speak MQTT 5: using MQTT 3.1.1");
  await_log("connected to .* MQTT 3.1.1");
  const Finished sent = run({.argv = {"mosquitto_pub", "-p", std::to_string(port_.number()), "-t",
                                      "do", "-q", "2", "-m", "echo there and back"}});
  ASSERT_EQ(sent.exit, Exit{}) << sent.errors;
  EXPECT_THAT(payloads(await_records("all", 1)), ElementsAre("there and back"));
  ASSERT_EQ(daemon_.stop(), Exit{});
  // The next start asks for 5 again.
  daemon_.start_ready();
  EXPECT_TRUE(eventually([&] {
    const std::string log = daemon_.log();
    const std::size_t first = log.find("does not speak MQTT 5");
    return log.find("does not speak MQTT 5", first + 1) != std::string::npos;
  }));
}

TEST_F(Aedes, IsNotSpokenToWhenFallingBackIsForbidden) {
  configure(recorder("all", "out"),
            "  port: " + std::to_string(port_.number()) + "\n  version_fallback: false\n");
  daemon_.start_ready();
  await_log("refuses the connection: unacceptable protocol version.*set mqtt.version");
  EXPECT_FALSE(daemon_.logged("connected to .*, MQTT"));
}

// ---- what is subscribed ------------------------------------------------------------------------

TEST_F(Refusal, OfOneSubscriptionLeavesTheOthers) {
  fake_ = std::make_unique<ScriptedBroker>(std::vector<std::string>{ok5()});
  fake_->react(kSubscribe, [](const WirePacket& packet) {
    const std::string id = packet.bytes.substr(2, 2);
    const bool bad = packet.bytes.find("bad") != std::string::npos;
    const bool less = packet.bytes.find("less") != std::string::npos;
    return wire_packet(0x90, id + "\0"s + (bad ? "\x87" : less ? std::string(1, '\0') : "\x02"));
  });
  configure(
      recorder("all", "{topic: bad/#, qos: 2}, {topic: less/#, qos: 2}, {topic: a/#, qos: 2}"),
      fake_->key());
  daemon_.start_ready();
  await_log("the broker refuses the subscription to bad/#: .*0x87");
  await_log("the broker grants less/# only QoS 0 instead of 2");
  EXPECT_FALSE(daemon_.logged("(refuses|grants).* a/#"));
  const std::string publish = wire_packet(0x30, wire_text("a/b") + "\0hello"s);
  fake_->send(publish);
  await_payload("all", "hello");
}

TEST_F(Refusal, WhatTheBrokerDoesNotHaveIsNotAskedFor) {
  // No wildcards, no shared subscriptions, packets of 40 bytes at most.
  start_with({ok5("\x28\x00\x2a\x00\x27\x00\x00\x00\x28"s)});
  ASSERT_EQ(daemon_.wait_ready(), true);
  await_log("refuses the subscription to a/#: it takes no wildcards");
  EXPECT_TRUE(fake_->sent(kSubscribe).empty());
  ASSERT_EQ(daemon_.stop(), Exit{});
  configure(recorder("all", "$share/g/x, long/" + std::string(40, 'x') + ", a/b"), fake_->key());
  daemon_.start();
  await_log("refuses the subscription to .share/g/x: it has no shared");
  await_log("refuses the subscription to long/x+: it takes packets of 40 bytes at most");
  ASSERT_TRUE(fake_->wait_for(kSubscribe));
  EXPECT_EQ(fake_->sent(kSubscribe).size(), 1u);
}

TEST_F(Refusal, FiltersShareThePacketsOfOlderVersions) {
  std::string filters;
  for (int i = 0; i < 20; ++i) filters += (i > 0 ? ", f/" : "f/") + std::to_string(i);
  fake_ = std::make_unique<ScriptedBroker>(std::vector<std::string>{ok3()});
  configure(recorder("all", filters), fake_->key() + "  version: 3.1.1\n");
  daemon_.start_ready();
  EXPECT_EQ(fake_->sent(kSubscribe).size(), 3u);  // eight at most, as some brokers want it
}

TEST_F(Refusal, ABrokerWithoutIdentifiersIsSubscribedAll) {
  fake_ = std::make_unique<ScriptedBroker>(std::vector<std::string>{ok5("\x29\x00"s)});
  configure(recorder("all", "{topic: f/1, no_local: true}, f/2, f/3"), fake_->key());
  daemon_.start_ready();
  const auto packets = fake_->sent(kSubscribe);
  ASSERT_EQ(packets.size(), 3u);
  for (const std::string& packet : packets)
    EXPECT_EQ(hex(packet.substr(4, 1)), "00") << "it has properties";
}

// The broker may have it from before, and handlers want it.
TEST_F(Refusal, OfASubscriptionThatWasThereDoesNotEndIt) {
  fake_ = std::make_unique<ScriptedBroker>(
      std::vector<std::string>{ok5(), ScriptedBroker::connack5(0, "", true)});
  std::atomic<int> asked{0};
  fake_->react(kSubscribe, [&](const WirePacket& packet) {
    const bool good = asked++ == 0;
    return wire_packet(0x90, packet.bytes.substr(2, 2) + "\0"s + (good ? "\x01" : "\x97"));
  });
  configure(recorder("all", "a/#"), fake_->key());
  daemon_.start_ready();
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  await_log("refuses the subscription to a/#: .*0x97");
  EXPECT_TRUE(fake_->sent(kUnsubscribe).empty());
}

TEST_F(Refusal, OfUnsubscribingIsSaidAndNotForgotten) {
  fake_ = std::make_unique<ScriptedBroker>(
      std::vector<std::string>{ok5(), ScriptedBroker::connack5(0, "", true)});
  fake_->react(kUnsubscribe, [](const WirePacket& packet) {
    return wire_packet(0xB0, packet.bytes.substr(2, 2) + "\0"s + "\x87");
  });
  configure(recorder("all", "a/#, old"), fake_->key());
  daemon_.start_ready();
  for (std::size_t i = 1; i <= 2; ++i) {
    ASSERT_EQ(daemon_.stop(), Exit{});
    configure(recorder("all", "a/#"), fake_->key());
    daemon_.start_ready();
    ASSERT_TRUE(fake_->wait_for(kUnsubscribe, i));
  }
  await_log("does not unsubscribe old: .*0x87");
}

// What waited for the second filter of a handler comes as that one's copy alone, when the broker
// has refused the first: before it says so again.
TEST_F(Refusal, OfAWiderSubscriptionIsKnownBeforeTheBrokerRepeatsIt) {
  fake_ = std::make_unique<ScriptedBroker>(
      std::vector<std::string>{ok5(), ScriptedBroker::connack5(0, "", true)});
  std::atomic<bool> answering{true};
  fake_->react(kSubscribe, [&](const WirePacket& packet) {
    if (!answering) return ""s;
    const bool wide = packet.bytes.find("a/#") != std::string::npos;
    return wire_packet(0x90, packet.bytes.substr(2, 2) + "\0"s + (wide ? "\x87" : "\x01"));
  });
  configure(recorder("all", "{topic: a/#, qos: 2}, a/b"), fake_->key());
  daemon_.start_ready();
  daemon_.kill();
  answering = false;
  std::string properties;  // with the identifier of a/b
  for (const std::string& packet : fake_->sent(kSubscribe))
    if (packet.find("a/b") != std::string::npos)
      properties = packet.substr(4, 1 + static_cast<unsigned char>(packet[4]));
  ASSERT_FALSE(properties.empty());
  daemon_.start();
  ASSERT_TRUE(fake_->wait_for(kConnect, 2));
  fake_->send(wire_packet(0x32, wire_text("a/b") + "\x00\x01"s + properties + "waited"));
  await_payload("all", "waited");
  ASSERT_EQ(daemon_.stop(), Exit{});
}

// The broker has lost the session: the subscriptions are made in another order than before, and a
// message that comes between two of them has one copy only.
TEST_F(Refusal, NothingOfALostSessionIsCountedOn) {
  fake_ = std::make_unique<ScriptedBroker>(std::vector<std::string>{
      ok5(), ScriptedBroker::connack5(0, "", true), ScriptedBroker::connack5(0)});
  std::atomic<int> asked{0};
  fake_->react(kSubscribe, [&](const WirePacket& packet) {
    const bool strict = packet.bytes.find("+/b") == std::string::npos;
    const int time = strict ? ++asked : asked.load();
    const std::string suback = wire_packet(
        0x90, packet.bytes.substr(2, 2) + "\0"s + (strict ? time == 1 ? "\x87" : "\x02" : "\x01"));
    if (time < 3) return suback;
    // On the third connection: of the first one a message comes at once, the other has to wait.
    if (!strict) return ""s;
    const std::string properties =
        packet.bytes.substr(4, 1u + static_cast<unsigned char>(packet.bytes[4]));
    return suback + wire_packet(0x32, wire_text("a/b") + "\x00\x01"s + properties + "between");
  });
  configure(recorder("all", "{topic: a/+, qos: 2}, +/b"),
            fake_->key() + "  reconnect_delay: 100ms\n");
  daemon_.start_ready();
  ASSERT_TRUE(fake_->wait_for(kSubscribe, 2));
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  ASSERT_TRUE(fake_->wait_for(kSubscribe, 4));
  fake_->cut();
  await_payload("all", "between");
  daemon_.kill();
}

TEST_F(Refusal, KeysThatNeedMqtt5AreNamed) {
  start_with({ok3()},
             "  version: 3.1.1\n  receive_maximum: 10\n  session_expiry_interval: 1h\n"
             "  will_message_topic: w\n  will_delay_interval: 5\n");
  await_log(
      "no effect with MQTT 3.1.1: will_delay_interval, session_expiry_interval, "
      "receive_maximum");
}

}  // namespace
}  // namespace fastmqttd::testing
