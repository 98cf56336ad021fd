// republish, in the daemon, with a real broker, and another one.
#include <algorithm>
#include <map>

#include "tests/integration/handlers_test.hpp"

namespace fastmqttd::testing {
namespace {

class Republish : public HandlersTest {
 protected:
  Republish() { install("republish"); }

  // An entry that bridges n/# to a broker.
  static std::string bridge_to(const Broker& broker, const std::string& more = "",
                               const std::string& keys = "timeout: 2s") {
    return "  there:\n    plugin: republish\n    subscribe: ['n/#']\n    " + keys +
           "\n    retry: {delay: 1ms, delay_max: 50ms}\n    options:\n"
           "      broker: {host: 127.0.0.1, port: " +
           std::to_string(broker.port()) + ", reconnect_delay: 5ms, reconnect_delay_max: 50ms" +
           more + "}\n";
  }
  static std::vector<std::string> payloads_of(const Subscriber& subscriber) {
    std::vector<std::string> all;
    for (const auto& one : subscriber.received()) all.push_back(one.payload);
    return all;
  }
  static int count(const Subscriber& subscriber, std::string_view topic) {
    const auto all = subscriber.received();
    return static_cast<int>(std::ranges::count(all, topic, &Subscriber::Received::topic));
  }
  int connections_of_the_daemon() const {
    return broker_.count_in_log(" as " + daemon_.client_id() + " (");
  }

  Broker there_;
};

// Killed in the middle of it, three times: each message arrives, those of a topic in order.
TEST_F(Republish, LosesNothingOverKills) {
  there_.start();
  const Subscriber subscriber(there_, "n/#");
  start(bridge_to(there_), {"n/#"});
  constexpr int kTopics = 10, kOfEach = 400;
  for (int topic = 0; topic < kTopics; ++topic)
    publish_all(broker_, "n/" + std::to_string(topic), numbers(kOfEach));
  for (int kill = 1; kill <= 3; ++kill) {
    const auto enough = static_cast<std::size_t>(kill) * 700;
    ASSERT_TRUE(eventually([&] { return subscriber.received().size() > enough; }));
    daemon_.kill();
    daemon_.start_ready();
  }
  std::map<std::string, std::vector<std::string>> got;
  EXPECT_TRUE(eventually([&] {
    got.clear();
    std::size_t all = 0;
    for (const auto& one : subscriber.received()) got[one.topic].push_back(one.payload);
    for (const auto& [topic, payloads] : got) all += distinct(payloads).size();
    return all == kTopics * kOfEach;
  }));
  for (const auto& [topic, payloads] : got) EXPECT_EQ(losses(numbers(kOfEach), payloads), "");
}

// Down at the start, hanging, killed: nothing is lost, and the daemon's own connection, which
// shares its library with it, does not notice.
TEST_F(Republish, SurvivesItsTarget) {
  there_.start();  // keeps its port from now on
  there_.stop();
  start(bridge_to(there_) + recorder("beside", "n/#"), {"n/#"});
  int published = 0;
  const auto publish_some = [&] {
    for (int i = 0; i < 15; ++i) publish(broker_, "n/" + std::to_string(++published), "x");
    await_records("beside", static_cast<std::size_t>(published));
  };
  publish_some();
  await_log("there: no connection to 127.0.0.1:[0-9]+: Connection refused");

  there_.start();
  await_log("there: connected to ");
  await_idle();
  there_.pause();
  publish_some();
  await_log("there: no connection .* it does not acknowledge what it is sent");
  publish_some();
  there_.resume();
  await_idle();
  there_.kill();
  publish_some();
  there_.start();
  publish_some();
  await_idle();
  const std::string log = there_.log();
  for (int i = 1; i <= published; ++i)
    EXPECT_NE(log.find(", 'n/" + std::to_string(i) + "', "), std::string::npos) << i;
  EXPECT_EQ(connections_of_the_daemon(), 1);
  EXPECT_FALSE(daemon_.logged("gave up"));
}

// Each message is on both brokers, once.
TEST_F(Republish, TwoDaemonsDoNotBridgeInCircles) {
  there_.start();
  start(bridge_to(there_), {"n/#"});
  Daemon other;
  std::filesystem::copy_file(std::string(FASTMQTTD_HANDLERS "/republish.so"),
                             other.plugin_directory() / "republish.so");
  set_mode(other.plugin_directory() / "republish.so", 0755);
  other.configure(other.mqtt_section(there_) + "handlers:\n" + bridge_to(broker_));
  other.start_ready();
  ASSERT_TRUE(there_.wait_for_subscriptions(other.client_id(), {"n/#"}));
  const Subscriber here(broker_, "n/#"), there(there_, "n/#");

  publish(broker_, "n/from/here", "1");
  publish(there_, "n/from/there", "2");
  EXPECT_EQ(there.wait_for("n/from/here"), "1");
  EXPECT_EQ(here.wait_for("n/from/there"), "2");
  await_log("there: n/from/there: has come over a bridge already");
  EXPECT_TRUE(other.wait_for_log("there: n/from/here: has come over a bridge already"));
  // What follows on the same way has overtaken nothing.
  publish(broker_, "n/from/here", "end");
  publish(there_, "n/from/there", "end");
  ASSERT_TRUE(eventually(
      [&] { return count(there, "n/from/here") == 2 && count(here, "n/from/there") == 2; }));
  EXPECT_EQ(count(here, "n/from/here"), 2);
  EXPECT_EQ(count(there, "n/from/there"), 2);
}

class RepublishVersions : public Republish, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Mqtt, RepublishVersions, ::testing::Values("5", "3.1.1"), version_name);

// To the same broker; what would go round and round is given up.
TEST_P(RepublishVersions, EndsWhatComesBack) {
  const bool mqtt5 = GetParam() == "5";
  start(
      "  round:\n    plugin: republish\n    subscribe: ['n/#']\n    options: {topic: "
      "'{payload}'}\n" +
          std::string(mqtt5 ? "  grows:\n    plugin: republish\n    subscribe: ['m/#']\n"
                              "    options: {topic: 'm/{topic}'}\n"
                            : ""),
      mqtt5 ? std::vector<std::string>{"n/#", "m/#"} : std::vector<std::string>{"n/#"},
      "  version: " + GetParam() + "\n");
  const Subscriber subscriber(broker_, "#");
  publish(broker_, "n/x", "out");
  EXPECT_EQ(subscriber.wait_for("out"), "out");
  publish(broker_, "n/x", "n/y");  // n/x to n/y, and once more to itself
  await_log("round: n/y: the topic that is made is the one that it came from");
  EXPECT_EQ(count(subscriber, "n/y"), 1);
  if (!mqtt5) return;
  publish(broker_, "m/x", "");
  await_log("grows: m/m/m/m/m/x: was republished too often, max_hops is 4");
}

// What the other broker ends the connection for, without a word before MQTT 5, is given up alone.
TEST_F(Republish, OneDoesNotDragOthersAlong) {
  there_.add_setting("max_packet_size 1000");
  there_.start();
  const Subscriber subscriber(there_, "n/#");
  start(
      "  there:\n    plugin: republish\n    subscribe: ['n/#']\n"
      "    retry: {delay: 1ms, delay_max: 10ms}\n    options:\n"
      "      broker: {host: 127.0.0.1, port: " +
          std::to_string(there_.port()) +
          ", version: 3.1.1, reconnect_delay: 1ms, reconnect_delay_max: 5ms}\n",
      {"n/#"});
  const std::vector<std::string> sent = numbers(60);
  for (const std::string& number : sent) {
    publish(broker_, "n/" + number, number);
    if (number == "20") publish(broker_, "n/large", std::string(2'000, 'x'));
  }
  await_log("gave up on a message: n/large");
  EXPECT_TRUE(eventually([&] { return distinct(payloads_of(subscriber)).size() == sent.size(); }));
  const std::string dead = daemon_.ctl({"dead-letters", "list"}).output;
  EXPECT_NE(dead.find("n/large"), std::string::npos) << dead;
  EXPECT_EQ(lines_of(dead).size(), 2u) << dead;
}

TEST_F(Republish, StopsThoughItsTargetHangs) {
  there_.start();
  const Subscriber subscriber(there_, "n/#");
  start(bridge_to(there_, "", "timeout: 30s") + "shutdown_timeout: 1s\n", {"n/#"});
  publish(broker_, "n/x", "1");
  EXPECT_EQ(subscriber.wait_for("n/x"), "1");
  there_.pause();
  publish(broker_, "n/x", "2");
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 2));
  EXPECT_EQ(daemon_.stop(6s), Exit{});
  there_.resume();
}

// --check makes an instance too.
TEST_F(Republish, DoesNotConnectToBeChecked) {
  there_.start();
  daemon_.configure(daemon_.mqtt_section(broker_) + "handlers:\n" + bridge_to(there_));
  EXPECT_EQ(daemon_.run({"--check"}).exit, Exit{});
  EXPECT_EQ(there_.count_in_log("New connection"), 0);
  daemon_.configure(daemon_.mqtt_section(broker_) + "handlers:\n" +
                    bridge_to(there_, ", tls: true"));
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_TRUE(any_line_matches(done.errors,
                               "fastmqttd.yaml:[0-9]+:[0-9]+: handlers.there.options.broker.tls: "
                               ".*unknown: expected host"))
      << done.errors;
}

}  // namespace
}  // namespace fastmqttd::testing
