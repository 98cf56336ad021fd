// The broker stopped and killed at random moments, and connections cut, while messages flow.
#include <algorithm>
#include <set>

#include "tests/chaos/chaos_test.hpp"
#include "tests/chaos/wire_watch.hpp"

namespace fastmqttd::testing {
namespace {

const std::vector<std::string> kTopics{"b/1", "b/2"};
const std::vector<Traffic::Stream> kStreams{{"b/1", 1}, {"b/2", 2}};

class BrokerRounds : public VersionedChaos {
 protected:
  BrokerRounds() {
    // As often as it can: after each turn of its loop in which something has changed.
    broker_.add_setting("autosave_on_changes true");
    broker_.add_setting("autosave_interval 1");
  }

  // There shall be a connection most of the time.
  static constexpr const char* kAtOnce = "  reconnect_delay: 10ms\n  reconnect_delay_max: 50ms\n";

  std::string ledgers() {
    return ledger("all", "{topic: b/#, qos: 2}", kTopics) +
           ledger("two", "{topic: b/#, qos: 2}", kTopics);
  }

  // What the daemon has acknowledged on the wire, and the handler has not handled.
  std::vector<int> owed(const WireWatch& watch, const std::string& name, const std::string& topic) {
    const std::vector<int> handled = numbers_of(book(name).handled(), topic);
    std::vector<int> owed = numbers_of(watch.acknowledged(), topic);
    const std::set<int> there(handled.begin(), handled.end());
    std::erase_if(owed, [&](int number) { return there.contains(number); });
    return owed;
  }
  void expect_acknowledged_handled(const WireWatch& watch) {
    for (const char* name : {"all", "two"})
      for (const std::string& topic : kTopics)
        EXPECT_TRUE(eventually([&] { return owed(watch, name, topic).empty(); }))
            << name << " " << topic << ::testing::PrintToString(owed(watch, name, topic));
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, BrokerRounds, ::testing::Values("5", "3.1.1"), version_name);

// It saves what it has before it ends.
TEST_P(BrokerRounds, StopsLoseNothing) {
  const int all = rounds(5);
  start(ledgers(), {"b/#"}, kAtOnce);
  Traffic traffic(broker_, kStreams, options());
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    broker_.stop();
    broker_.start();
  }
  expect_all_handled(traffic);
  report(traffic, all);
}

// mosquitto 2.0.11 acknowledges a message before it saves it, so a kill may lose the last of those;
// what it has handed over is the daemon's.
TEST_P(BrokerRounds, KillsLoseNothingThatTheDaemonHas) {
  const int all = rounds(5);
  WireWatch watch(broker_.port(), version());
  broker_.start();
  configure(ledgers(), watch.relay().key() + kAtOnce);
  daemon_.start_ready();
  await_subscriptions({"b/#"});
  Traffic traffic(broker_, kStreams, options());
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    broker_.kill();
    broker_.start();
  }
  traffic.stop();
  // Once this one comes, all that the broker still had has come before it.
  Traffic end(broker_, {{"b/end", 1}}, {.version = version(), .last = 1});
  ASSERT_TRUE(eventually([&] { return book("all").has_handled("b/end", 1); }));
  expect_acknowledged_handled(watch);
  expect_in_order();
  std::size_t lost = 0;
  for (const std::string& topic : kTopics)
    lost += missing(numbers_of(book("all").handled(), topic), traffic.acknowledged(topic)).size();
  report(traffic, all, ", the broker lost " + std::to_string(lost));
}
// That broker, back from an earlier save, gives the identifier of a message whose PUBREC it has
// forgotten to another one: which is not a duplicate, as its DUP flag says.
TEST_P(BrokerRounds, AnIdentifierThatTheBrokerForgotIsAnotherMessage) {
  const bool mqtt5 = version() == "5";
  const auto connack = [&](bool kept) {
    return mqtt5 ? ScriptedBroker::connack5(0, "", kept) : ScriptedBroker::connack3(0, kept);
  };
  const auto message = [&](int number, unsigned char header = 0x34) {
    const std::string id("\0\7", 2), properties(mqtt5 ? 1 : 0, '\0');
    return wire_packet(header, wire_text("b/2") + id + properties + numbered("b/2", number));
  };
  ScriptedBroker scripted({connack(false), connack(true), connack(true)});
  configure(ledger("all", "{topic: b/#, qos: 2}", {"b/2"}), scripted.key());
  daemon_.start_ready();
  ASSERT_TRUE(scripted.wait_for(kSubscribe));
  scripted.send(message(1));
  ASSERT_TRUE(scripted.wait_for(kPubrec));
  scripted.cut();
  ASSERT_TRUE(scripted.wait_for(kConnect, 2));
  await_log("session kept");
  scripted.send(message(2));
  if (mqtt5) {
    // What Paho would take for a duplicate is refused, and taken when it comes again.
    ASSERT_TRUE(scripted.wait_for(kConnect, 3));
    EXPECT_EQ(scripted.sent(kPubrec).size(), 1u);
    await_log("in use again");
    scripted.send(message(2, 0x3c));
  }
  ASSERT_TRUE(scripted.wait_for(kPubrec, 2));
  EXPECT_TRUE(eventually([&] { return book("all").has_handled("b/2", 2); }));
  EXPECT_TRUE(book("all").has_handled("b/2", 1));
}

// mosquitto 2.0.11 does not know which version a client speaks whose session it has restored: until
// that is back, it keeps one copy of a message for two filters, with the identifier of one of them.
TEST_P(BrokerRounds, RestartWhileAwayReachesEveryHandler) {
  start(ledger("all", "b/#", {"b/2"}) + ledger("some", "b/2", {"b/2"}), {"b/#"});
  ASSERT_EQ(daemon_.stop(), Exit{});
  broker_.stop();
  broker_.start();
  Traffic traffic(broker_, {{"b/2", 1}}, {.version = version(), .last = 5});
  ASSERT_TRUE(traffic.wait_for(5));
  daemon_.start_ready();
  expect_all_handled(traffic);
}

// Connections end at random moments, most of them with something on the way.
TEST_P(BrokerRounds, CutConnectionsLoseNothing) {
  const int all = rounds(6);
  Relay relay(broker_.port());
  start(ledgers(), {"b/#"}, relay.key() + kAtOnce);
  Traffic traffic(broker_, kStreams, options());
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    const int connections = relay.connections();
    relay.cut();
    ASSERT_TRUE(eventually([&] { return relay.connections() > connections; })) << round;
  }
  expect_all_handled(traffic);
  report(traffic, all);
  EXPECT_EQ(entered_twice(), 0);
}

}  // namespace
}  // namespace fastmqttd::testing
