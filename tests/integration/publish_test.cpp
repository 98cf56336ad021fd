// What handlers publish: it reaches the broker, whatever becomes of the connection meanwhile.
#include <algorithm>
#include <set>

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;

using Texts = std::vector<std::string>;

class Publish : public IntegrationTest {
 protected:
  // A handler `actor` with these options, and what else is to run.
  void configure_actor(const std::string& options, const std::string& more = "",
                       std::string_view mqtt = "", const std::string& keys = "") {
    daemon_.add_plugin("actor");
    configure("  actor: {options: {" + options + "}" + keys + "}\n" + more, mqtt);
  }
  void start_actor(const std::string& options = "", const std::string& more = "",
                   std::string_view mqtt = "", const std::string& keys = "") {
    broker_.start();
    configure_actor(options, more, mqtt, keys);
    daemon_.start_ready();
    await_subscriptions({"act/#"});
  }
  void act(const std::string& payload) { publish(broker_, "act/now", payload); }

  void await_status(const std::string& part) {
    ASSERT_TRUE(eventually(
        [&] { return daemon_.notify().last("STATUS=").find(part) != std::string::npos; }));
  }

  // Lets those who wait for the file "go" publish, so many messages in all, while the broker is
  // down.
  void publish_without_broker(int messages) {
    broker_.stop();
    await_log("connection to .* lost");
    write_file(daemon_.file("go"), "");
    await_status(std::to_string(messages) + " to be published");
  }

  static Texts payloads(const Subscriber& subscriber) {
    Texts texts;
    for (const auto& one : subscriber.received()) texts.push_back(one.payload);
    return texts;
  }
  static bool has_payload(const Subscriber& subscriber, const std::string& payload) {
    return eventually([&] {
      const Texts all = payloads(subscriber);
      return std::ranges::find(all, payload) != all.end();
    });
  }
};

// The parameter: the version and the QoS of what is published.
class AnyPublish : public Publish,
                   public ::testing::WithParamInterface<std::tuple<std::string, int>> {
 protected:
  std::string version() const { return "  version: " + std::get<0>(GetParam()) + "\n"; }
  int qos() const { return std::get<1>(GetParam()); }
  std::string qos_option() const { return "qos: " + std::to_string(qos()); }
};
std::string any_name(const ::testing::TestParamInfo<AnyPublish::ParamType>& info) {
  return version_name({std::get<0>(info.param), 0}) + "Qos" +
         std::to_string(std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Versions, AnyPublish,
                         ::testing::Combine(::testing::Values("5", "3.1.1"),
                                            ::testing::Values(0, 1, 2)),
                         any_name);

TEST_P(AnyPublish, ReachesASubscriberAsItWasPublished) {
  start_actor(qos_option() + ", retain: true", "", version());
  const Subscriber live(broker_, "out");
  act("echo hello");
  EXPECT_EQ(live.wait_for("out"), "hello");
  EXPECT_EQ(live.received().at(0).qos, qos());
  const Subscriber late(broker_, "out");
  EXPECT_EQ(late.wait_for("out"), "hello");
  EXPECT_TRUE(late.received().at(0).retain);
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("actor: 1 ok, .* 1 published, 0 not, acts 1");
}

TEST_P(AnyPublish, InTheOrderOfPublishing) {
  start_actor(qos_option(), "", version());
  const Subscriber subscriber(broker_, "out");
  act("count 5000");
  ASSERT_TRUE(has_payload(subscriber, "5000"));
  EXPECT_EQ(losses(numbers(5000), payloads(subscriber)), "");
}

// It publishes what it then receives itself, with the daemon's receiving thread at the other end.
TEST_P(AnyPublish, ToItsOwnFilterDoesNotDeadlock) {
  start_actor(qos_option(), "", version());
  act("down 500");
  await_log("actor: act/now: landed");
}

class VersionedPublish : public Publish, public ::testing::WithParamInterface<std::string> {
 protected:
  std::string version() const { return "  version: " + GetParam() + "\n"; }
};
INSTANTIATE_TEST_SUITE_P(Versions, VersionedPublish, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(VersionedPublish, FromAThreadOfItsOwnWhichThenAnswers) {
  start_actor("", "", version());
  const Subscriber subscriber(broker_, "out");
  act("later hello");
  EXPECT_EQ(subscriber.wait_for("out"), "hello");
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("actor: 1 ok, 0 retry, 0 reject");
}

TEST_P(VersionedPublish, InTheTurnThatAThreadOfItsOwnAskedFor) {
  start_actor("", "", version());
  const Subscriber subscriber(broker_, "out");
  act("wake hello");
  EXPECT_EQ(subscriber.wait_for("out"), "hello");
}

TEST_P(VersionedPublish, WaitsForABrokerThatIsDown) {
  start_actor("qos: 1", "", version());
  const Subscriber subscriber(broker_, "out", {"-c"});  // its session waits at the broker
  act("when " + daemon_.file("go").string());
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 1));
  publish_without_broker(50);
  broker_.start();
  ASSERT_TRUE(has_payload(subscriber, "50"));
  EXPECT_THAT(payloads(subscriber), ElementsAreArray(numbers(50)));
}

TEST_P(VersionedPublish, SurvivesABrokerThatForgetsTheSession) {
  start_actor("qos: 1", "", version());
  auto subscriber = std::make_unique<Subscriber>(broker_, "out");
  act("count 3000");
  ASSERT_TRUE(has_payload(*subscriber, "100"));
  broker_.kill();
  Texts got = payloads(*subscriber);
  std::filesystem::remove(broker_.file("mosquitto.db"));
  broker_.start();
  await_subscriptions({"act/#"}, 2);
  subscriber = std::make_unique<Subscriber>(broker_, "out");
  act("echo end");
  ASSERT_TRUE(has_payload(*subscriber, "end"));
  const Texts rest = payloads(*subscriber);
  got.insert(got.end(), rest.begin(), rest.end());
  // What came while nobody had subscribed again is lost to the test, not to the broker: all that
  // may be missing is one piece in the middle.
  ASSERT_FALSE(rest.empty());
  const int first = rest.front() == "end" ? 3001 : std::stoi(rest.front());
  Texts expected;
  for (int i = first; i <= 3000; ++i) expected.push_back(std::to_string(i));
  expected.push_back("end");
  EXPECT_EQ(losses(expected, rest), "");
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("actor: 2 ok, .* 3001 published, 0 not");
}

// With more on its way than the connection takes: some sent, some not, none acknowledged.
TEST_P(VersionedPublish, IsSentAnewInOrderWhenTheBrokerHasLostTheSession) {
  constexpr int kPad = 200'000;
  for (const int qos : {1, 2}) {
    SCOPED_TRACE(qos);
    Broker broker;
    Daemon daemon;
    broker.start();
    daemon.add_plugin("actor");
    daemon.configure(daemon.mqtt_section(broker, version()) + "handlers: {actor: {options: {pad: " +
                     std::to_string(kPad) + ", qos: " + std::to_string(qos) + "}}}\n");
    daemon.start_ready();
    ASSERT_TRUE(broker.wait_for_subscriptions(daemon.client_id(), {"act/#"}));
    publish(broker, "act/now", "when " + daemon.file("go").string());
    ASSERT_TRUE(broker.wait_for_acknowledgements(daemon.client_id(), 1));
    broker.pause();
    write_file(daemon.file("go"), "");
    ASSERT_TRUE(eventually([&] {
      return daemon.notify().last("STATUS=").find("50 to be published") != std::string::npos;
    }));
    broker.kill();
    std::filesystem::remove(broker.file("mosquitto.db"));
    broker.start();
    // The broker's log has the sizes, in which the numbers are.
    const auto received = [&] {
      std::vector<std::string> found;
      for (const std::string& line : lines_of(broker.log())) {
        if (line.find("Received PUBLISH from " + daemon.client_id()) == std::string::npos) continue;
        const std::size_t at = line.rfind('(') + 1;
        found.push_back(std::to_string(std::stoi(line.substr(at)) - kPad));
      }
      return found;
    };
    ASSERT_TRUE(eventually([&] { return received().size() >= 50; }));
    EXPECT_THAT(received(), ElementsAreArray(numbers(50)));
    EXPECT_EQ(daemon.stop(), Exit{});
    EXPECT_TRUE(daemon.wait_for_log("actor: 1 ok, .* 50 published, 0 not"));
  }
}

TEST_P(VersionedPublish, WithAFullWayOutAnswersRetry) {
  start_actor("qos: 1", "", version(),
              ", queue: {messages: 20}"
              ", retry: {attempts: unlimited, delay: 10ms, delay_max: 10ms}");
  const Subscriber subscriber(broker_, "out");
  act("count 500");
  ASSERT_TRUE(has_payload(subscriber, "500"));
  EXPECT_THAT(payloads(subscriber), ElementsAreArray(numbers(500)));
  await_log("actor: will try again .* act/now");
}

// With the last of them still in the handler's queue.
TEST_P(VersionedPublish, AtAStopWhatHandlersMakeOfTheirLastMessagesStillGoesOut) {
  start_actor("qos: 1", recorder("idle", "idle"), version());
  const Subscriber subscriber(broker_, "out");
  Texts commands;
  for (const std::string& number : numbers(300)) commands.push_back("echo " + number);
  publish_all(broker_, "act/now", commands);
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 300));
  EXPECT_EQ(daemon_.stop(), Exit{});
  ASSERT_TRUE(has_payload(subscriber, "300"));
  EXPECT_THAT(payloads(subscriber), ElementsAreArray(numbers(300)));
  await_log("actor: 300 ok, .* 300 published, 0 not");
}

TEST_F(Publish, ThatExpiresWhileItWaitsIsGivenUpAndTheRestGoesOut) {
  start_actor("qos: 1, expires: 1s", "  lasting: {plugin: actor, subscribe: last}\n");
  await_subscriptions({"last"});
  const Subscriber subscriber(broker_, "out", {"-c"});
  act("when " + daemon_.file("go").string());
  publish(broker_, "last", "when " + daemon_.file("go").string());
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 2));
  publish_without_broker(100);
  const auto expired = std::chrono::steady_clock::now() + 1s;
  ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > expired; }));
  broker_.start();
  ASSERT_TRUE(has_payload(subscriber, "50"));
  EXPECT_THAT(payloads(subscriber), ElementsAreArray(numbers(50)));
  await_log("actor: gave up publishing to out: its expiry interval passed while it waited");
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("actor: .* 0 published, 50 not");
  await_log("lasting: .* 50 published, 0 not");
}

TEST_F(Publish, ThatHasNotGoneOutAtAStopGoesOutAtTheNextStart) {
  start_actor("qos: 1");
  act("when " + daemon_.file("go").string());
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 1));
  publish_without_broker(50);
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("actor: 50 messages were not published yet: .* are kept");
  broker_.start();
  const Subscriber subscriber(broker_, "out");
  daemon_.start_ready();
  await_log("to be published first: 50 messages of an earlier run");
  ASSERT_TRUE(has_payload(subscriber, "50"));
  EXPECT_THAT(payloads(subscriber), ElementsAreArray(numbers(50)));
}

TEST_F(Publish, CarriesEveryProperty) {
  start_actor();
  const TempDir directory;
  const std::string format = "%p|%F|%E|%C|%R|%D|%P";
  Process subscriber(
      {.argv = {"mosquitto_sub", "-h", "127.0.0.1", "-p", std::to_string(broker_.port()), "-V",
                "mqttv5", "-t", "out", "-C", "1", "-i", "sub", "-F", format},
       .output = directory / "output"});
  ASSERT_TRUE(broker_.wait_for_log("Sending SUBACK to sub\n"));
  act("properties");
  ASSERT_EQ(subscriber.wait(), Exit{});
  const Texts parts = split(lines_of(read_file(directory / "output")).at(0), '|');
  EXPECT_EQ(parts[0], "with everything");
  EXPECT_EQ(parts[1], "1");
  EXPECT_THAT(parts[2], ::testing::AnyOf("3600", "3599"));
  EXPECT_EQ(parts[3], "text/plain");
  EXPECT_EQ(parts[4], "answers/here");
  EXPECT_EQ(parts[5], "id 7");
  EXPECT_EQ(parts[6], "first:1 second:2");
}

TEST_F(Publish, LeavesThePropertiesOutBeforeMqtt5AndSaysSo) {
  start_actor("", "", "  version: 3.1.1\n");
  const Subscriber subscriber(broker_, "out");
  act("properties");
  EXPECT_EQ(subscriber.wait_for("out"), "with everything");
  await_log("publish with properties, which only MQTT 5 can carry: leaving them out");
}

TEST_F(Publish, RepliesToARequest) {
  start_actor();
  const TempDir directory;
  const Finished done =
      run({.argv = {"mosquitto_rr", "-h", "127.0.0.1", "-p", std::to_string(broker_.port()), "-V",
                    "mqttv5", "-t", "act/now", "-e", "answers/7", "-m", "reply pong", "-D",
                    "publish", "correlation-data", "id 7", "-F", "%p|%D"}});
  EXPECT_EQ(done.output, "pong|id 7\n");
}

TEST_F(Publish, ThatIsMalformedIsRejectedWithTheReason) {
  start_actor();
  act("bad");
  await_log("actor: cannot publish to not/\\+/a topic: a topic name has no wildcards");
  await_log("actor: gave up on a message: act/now: rejected");
}

TEST_F(Publish, ThatTheBrokerForbidsIsGivenUpWithTheReason) {
  write_file(broker_.file("acl"), "topic read #\ntopic readwrite act/#\ntopic readwrite free\n");
  broker_.add_setting("acl_file " + broker_.file("acl").string());
  // Without a limit mosquitto 2.0.11 ends the connection after it has refused a message.
  broker_.add_setting("max_queued_messages 1000");
  start_actor("to: secret",
              "  two: {plugin: actor, subscribe: act/2, options: {to: secret, qos: 2}}\n");
  act("echo x");
  await_log("actor: gave up publishing to secret: the broker refuses it: Not authorized .0x87.");
  publish(broker_, "act/2", "echo x");
  await_log("two: gave up publishing to secret: the broker refuses it: Not authorized .0x87.");
  EXPECT_EQ(daemon_.stop(), Exit{});
  await_log("two: 1 ok, .* 0 published, 1 not");
  EXPECT_EQ(broker_.count_in_log(" as " + daemon_.client_id() + " ("), 1) << "one connection";
}

TEST_F(Publish, BeyondTheBrokersLimitsIsGivenUpWithTheReason) {
  broker_.add_setting("max_qos 1");
  broker_.add_setting("retain_available false");
  broker_.add_setting("max_packet_size 2000");
  broker_.start();
  daemon_.add_plugin("actor");
  configure(
      "  two: {plugin: actor, subscribe: two, options: {qos: 2}}\n"
      "  kept: {plugin: actor, subscribe: kept, options: {retain: true}}\n"
      "  good: {plugin: actor, subscribe: good}\n");
  daemon_.start_ready();
  await_subscriptions({"two", "kept", "good"});
  publish(broker_, "two", "echo x");
  await_log("two: gave up publishing to out: QoS 2 is more than the broker takes, 1");
  publish(broker_, "kept", "echo x");
  await_log("kept: gave up publishing to out: the broker keeps no retained messages");
  const Subscriber subscriber(broker_, "out");
  publish(broker_, "good", "echo still connected");
  EXPECT_EQ(subscriber.wait_for("out"), "still connected");
  EXPECT_EQ(broker_.count_in_log(" as " + daemon_.client_id() + " ("), 1);
}

}  // namespace
}  // namespace fastmqttd::testing
