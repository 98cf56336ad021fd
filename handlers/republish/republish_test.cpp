#include "handlers/republish/republish.cpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/broker.hpp"
#include "tests/support/handler_test.hpp"
#include "tests/support/mqtt.hpp"
#include "tests/support/wire.hpp"

namespace {

using fastmqttd::testing::answer;
using fastmqttd::testing::Broker;
using fastmqttd::testing::eventually;
using fastmqttd::testing::HandlerTester;
using fastmqttd::testing::Option;
using fastmqttd::testing::refusal;
using fastmqttd::testing::ScriptedBroker;
using fastmqttd::testing::Subscriber;
using fastmqttd::testing::TestMessage;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// ---- to the same broker ------------------------------------------------------------------------

TEST(Republish, RenamesAndLeavesThePayloadAsItIs) {
  HandlerTester tester({{"topic", "plant/{topic.2}/{topic.-1}"}});
  const std::string bytes("\0\xff\"'\n../", 8);
  EXPECT_EQ(tester.deliver({.topic = "site/7/x/temp", .payload = bytes, .qos = 2}), Result::ok);
  const TestMessage out = tester.published().back();
  EXPECT_EQ(out.topic, "plant/7/temp");
  EXPECT_EQ(out.payload, bytes);
  EXPECT_EQ(out.qos, 2);
  EXPECT_EQ(tester.deliver("site/7/temp", ""), Result::ok);
  EXPECT_EQ(tester.published().back().payload, "");
}

TEST(Republish, MakesThePayload) {
  HandlerTester tester({{"topic", "t/{json:/id}"},
                        {"payload", R"({{"v":{json:/v},"s":"{topic}"}})"},
                        {"qos", "0"},
                        {"retain", "true"}});
  EXPECT_EQ(tester.deliver("a", R"({"id":"x","v":1.5})"), Result::ok);
  const TestMessage out = tester.published().back();
  EXPECT_EQ(out.topic, "t/x");
  EXPECT_EQ(out.payload, R"({"v":1.5,"s":"a"})");
  EXPECT_EQ(out.qos, 0);
  EXPECT_TRUE(out.retain);
  EXPECT_EQ(tester.deliver("a", R"({"id":"x"})"), Result::reject);
  EXPECT_EQ(tester.last_log(), "the payload has no /v: no payload can be made");
  EXPECT_EQ(tester.deliver("a", "{}"), Result::reject);
  EXPECT_EQ(tester.last_log(), "the payload has no /id: no topic can be made");
}

TEST(Republish, SkipsWhatHasNothingForAPlaceholder) {
  HandlerTester tester(
      {{"topic", "t/{topic.2}"}, {"payload", "{json:/temperature}"}, {"missing", "skip"}});
  EXPECT_EQ(tester.deliver("zigbee2mqtt", R"({"temperature": 1})"), Result::ok);
  EXPECT_EQ(tester.deliver("zigbee2mqtt/door", R"({"contact": true})"), Result::ok);
  EXPECT_EQ(tester.deliver("zigbee2mqtt/door", R"({"temperature": null})"), Result::ok);
  EXPECT_EQ(tester.deliver("zigbee2mqtt/bridge", "online"), Result::ok);
  EXPECT_THAT(tester.published(), ::testing::IsEmpty());
  EXPECT_THAT(tester.logs(), ::testing::IsEmpty());
  EXPECT_EQ(tester.counts().at("skipped"), 4u);
  EXPECT_EQ(tester.deliver("zigbee2mqtt/hall", R"({"temperature": 21.5})"), Result::ok);
  EXPECT_EQ(tester.published().back().payload, "21.5");
  EXPECT_EQ(tester.deliver("zigbee2mqtt/\xc2\x80", R"({"temperature": 21.5})"), Result::reject);
  EXPECT_EQ(tester.counts().at("skipped"), 4u);
}

TEST(Republish, RetainsAsItIsTold) {
  for (const auto& [word, in, out] :
       {std::tuple("false", true, false), std::tuple("keep", true, true),
        std::tuple("keep", false, false), std::tuple("true", false, true)}) {
    HandlerTester tester({{"topic", "b"}, {"retain", word}});
    EXPECT_EQ(tester.deliver({.topic = "a", .retain = in}), Result::ok);
    EXPECT_EQ(tester.published().back().retain, out) << word;
  }
  HandlerTester tester({{"topic", "b"}});
  EXPECT_EQ(tester.deliver({.topic = "a", .retain = true}), Result::ok);
  EXPECT_FALSE(tester.published().back().retain);
}

// What comes with a message makes no topic that a broker would end the connection for.
TEST(Republish, RefusesWhatIsNoTopic) {
  HandlerTester tester({{"topic", "{payload}"}});
  for (const auto& [payload, why] :
       {std::pair(std::string(), "is empty"), std::pair(std::string("a/+"), "has the wildcard '+'"),
        std::pair(std::string("#"), "has the wildcard '#'"),
        std::pair(std::string("a\0b", 3), "has a zero byte"),
        std::pair(std::string("a\nb"), "has a control character"),
        std::pair(std::string("\xc2\x85"), "has a control character"),
        std::pair(std::string("\xef\xbf\xbf"), "has a control character"),
        std::pair(std::string("\xff"), "is no UTF-8 text"),
        std::pair(std::string("\xc3"), "is no UTF-8 text"),
        std::pair(std::string("\xc0\xaf"), "is no UTF-8 text"),
        std::pair(std::string("\xed\xa0\x80"), "is no UTF-8 text"),
        std::pair(std::string("\xf4\x90\x80\x80"), "is no UTF-8 text"),
        std::pair(std::string(65'536, 'x'), "has 65536 bytes"),
        std::pair(std::string("$SYS/x"), "begins with '$'"),
        std::pair(std::string("in"), "is the one that it came from")}) {
    EXPECT_EQ(tester.deliver("in", payload), Result::reject) << why;
    EXPECT_THAT(tester.last_log(), StartsWith("the topic that is made " + std::string(why)));
  }
  EXPECT_THAT(tester.published(), IsEmpty());
  for (const std::string& good :
       {std::string(65'535, 'x'), std::string("../\"' \xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\xa1"),
        std::string("/")})
    EXPECT_EQ(tester.deliver("in", good), Result::ok);

  HandlerTester literally({{"topic", "$x/{payload}"}});
  EXPECT_EQ(literally.deliver("in", "a"), Result::ok);
  EXPECT_EQ(literally.published().back().topic, "$x/a");
}

TEST(Republish, CarriesProperties) {
  const TestMessage message{.topic = "a",
                            .user_properties = {{"unit", "C"}, {kHops, "2"}, {"unit", "K"}},
                            .content_type = "text/plain",
                            .response_topic = "r",
                            .correlation_data = std::string("\0\1", 2),
                            .payload_is_text = true};
  using Users = std::vector<std::pair<std::string, std::string>>;
  HandlerTester all({{"topic", "b"}});
  EXPECT_EQ(all.deliver(message), Result::ok);
  TestMessage out = all.published().back();
  EXPECT_EQ(out.user_properties, (Users{{"unit", "C"}, {"unit", "K"}, {kHops, "3"}}));
  EXPECT_EQ(out.content_type, "text/plain");
  EXPECT_EQ(out.response_topic, "r");
  EXPECT_EQ(out.correlation_data, message.correlation_data);
  EXPECT_TRUE(out.payload_is_text);

  HandlerTester other_payload({{"topic", "b"}, {"payload", "{qos}"}});
  EXPECT_EQ(other_payload.deliver(message), Result::ok);
  out = other_payload.published().back();
  EXPECT_EQ(out.content_type, "");
  EXPECT_FALSE(out.payload_is_text);
  EXPECT_EQ(out.response_topic, "r");

  HandlerTester every({{"topic", "b"}, {"payload", "{qos}"}, {"properties", "all"}});
  EXPECT_EQ(every.deliver(message), Result::ok);
  EXPECT_EQ(every.published().back().content_type, "text/plain") << "not the default's list";

  HandlerTester some({{"topic", "b"}, {"properties.0", "content_type"}});
  EXPECT_EQ(some.deliver(message), Result::ok);
  out = some.published().back();
  EXPECT_EQ(out.content_type, "text/plain");
  EXPECT_EQ(out.response_topic, "");
  EXPECT_EQ(out.user_properties, (Users{{kHops, "3"}}));

  HandlerTester none({{"topic", "b"}, {"properties", "none"}});
  EXPECT_EQ(none.deliver(message), Result::ok);
  EXPECT_EQ(none.published().back().content_type, "");
}

TEST(Republish, ExpiryGoesOnCounting) {
  EXPECT_EQ(time_left(10s, 3500ms), 7s);
  EXPECT_EQ(time_left(10s, -5s), 10s);
  EXPECT_EQ(time_left(0s, 0s), 0s);
  EXPECT_EQ(time_left(10s, 10s), std::nullopt);
  // The tester's messages come from 1970.
  HandlerTester tester({{"topic", "b"}});
  EXPECT_EQ(tester.deliver({.topic = "a", .expires_in = 60}), Result::reject);
  EXPECT_EQ(tester.last_log(), "its expiry interval has passed while it waited here");
  EXPECT_EQ(tester.deliver({.topic = "a", .expires_in = UINT32_MAX}), Result::ok);
  EXPECT_LT(tester.published().back().expires_in, UINT32_MAX);
}

TEST(Republish, EndsALoop) {
  HandlerTester tester({{"topic", "out/{topic}"}});
  TestMessage message{.topic = "a"};
  for (int hop = 1; hop <= 4; ++hop) {
    ASSERT_EQ(tester.deliver(message), Result::ok);
    message = tester.published().back();
  }
  EXPECT_EQ(message.topic, "out/out/out/out/a");
  EXPECT_EQ(tester.deliver(message), Result::reject);
  EXPECT_THAT(tester.last_log(), StartsWith("was republished too often, max_hops is 4: "));
  for (const char* unreadable : {"many", "", "-1", "99999999999999999999"})
    EXPECT_EQ(tester.deliver({.topic = "a", .user_properties = {{kHops, unreadable}}}),
              Result::reject);
  // What has crossed bridges is no loop here.
  EXPECT_EQ(tester.deliver({.topic = "a", .user_properties = {{kBridges, "9"}}}), Result::ok);
}

TEST(Republish, HandsOnTheDaemonsAnswer) {
  HandlerTester tester({{"topic", "b"}});
  tester.set_publish_answer(Result::retry);
  EXPECT_EQ(tester.deliver("a", "x"), Result::retry);
}

TEST(Republish, SaysWhatIsWrongWithItsOptions) {
  EXPECT_EQ(refusal({}), "topic: expected text");
  EXPECT_THAT(refusal({{"topic", "{topic}"}}), StartsWith("topic: each message would come back"));
  EXPECT_EQ(refusal({{"topic", "a/#"}}), "topic: 'a/#' has the wildcard '#'");
  EXPECT_EQ(refusal({{"topic", "+/{topic}"}}), "topic: '+/{topic}' has the wildcard '+'");
  EXPECT_EQ(refusal({{"topic", ""}}), "topic: '' is empty");
  EXPECT_THAT(refusal({{"topic", "{topik}"}}), HasSubstr("'{topik}' is no placeholder"));
  EXPECT_EQ(refusal({{"topic", "{topic|#}/{{x}}"}}), "none");
  EXPECT_THAT(refusal({{"topic", "b"}, {"payload", "{"}}), StartsWith("payload: at character 1"));
  EXPECT_EQ(refusal({{"topic", "b"}, {"qos", "3"}}), "qos: expected a whole number from 0 to 2");
  EXPECT_EQ(refusal({{"topic", "b"}, {"retain", "yes"}}),
            "retain: expected one of false, true, keep");
  EXPECT_THAT(refusal({{"topic", "b"}, {"properties.0", "topic_alias"}}),
              StartsWith("properties: expected all, none, or a list of content_type"));
  EXPECT_EQ(refusal({{"topic", "b"}, {"max_hops", "0"}}),
            "max_hops: expected a whole number from 1 to 255");
}

TEST(Republish, SaysWhatIsWrongWithTheOtherBroker) {
  const auto why = [](const Option& option) { return refusal({{"broker.host", "h"}, option}); };
  EXPECT_THAT(refusal({{"broker", "example.org"}}), StartsWith("broker: expected {host"));
  EXPECT_EQ(refusal({{"broker.port", "1"}}), "broker.host: expected text");
  EXPECT_THAT(refusal({{"broker.host", "mqtt://h"}}), StartsWith("broker.host: expected a name"));
  EXPECT_THAT(why({"broker.user", "x"}), StartsWith("broker.user: unknown: expected host, port"));
  EXPECT_EQ(why({"broker.port", "0"}), "broker.port: expected a whole number from 1 to 65535");
  EXPECT_EQ(why({"broker.ssl", "yes"}), "broker.ssl: expected true or false");
  EXPECT_THAT(why({"broker.ssl.ca", "x"}), StartsWith("broker.ssl.ca: unknown: expected ca_file"));
  EXPECT_THAT(why({"broker.ssl.ca_file", "/no/such"}),
              StartsWith("broker.ssl.ca_file: /no/such: "));
  EXPECT_EQ(why({"broker.ssl.key_file", "x"}),
            "broker.ssl.key_file: has no effect without cert_file");
  EXPECT_EQ(
      refusal({{"broker.host", "h"}, {"broker.ssl.verify", "false"}, {"broker.ssl.ca_file", "x"}}),
      "broker.ssl.ca_file: has no effect with verify: false");
  EXPECT_EQ(why({"broker.version", "4"}), "broker.version: expected one of 5, 3.1.1");
  EXPECT_THAT(refusal({{"broker.host", "h"}, {"broker.version", "3.1.1"}, {"max_hops", "2"}}),
              StartsWith("max_hops: has no effect with broker.version 3.1.1"));
  EXPECT_THAT(
      refusal({{"broker.host", "h"}, {"broker.version", "3.1.1"}, {"broker.password", "x"}}),
      StartsWith("broker.password: needs a username"));
  EXPECT_EQ(refusal({{"broker.host", "h"},
                     {"broker.reconnect_delay", "2m"},
                     {"broker.reconnect_delay_max", "1m"}}),
            "broker.reconnect_delay_max: expected a duration such as 250ms, 10s, 5m, 1h, 7d from "
            "2m to 1h");
  for (const char* bad : {"\xff", "a\nb", ""})
    EXPECT_EQ(why({"broker.client_id", bad}),
              "broker.client_id: expected text without control characters");
  EXPECT_THAT(why({"broker.username", "\xff"}), StartsWith("broker.username: expected text"));
  EXPECT_EQ(why({"broker.max_inflight", "0"}),
            "broker.max_inflight: expected a whole number from 1 to 1000");
}

// ---- to another broker -------------------------------------------------------------------------

class RepublishElsewhere : public ::testing::Test {
 protected:
  // To that port, with these options besides.
  static std::unique_ptr<HandlerTester> tester_at(std::uint16_t port,
                                                  const std::vector<Option>& more = {}) {
    std::vector<Option> all{{"broker.host", "127.0.0.1"},
                            {"broker.port", std::to_string(port)},
                            {"broker.reconnect_delay", "5ms"},
                            {"broker.reconnect_delay_max", "20ms"}};
    all.insert(all.end(), more.begin(), more.end());
    all.resize(8, {"broker.keepalive", "60s"});  // the tester takes no vector
    return std::make_unique<HandlerTester>(std::initializer_list<Option>{
        all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7]});
  }
  // Again and again, as the daemon does.
  static Result answer_at_last(HandlerTester& tester, const TestMessage& message) {
    Result result = Result::retry;
    EXPECT_TRUE(eventually([&] {
      result = answer(tester, message);
      return result != Result::retry;
    }));
    return result;
  }
  static int count(const HandlerTester& tester, std::string_view text) {
    const auto logs = tester.logs();
    return static_cast<int>(std::ranges::count_if(
        logs, [&](const std::string& line) { return line.find(text) != std::string::npos; }));
  }
  static std::string puback(const fastmqttd::testing::WirePacket& publish, char code) {
    // The packet id follows the topic "t".
    const std::string& bytes = publish.bytes;
    return fastmqttd::testing::wire_packet(0x40, bytes.substr(5, 2) + code);
  }

  Broker broker_;
};

TEST_F(RepublishElsewhere, IsOkOnceTheBrokerHasIt) {
  broker_.start();
  const Subscriber subscriber(broker_, "#", {"-V", "mqttv5"});
  const auto tester =
      tester_at(broker_.port(), {{"topic", "from/{topic}"}, {"retain", "keep"}, {"qos", "2"}});
  const std::string bytes("\0\xff\n", 3);
  EXPECT_EQ(answer(*tester, {.topic = "a", .payload = bytes, .retain = true}), Result::ok);
  EXPECT_EQ(answer(*tester, {.topic = "b"}), Result::ok);
  EXPECT_EQ(subscriber.wait_for("from/a"), bytes);
  EXPECT_EQ(subscriber.wait_for("from/b"), "");
  EXPECT_EQ(subscriber.received().front().qos, 2);
  EXPECT_THAT(tester->logs(), ElementsAre(HasSubstr("connected to 127.0.0.1:")));
}

TEST_F(RepublishElsewhere, EachQosAndBothVersions) {
  broker_.start();
  const Subscriber subscriber(broker_, "#");
  for (const char* version : {"5", "3.1.1"}) {
    HandlerTester tester({{"broker.host", "localhost"},
                          {"broker.port", std::to_string(broker_.port())},
                          {"broker.version", version}});
    for (int qos = 0; qos <= 2; ++qos) {
      const std::string topic = std::string(version) + "/" + std::to_string(qos);
      EXPECT_EQ(answer(tester, {.topic = topic, .qos = qos, .user_properties = {{"a", "b"}}}),
                Result::ok)
          << topic;
      EXPECT_EQ(subscriber.wait_for(topic), "");
      EXPECT_EQ(subscriber.received().back().qos, qos);
    }
  }
}

TEST_F(RepublishElsewhere, CarriesPropertiesThere) {
  broker_.start();
  const fastmqttd::testing::TempDir directory;
  fastmqttd::testing::Process sub(
      {.argv = {"mosquitto_sub", "-p", std::to_string(broker_.port()), "-i", "props", "-t", "#",
                "-V", "5", "-C", "1", "-F", "%C %D %E %R %P"},
       .output = directory / "out"});
  ASSERT_TRUE(broker_.wait_for_log("Sending SUBACK to props"));
  const auto tester = tester_at(broker_.port());
  EXPECT_EQ(answer(*tester, {.topic = "a",
                             .user_properties = {{"unit", "C"}},
                             .content_type = "text/plain",
                             .response_topic = "r",
                             .correlation_data = "c",
                             .expires_in = UINT32_MAX}),
            Result::ok);
  ASSERT_TRUE(sub.wait().has_value());
  EXPECT_THAT(fastmqttd::testing::read_file(directory / "out"),
              ::testing::MatchesRegex("text/plain c 214748364[67] r unit:C fastmqttd-bridges:1\n"));
}

TEST_F(RepublishElsewhere, LeavesOutWhatHasCrossedABridge) {
  const auto tester = tester_at(broker_.port());
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(tester->deliver({.topic = "a", .user_properties = {{kBridges, "1"}}}), Result::ok);
  EXPECT_THAT(tester->counts(), Contains(Pair("came_back", 3u)));
  EXPECT_THAT(tester->logs(), ElementsAre(HasSubstr("has come over a bridge already")));
}

TEST_F(RepublishElsewhere, TriesAgainUntilItIsThere) {
  const auto tester = tester_at(broker_.port());
  EXPECT_EQ(answer(*tester, {.topic = "t"}), Result::retry);
  broker_.start();
  EXPECT_EQ(answer_at_last(*tester, {.topic = "t"}), Result::ok);
  broker_.stop();
  EXPECT_TRUE(eventually([&] { return answer(*tester, {.topic = "t"}) == Result::retry; }));
  broker_.start();
  EXPECT_EQ(answer_at_last(*tester, {.topic = "t"}), Result::ok);
  EXPECT_EQ(count(*tester, "connected to"), 2);
  EXPECT_LE(count(*tester, "Connection refused; trying again"), 2);
  EXPECT_GE(count(*tester, "no connection to 127.0.0.1:"), 2);
}

// What is in flight when the connection ends is tried again, then alone.
TEST_F(RepublishElsewhere, GivesBackWhatWasOnItsWay) {
  broker_.start();
  const auto tester = tester_at(broker_.port());
  ASSERT_EQ(answer(*tester, {.topic = "t"}), Result::ok);
  broker_.pause();
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(tester->deliver("t", "x"), Result::pending);
    ids.push_back(tester->last_id());
  }
  broker_.kill();
  for (const std::uint64_t id : ids) EXPECT_EQ(tester->answer_to(id), Result::retry);
}

// A broker that takes connections and answers nothing holds up nobody's end.
TEST_F(RepublishElsewhere, EndsThoughTheBrokerHangs) {
  broker_.start();
  auto tester = tester_at(broker_.port());
  ASSERT_EQ(answer(*tester, {.topic = "t"}), Result::ok);
  broker_.pause();
  ASSERT_EQ(tester->deliver("t", "x"), Result::pending);
  auto began = Clock::now();
  tester.reset();
  EXPECT_LT(Clock::now() - began, 2500ms);
  // While it connects.
  tester = tester_at(broker_.port());
  tester->wait_for_wake();
  began = Clock::now();
  tester.reset();
  EXPECT_LT(Clock::now() - began, 2500ms);
  broker_.resume();
}

TEST_F(RepublishElsewhere, SaysWhyItIsNotLetIn) {
  broker_.add_user("me", "right");
  broker_.start();
  const auto tester =
      tester_at(broker_.port(), {{"broker.username", "me"}, {"broker.password", "wrong"}});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(answer(*tester, {.topic = "t"}), Result::retry);
  EXPECT_EQ(count(*tester, "refuses the connection: Not authorized (0x87): check broker.username"),
            1)
      << tester->last_log();
  const auto right =
      tester_at(broker_.port(), {{"broker.username", "me"}, {"broker.password", "right"}});
  EXPECT_EQ(answer(*right, {.topic = "t"}), Result::ok);
}

TEST_F(RepublishElsewhere, GivesUpWhatTheBrokerRefuses) {
  broker_.add_setting("acl_file " + broker_.file("acl").string());
  // Without a limit mosquitto 2.0.11 ends the connection after it has refused a message.
  broker_.add_setting("max_queued_messages 1000");
  fastmqttd::testing::write_file(broker_.file("acl"), "topic write open/#\n");
  broker_.start();
  const auto tester = tester_at(broker_.port());
  EXPECT_EQ(answer(*tester, {.topic = "open/t"}), Result::ok);
  EXPECT_EQ(answer(*tester, {.topic = "closed/t", .payload = "x"}), Result::reject);
  EXPECT_THAT(tester->last_log(),
              HasSubstr("refuses it for the topic closed/t: Not authorized (0x87)"));
  EXPECT_EQ(answer(*tester, {.topic = "open/t"}), Result::ok);
  EXPECT_EQ(count(*tester, "connected to"), 1);
}

// Exactly as large as the broker takes, and a byte more.
TEST_F(RepublishElsewhere, KnowsHowLargeAMessageMayBe) {
  broker_.add_setting("max_packet_size 300");
  broker_.start();
  const auto tester = tester_at(broker_.port());
  // 1 + 2 fixed, 2 + 1 topic, 2 id, 1 + 23 properties
  const std::string payload(300 - 32, 'x');
  EXPECT_EQ(answer(*tester, {.topic = "t", .payload = payload}), Result::ok);
  EXPECT_EQ(answer(*tester, {.topic = "t", .payload = payload + "x"}), Result::reject);
  EXPECT_THAT(tester->last_log(), HasSubstr("it is larger, 301 bytes, than the broker takes, 300"));
  EXPECT_EQ(count(*tester, "connected to"), 1);
}

// Before MQTT 5 the broker just ends the connection for such a one: it must not drag others along.
TEST_F(RepublishElsewhere, WhatEndedTheConnectionGoesAlone) {
  broker_.add_setting("max_packet_size 300");
  broker_.start();
  const auto tester = tester_at(broker_.port(), {{"broker.version", "3.1.1"}});
  const TestMessage poison{.topic = "t", .payload = std::string(500, 'x')};
  ASSERT_EQ(answer(*tester, poison), Result::retry);
  EXPECT_EQ(answer_at_last(*tester, {.topic = "u"}), Result::ok);
  // Or is not even sent.
  const auto knowing =
      tester_at(broker_.port(), {{"broker.version", "3.1.1"}, {"broker.max_packet_size", "300"}});
  EXPECT_EQ(answer_at_last(*knowing, poison), Result::reject);
  EXPECT_EQ(answer(*knowing, {.topic = "u"}), Result::ok);
}

TEST_F(RepublishElsewhere, ReadsTheBrokersReasons) {
  ScriptedBroker fake({ScriptedBroker::connack5(0)});
  std::atomic<char> code{0};
  fake.react(fastmqttd::testing::kPublish, [&](const auto& publish) {
    return code == '\1' ? std::string("\xe0\x01\x95", 3) : puback(publish, code);
  });
  const auto tester = tester_at(fake.port());
  for (const auto& [reason, result] :
       {std::pair(0x00, Result::ok), std::pair(0x10, Result::ok), std::pair(0x80, Result::retry),
        std::pair(0x83, Result::retry), std::pair(0x87, Result::reject),
        std::pair(0x90, Result::reject), std::pair(0x97, Result::retry),
        std::pair(0x99, Result::reject)}) {
    code = static_cast<char>(reason);
    EXPECT_EQ(answer(*tester, {.topic = "t"}), result) << reason;
  }
  EXPECT_EQ(count(*tester, "connected to"), 1);
  // It ends the connection for the one message that it has.
  code = '\1';
  EXPECT_EQ(answer_at_last(*tester, {.topic = "t"}), Result::reject);
  EXPECT_EQ(count(*tester, "ends the connection for it: "), 1);
  code = '\0';
  EXPECT_EQ(answer_at_last(*tester, {.topic = "t"}), Result::ok);
}

TEST_F(RepublishElsewhere, HeedsTheBrokersLimits) {
  // Receive maximum 3, maximum QoS 1, retain not available, server keep alive 7.
  const std::string limits("\x21\x00\x03\x24\x01\x25\x00\x13\x00\x07", 10);
  ScriptedBroker fake({ScriptedBroker::connack5(0, limits)});
  fake.react(fastmqttd::testing::kPublish, [](const auto&) { return std::string(); });
  const auto tester = tester_at(fake.port(), {{"retain", "keep"}, {"broker.max_inflight", "9"}});
  EXPECT_EQ(answer_at_last(*tester, {.topic = "t", .retain = true}), Result::reject);
  EXPECT_THAT(tester->last_log(), HasSubstr("the broker keeps no retained messages"));
  EXPECT_EQ(answer_at_last(*tester, {.topic = "t", .qos = 2}), Result::reject);
  EXPECT_THAT(tester->last_log(), HasSubstr("QoS 2 is more than the broker takes, 1"));
  EXPECT_EQ(tester->deliver("t", "1"), Result::pending);
  EXPECT_EQ(tester->deliver("t", "2"), Result::pending);
  EXPECT_EQ(tester->deliver("t", "3"), Result::retry) << "one less than its maximum";
  EXPECT_EQ(fake.sent(fastmqttd::testing::kConnect).back().substr(10, 2), std::string("\0\7", 2));
  EXPECT_EQ(count(*tester, "no more than 3 in flight"), 1);
}

TEST_F(RepublishElsewhere, SpeaksTls) {
  const fastmqttd::testing::CertificateAuthority authority("good"), other("other");
  const auto server = authority.issue({.name = "broker", .alternatives = "IP:127.0.0.1"});
  const auto mine = authority.issue({.name = "me", .key_password = "sesame"});
  broker_.use_tls(server, authority.file());
  broker_.start();
  const Option ca{"broker.ssl.ca_file", authority.file()};
  const Option certificate{"broker.ssl.cert_file", mine.cert}, key{"broker.ssl.key_file", mine.key};
  const auto good =
      tester_at(broker_.port(), {ca, certificate, key, {"broker.ssl.key_password", "sesame"}});
  const auto stranger = tester_at(broker_.port(), {{"broker.ssl.ca_file", other.file()}});
  const auto bare = tester_at(broker_.port(), {ca});
  const auto plain = tester_at(broker_.port());
  for (const auto& tester : {&good, &stranger, &bare, &plain}) (*tester)->wait_for_wake();
  EXPECT_EQ(answer(*good, {.topic = "t"}), Result::ok) << good->last_log();
  for (const auto& [tester, why] :
       {std::pair(&stranger, "set broker.ssl.ca_file to the certificate of"),
        std::pair(&bare, "it may want a certificate: broker.ssl.cert_file"),
        std::pair(&plain, "if the port speaks TLS, set broker.ssl")}) {
    EXPECT_EQ(answer(**tester, {.topic = "t"}), Result::retry);
    EXPECT_TRUE(eventually([&, tester = tester, why = why] { return count(**tester, why) == 1; }))
        << why;
  }
  EXPECT_THAT(refusal({{"broker.host", "h"}, certificate, key}),
              HasSubstr("expected the certificate's key, and key_password"));
}

TEST_F(RepublishElsewhere, DoesNotConnectBeforeItRuns) {
  ScriptedBroker fake({ScriptedBroker::connack5(0)});
  auto tester = tester_at(fake.port());
  tester.reset();
  EXPECT_EQ(fake.connections(), 0);
  tester = tester_at(fake.port());
  tester->wait_for_wake();
  EXPECT_TRUE(fake.wait_for(fastmqttd::testing::kConnect));
}

}  // namespace
