// What is subscribed at the broker: neither more nor less than the configuration wants, across
// restarts, lost sessions and versions, however many filters there are.
#include "tests/integration/integration_test.hpp"
#include "tests/support/wire.hpp"

namespace fastmqttd::testing {
namespace {

using namespace std::string_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Subscription : public VersionedTest {
 protected:
  std::filesystem::path memory() const { return daemon_.file("state") / "session.json"; }
  bool remembers(const std::string& filter) const {
    return read_file(memory()).find('"' + filter + '"') != std::string::npos;
  }
  // Stops it and starts it with other handlers.
  void restart_with(const std::string& handlers, const std::string& mqtt) {
    ASSERT_EQ(daemon_.stop(), Exit{});
    configure(handlers, mqtt);
    daemon_.start_ready();
  }
  // What the broker was asked to give up.
  bool unsubscribed(const std::string& filter) const {
    return broker_.log().find("Received UNSUBSCRIBE from " + daemon_.client_id()) !=
               std::string::npos &&
           broker_.log().find(daemon_.client_id() + " " + filter + "\n") != std::string::npos;
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, Subscription, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(Subscription, OfADroppedFilterIsTakenBack) {
  start(recorder("all", "old/#, older/+, a/#"), {"old/#", "older/+", "a/#"}, version());
  EXPECT_TRUE(eventually([&] { return remembers("old/#"); }));
  restart_with(recorder("all", "a/#, new/#"), version());
  EXPECT_TRUE(unsubscribed("old/#"));
  EXPECT_TRUE(unsubscribed("older/+"));
  EXPECT_FALSE(unsubscribed("a/#"));
  EXPECT_FALSE(remembers("old/#"));
  publish(broker_, "old/1", "old");
  publish(broker_, "a/1", "end");
  EXPECT_THAT(payloads(await_payload("all", "end")), ElementsAre("end"));
  EXPECT_FALSE(daemon_.logged("no handler wants, one of them"));
}

TEST_P(Subscription, OfADroppedFilterIsTakenBackAfterAKillToo) {
  start(recorder("all", "old/#, a/#"), {"old/#", "a/#"}, version());
  daemon_.kill();
  configure(recorder("all", "a/#"), version());
  daemon_.start_ready();
  EXPECT_TRUE(unsubscribed("old/#"));
}

TEST_P(Subscription, IsNotTakenBackFromACleanSession) {
  start(recorder("all", "old/#, a/#"), {"old/#"}, version() + "  clean_session: true\n");
  EXPECT_FALSE(std::filesystem::exists(memory()));
  restart_with(recorder("all", "a/#"), version() + "  clean_session: true\n");
  await_subscriptions({"a/#"}, 2);
  EXPECT_EQ(broker_.count_in_log("Received UNSUBSCRIBE"), 0);
}

TEST_P(Subscription, OfASessionThatWasLostIsMadeAnew) {
  start(recorder("all", "old/#, a/#"), {"old/#", "a/#"}, version());
  EXPECT_TRUE(eventually([&] { return remembers("old/#"); }));
  ASSERT_EQ(daemon_.stop(), Exit{});
  // Another client of the name ends the session.
  publish(broker_, "x", "", {.arguments = {"-i", daemon_.client_id()}});
  configure(recorder("all", "a/#"), version());
  daemon_.start_ready();
  await_subscriptions({"a/#"}, 2);
  EXPECT_TRUE(daemon_.logged("warning .* has lost our session"));
  EXPECT_EQ(broker_.count_in_log("Received UNSUBSCRIBE"), 0);
  EXPECT_FALSE(remembers("old/#"));
}

TEST_P(Subscription, OfTheFirstStartIsNoLoss) {
  start(recorder("all", "a/#"), {"a/#"}, version());
  EXPECT_FALSE(daemon_.logged("has lost our session"));
}

TEST_P(Subscription, OfAMemoryThatCannotBeReadIsMadeAllTheSame) {
  write_file(memory(), "{\"client_id\": 7");
  start(recorder("all", "a/#"), {"a/#"}, version());
  EXPECT_TRUE(daemon_.logged("session.json cannot be read, going on without it: "));
  EXPECT_TRUE(eventually([&] { return remembers("a/#"); }));  // it is mended
}

TEST_P(Subscription, OfAnotherClientIdIsMentioned) {
  start(recorder("all", "a/#"), {"a/#"}, version());
  ASSERT_EQ(daemon_.stop(), Exit{});
  configure(recorder("all", "a/#"), version() + "  client_id: someone-else\n");
  daemon_.start_ready();
  EXPECT_TRUE(daemon_.logged("client_id was " + daemon_.client_id() +
                             " before: .*mosquitto_sub .* -i " + daemon_.client_id()));
}

TEST_P(Subscription, OfTenThousandFilters) {
  constexpr int kFilters = 10'000;
  std::string filters;
  for (int i = 1; i <= kFilters; ++i)
    filters += (i == 1 ? "" : ", ") + ("site/" + std::to_string(i)) + "/+";
  broker_.start();
  configure(recorder("all", filters), version());
  daemon_.start();
  ASSERT_TRUE(daemon_.wait_ready());
  await_subscriptions({"site/1/+", "site/5000/+", "site/10000/+"});
  publish(broker_, "site/1/t", "first");
  publish(broker_, "site/9999/t", "last");
  EXPECT_THAT(payloads(await_payload("all", "last")), ElementsAre("first", "last"));
  // And taken back again.
  restart_with(recorder("all", "site/1/+"), version());
  EXPECT_TRUE(unsubscribed("site/10000/+"));
  EXPECT_FALSE(unsubscribed("site/1/+"));
}

// A filter that has been subscribed for itself, then is covered, then for itself again.
TEST_P(Subscription, OfAWiderFilterTakesItsPlace) {
  const std::string narrow = recorder("narrow", "a/b, end");
  start(narrow, {"a/b"}, version());
  restart_with(narrow + recorder("wide", "a/#"), version());
  EXPECT_TRUE(unsubscribed("a/b"));
  publish(broker_, "a/b", "covered");
  publish(broker_, "end", "1");
  EXPECT_THAT(payloads(await_payload("narrow", "1")), ElementsAre("covered", "1"));
  restart_with(narrow, version());
  EXPECT_TRUE(unsubscribed("a/#"));
  publish(broker_, "a/b", "alone");
  publish(broker_, "end", "2");
  EXPECT_THAT(payloads(await_payload("narrow", "2")), ElementsAre("covered", "1", "alone", "2"));
}

// What a handler asks to have its messages marked with, it gets, with any version.
TEST_P(Subscription, IdentifiersReachTheirHandlers) {
  start(recorder("one",
                 "{topic: a/#, subscription_identifier: 7}, "
                 "{topic: a/b, subscription_identifier: 8}, a/+") +
            recorder("two", "{topic: a/b, subscription_identifier: 268435455}") +
            recorder("none", "a/b"),
        {"a/#"}, version());
  publish(broker_, "a/b", "both");
  publish(broker_, "a/c/d", "one");
  await_payload("one", "one");
  const Records one = records("one");
  ASSERT_EQ(one.size(), 2u);
  EXPECT_EQ(one[0].identifiers, "7 8 ");
  EXPECT_EQ(one[1].identifiers, "7 ");
  EXPECT_EQ(await_records("two", 1)[0].identifiers, "268435455 ");
  EXPECT_EQ(await_records("none", 1)[0].identifiers, "");
}

// Delivered right behind CONNACK, before a SUBSCRIBE has left.
TEST_P(Subscription, IsNotNeededForWhatWaited) {
  const bool five = GetParam() == "5";
  const std::string publish_packet =
      wire_packet(0x32, wire_text("a/b") + "\x00\x01"s + (five ? "\0"s : "") + "waited");
  ScriptedBroker fake(
      {(five ? ScriptedBroker::connack5(0, "", true) : ScriptedBroker::connack3(0, true)) +
       publish_packet});
  fake.react(kSubscribe, [](const WirePacket&) { return ""s; });  // never answered
  configure(recorder("all", "a/#"), fake.key() + version());
  daemon_.start();
  await_payload("all", "waited");
  ASSERT_TRUE(fake.wait_for(kPuback));
  ASSERT_EQ(daemon_.stop(), Exit{});
}

// It does not say whether there was a session.
TEST_F(IntegrationTest, Mqtt31TakesDroppedFiltersBackAndClaimsNoLoss) {
  start(recorder("all", "old/#, a/#"), {"old/#", "a/#"}, "  version: 3.1\n");
  ASSERT_EQ(daemon_.stop(), Exit{});
  publish(broker_, "a/1", "waited");
  configure(recorder("all", "a/#"), "  version: 3.1\n");
  daemon_.start_ready();
  EXPECT_TRUE(broker_.wait_for_log(daemon_.client_id() + " old/#\n"));
  EXPECT_THAT(payloads(await_payload("all", "waited")), ElementsAre("waited"));
  EXPECT_FALSE(daemon_.logged("has lost our session|new session"));
}

// Each broker has a session of its own.
TEST_F(IntegrationTest, SubscriptionsAreRememberedByBroker) {
  Broker other;
  other.start();
  start(recorder("all", "old/#, a/#"), {"old/#", "a/#"});
  const auto restart_at = [&](const Broker& broker) {
    ASSERT_EQ(daemon_.stop(), Exit{});
    configure(recorder("all", "a/#"), "  port: " + std::to_string(broker.port()) + "\n");
    daemon_.start_ready();
  };
  restart_at(other);
  ASSERT_TRUE(other.wait_for_subscriptions(daemon_.client_id(), {"a/#"}));
  EXPECT_FALSE(daemon_.logged("has lost our session")) << "it never had one";
  restart_at(broker_);
  EXPECT_TRUE(broker_.wait_for_log(daemon_.client_id() + " old/#\n"));
}

// From MQTT 5, where copies are told apart, to a version that would have two come.
TEST_F(IntegrationTest, DowngradeTakesCoveredFiltersBack) {
  const std::string handler = recorder("all", "a/#, {topic: a/b, retain_as_published: true}");
  start(handler, {"a/#", "a/b"});
  ASSERT_EQ(daemon_.stop(), Exit{});
  configure(handler, "  version: 3.1.1\n");
  daemon_.start_ready();
  EXPECT_TRUE(broker_.wait_for_log(daemon_.client_id() + " a/b\n"));
}

// Options of MQTT 5, against a real broker.
TEST_F(IntegrationTest, RetainedMessagesComeAsAsked) {
  broker_.start();
  publish(broker_, "r/0", "kept", {.retain = true});
  publish(broker_, "r/1", "kept", {.retain = true});
  publish(broker_, "r/2", "kept", {.retain = true});
  const std::string handlers = recorder("all",
                                        "{topic: r/0, retain_handling_options: 0}, "
                                        "{topic: r/1, retain_handling_options: 1}, "
                                        "{topic: r/2, retain_handling_options: 2}, end");
  configure(handlers);
  const auto topics = [&](const Records& all) {
    std::vector<std::string> found;
    for (const Record& record : all) found.push_back(record.topic);
    std::ranges::sort(found);
    return found;
  };
  daemon_.start_ready();
  publish(broker_, "end", "1");
  EXPECT_THAT(topics(await_payload("all", "1")), ElementsAre("end", "r/0", "r/1"));
  // The subscriptions are there already: 1 is for new ones.
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  publish(broker_, "end", "2");
  EXPECT_THAT(topics(await_payload("all", "2")), ElementsAre("end", "end", "r/0", "r/0", "r/1"));
}

TEST_F(IntegrationTest, RetainFlagIsKeptAsPublished) {
  start(recorder("as", "{topic: a, retain_as_published: true}") + recorder("not", "b"), {"a", "b"});
  publish(broker_, "a", "x", {.retain = true});
  publish(broker_, "b", "x", {.retain = true});
  EXPECT_TRUE(await_records("as", 1)[0].retain);
  EXPECT_FALSE(await_records("not", 1)[0].retain);
}

TEST_F(IntegrationTest, OwnMessagesStayAwayWithNoLocal) {
  daemon_.add_plugin("actor");
  start("  actor: {subscribe: [do], options: {to: out}}\n" +
            recorder("deaf", "{topic: out, no_local: true}, end"),
        {"do", "out"});
  publish(broker_, "do", "echo mine");
  const Subscriber other(broker_, "out");
  publish(broker_, "do", "echo mine");
  ASSERT_EQ(other.wait_for("out"), "mine");
  publish(broker_, "end", "end");
  EXPECT_THAT(payloads(await_payload("deaf", "end")), ElementsAre("end"));
}

TEST_F(IntegrationTest, SharedSubscriptionsShare) {
  start(recorder("shared", "$share/g/a/+, end"), {"$share/g/a/+", "end"});
  const Subscriber other(broker_, "$share/g/a/+", {"-V", "5"});
  const std::vector<std::string> sent = numbers(20);
  publish_all(broker_, "a/b", sent);
  ASSERT_TRUE(eventually(
      [&] { return other.received().size() + records("shared").size() >= sent.size(); }));
  EXPECT_FALSE(other.received().empty());
  EXPECT_FALSE(records("shared").empty());
}

}  // namespace
}  // namespace fastmqttd::testing
