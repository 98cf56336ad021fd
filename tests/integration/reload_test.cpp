// A configuration that changes while the daemon runs: all of it is taken up, or nothing.
#include <signal.h>

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class Reload : public VersionedTest {
 protected:
  Finished reload() const { return daemon_.ctl({"reload"}); }
  void configure(const std::string& handlers, const std::string& mqtt = "") {
    IntegrationTest::configure(handlers, version() + mqtt);
  }
  void start(const std::string& handlers, const std::vector<std::string>& filters,
             const std::string& mqtt = "") {
    IntegrationTest::start(handlers, filters, version() + mqtt);
  }
  std::string reloaded(const std::string& handlers, const std::string& mqtt = "") {
    configure(handlers, mqtt);
    const Finished done = reload();
    EXPECT_EQ(done.exit, Exit{}) << done.errors;
    return done.output;
  }
  int connections() const { return broker_.count_in_log(" as " + id() + " (p"); }
  int disconnections() const { return broker_.count_in_log("Client " + id() + " disconnected"); }
  std::string id() const { return daemon_.client_id(); }
};
INSTANTIATE_TEST_SUITE_P(Versions, Reload, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(Reload, GivesAHandlerItsNewOptions) {
  start(recorder("one", "a/#", "answer: reject"), {"a/#"});
  publish(broker_, "a/1", "before");
  await_payload("one", "before");
  EXPECT_EQ(reloaded(recorder("one", "a/#")), "1 handler: 1 changed (one)\n");
  publish(broker_, "a/1", "after");
  await_payload("one", "after");
  EXPECT_EQ(connections(), 1);
  EXPECT_THAT(daemon_.ctl({"status"}).output, HasSubstr("1"));
  await_log("info .* reloaded: 1 handler: 1 changed .one.");
}

TEST_P(Reload, LeavesAHandlerAloneThatHasNotChanged) {
  const std::string same = recorder("same", "a/#");
  start(same + recorder("other", "b/#"), {"a/#", "b/#"});
  hold("same");
  publish(broker_, "a/1", "held");
  await_held("same");
  EXPECT_EQ(reloaded(same + recorder("other", "b/#", "answer: reject")),
            "2 handlers: 1 changed (other)\n");
  release("same");
  await_payload("same", "held");
  EXPECT_EQ(reloaded(same + recorder("other", "b/#", "answer: reject")),
            "2 handlers, all as before\n");
}

TEST_P(Reload, TakesHandlersInAndOut) {
  start(recorder("stays", "a/#") + recorder("goes", "old/#"), {"a/#", "old/#"});
  publish(broker_, "new/1", "kept", {.retain = true});
  publish(broker_, "a/1", "kept by a", {.retain = true});
  await_payload("stays", "kept by a");
  EXPECT_EQ(reloaded(recorder("stays", "a/#") + recorder("comes", "new/#, a/+")),
            "2 handlers: 1 new (comes), 1 gone (goes)\n");
  EXPECT_THAT(payloads(await_records("comes", 2)), UnorderedElementsAre("kept", "kept by a"));
  publish(broker_, "old/1", "x");
  publish(broker_, "new/1", "live");
  publish(broker_, "a/1", "end");
  await_payload("comes", "end");
  EXPECT_THAT(payloads(await_payload("stays", "end")), ElementsAre("kept by a", "end"));
  EXPECT_THAT(payloads(records("comes")), UnorderedElementsAre("kept", "kept by a", "live", "end"));
  EXPECT_THAT(payloads(records("goes")), IsEmpty());
  EXPECT_EQ(broker_.count_in_log("Received UNSUBSCRIBE from " + id()), 1);
  EXPECT_EQ(connections(), 1);
}

TEST_P(Reload, KeepsTheMessagesOfAHandlerThatGoes) {
  start(recorder("goes", "a/#", "answer: retry") + recorder("stays", "b/#"), {"a/#", "b/#"});
  publish_all(broker_, "a/1", {"1", "2"});
  publish(broker_, "a/2", "0", {.qos = 0});
  await_records("goes", 2);
  reloaded(recorder("stays", "b/#"));
  EXPECT_THAT(daemon_.ctl({"status"}).output,
              HasSubstr("3 messages wait for the handler goes, which is not configured"));
  reloaded(recorder("stays", "b/#") + recorder("goes", "a/#"));
  await_payload("goes", "2");
  await_payload("goes", "0");
  EXPECT_EQ(connections(), 1);
}

TEST_P(Reload, RefusedLeavesEverythingAsItWas) {
  start(recorder("one", "a/#"), {"a/#"});
  daemon_.configure(daemon_.mqtt_section(broker_) + "  no_such_key: 1\nhandlers:\n" +
                    recorder("one", "b/#", "answer: never") + recorder("two", "b/#") +
                    "  three: {plugin: missing, subscribe: [c]}\n");
  Finished refused = reload();
  EXPECT_EQ(refused.exit, (Exit{.status = 78}));
  EXPECT_THAT(refused.output, IsEmpty());
  EXPECT_THAT(refused.errors,
              AllOf(HasSubstr("fastmqttctl: " + daemon_.config_file().string() + ":"),
                    HasSubstr("no_such_key: unknown key"),
                    HasSubstr("handlers.three.plugin: there is no plugin 'missing'"),
                    HasSubstr("reload: refused: everything goes on as before")));

  configure(recorder("one", "b/#", "answer: never") +
            "  three: {plugin: missing, subscribe: [c]}\n");
  refused = reload();
  EXPECT_EQ(refused.exit, (Exit{.status = 78}));
  EXPECT_THAT(refused.errors,
              AllOf(HasSubstr("handlers.one.options.answer: 'never' will not do"),
                    HasSubstr("handlers.three.plugin: there is no plugin 'missing'")));
  await_log("error   reload refused, everything goes on as before: .*; and 1 more");
  publish(broker_, "a/1", "still");
  await_payload("one", "still");
  EXPECT_EQ(broker_.count_in_log("Received SUBSCRIBE from " + id()), 1);
  EXPECT_EQ(connections(), 1);
}

TEST_P(Reload, CannotMoveTheSpool) {
  start(recorder("one", "a/#"), {"a/#"});
  daemon_.configure(daemon_.mqtt_section(broker_, version()) + "handlers:\n" +
                    recorder("one", "a/#") +
                    "spool: {directory: " + daemon_.file("other").string() +
                    "}\ncontrol: {socket: " + daemon_.file("other.sock").string() + "}\n");
  const Finished refused = reload();
  EXPECT_EQ(refused.exit, (Exit{.status = 78}));
  EXPECT_THAT(refused.errors, AllOf(HasSubstr("spool.directory: cannot become"),
                                    HasSubstr("control.socket: cannot become")));
}

TEST_P(Reload, TellsSystemdOfIt) {
  start(recorder("one", "a/#"), {"a/#"});
  ASSERT_TRUE(daemon_.notify().wait_for("READY=1"));
  configure(recorder("one", "b/#"));
  daemon_.process().signal(SIGHUP);
  ASSERT_TRUE(daemon_.notify().wait_for("RELOADING=1"));
  EXPECT_TRUE(daemon_.notify().wait_for("MONOTONIC_USEC="));
  EXPECT_TRUE(daemon_.notify().wait_for("READY=1", 2));
  await_subscriptions({"b/#"});
  configure("  one: {plugin: missing}\n");
  daemon_.process().signal(SIGHUP);
  EXPECT_TRUE(daemon_.notify().wait_for("READY=1", 3));
  EXPECT_TRUE(daemon_.logged("error .* there is no plugin 'missing'"));
}

// ---- what is in a handler's hands --------------------------------------------------------------

TEST_P(Reload, WaitsForAnswersThatArePending) {
  start(recorder("slow", "a/#", "answer: pending, delay_ms: 300"), {"a/#"});
  publish_all(broker_, "a/1", {"1", "2", "3"});
  await_records("slow", 1);
  reloaded(recorder("slow", "a/#"));
  EXPECT_THAT(payloads(await_records("slow", 3)), ElementsAre("1", "2", "3"));
}

TEST_P(Reload, KeepsWhatIsInMemoryOnly) {
  start(recorder("busy", "{topic: a/#, qos: 0}"), {"a/#"});
  hold("busy");
  publish_all(broker_, "a/1", numbers(50), {.qos = 0});
  await_held("busy");
  await_log("info .* ready");
  EXPECT_TRUE(eventually([&] {
    return daemon_.ctl({"status"}).output.find("50 messages waiting") != std::string::npos;
  }));
  configure(recorder("busy", "{topic: a/#, qos: 0}", "only: none"));
  daemon_.process().signal(SIGHUP);
  await_log("info .* reloading ");
  release("busy");
  EXPECT_THAT(losses(numbers(50), payloads(await_records("busy", 50))), "");
  await_log("info .* reloaded: ");
  EXPECT_EQ(records("busy").size(), 50u);
}

TEST_P(Reload, IsNotHeldUpByAHandlerThatIs) {
  const std::string held = recorder("held", "a/#");
  start(held + recorder("other", "b/#"), {"a/#", "b/#"});
  hold("held");
  publish(broker_, "a/1", "1");
  await_held("held");
  configure(recorder("held", "a/#", "only: x") + recorder("other", "b/#", "only: x"));
  daemon_.process().signal(SIGHUP);
  await_subscriptions({"b/#"});
  publish(broker_, "a/1", "2");
  publish(broker_, "b/1", "2");
  await_payload("other", "2");
  EXPECT_FALSE(daemon_.logged("reloaded: "));
  release("held");
  EXPECT_THAT(payloads(await_records("held", 2)), ElementsAre("1", "2"));
  await_log("info .* reloaded: 2 handlers: 2 changed .held, other.");
}

TEST_P(Reload, TakesUpAPluginThatWasReplaced) {
  start(recorder("one", "a/#"), {"a/#"});
  // The same file under its name again, as a package would install it.
  const auto plugin = daemon_.plugin_directory() / "recorder.so";
  std::filesystem::copy_file(plugin, daemon_.file("recorder.new"));
  set_mode(daemon_.file("recorder.new"), 0755);
  std::filesystem::rename(daemon_.file("recorder.new"), plugin);
  EXPECT_EQ(reloaded(recorder("one", "a/#")), "1 handler: 1 changed (one)\n");
  EXPECT_EQ(reloaded(recorder("one", "a/#")), "1 handler, all as before\n");
  publish(broker_, "a/1", "x");
  await_payload("one", "x");
}

// ---- the session -------------------------------------------------------------------------------

TEST_P(Reload, ConnectsOnceAnewForAnotherWill) {
  const std::string one = recorder("one", "a/#");
  start(one, {"a/#"}, "  will_message_topic: gone\n  will_message_payload: x\n");
  const Subscriber gone(broker_, "gone");
  hold("one");
  publish(broker_, "a/1", "1");
  await_held("one");
  EXPECT_EQ(
      reloaded(one, "  will_message_topic: left\n  keepalive: 30\n"),
      "1 handler, all as before; the session is made anew, since something in mqtt has changed\n");
  publish(broker_, "a/1", "2");
  release("one");
  EXPECT_THAT(payloads(await_records("one", 2)), ElementsAre("1", "2"));
  EXPECT_EQ(connections(), 2);
  EXPECT_EQ(disconnections(), 1);
  EXPECT_EQ(broker_.count_in_log("Received SUBSCRIBE from " + id()), 1);
  EXPECT_FALSE(gone.has("gone"));
}

TEST_P(Reload, SaysOfflineWhereTheStatusWas) {
  const std::string one = recorder("one", "a/#");
  start(one, {"a/#"}, "  status_topic: s/old\n");
  const Subscriber status(broker_, "s/#");
  EXPECT_EQ(status.wait_for("s/old"), "online");
  reloaded(one, "  status_topic: s/new\n");
  EXPECT_EQ(status.wait_for("s/new"), "online");
  EXPECT_TRUE(eventually([&] { return status.received().size() == 3; }));
  EXPECT_EQ(status.received()[1].payload, "offline");
}

TEST_P(Reload, MovesToAnotherBroker) {
  Broker other;
  other.start();
  const std::string one = recorder("one", "a/#");
  start(one, {"a/#"});
  reloaded(one, "  port: " + std::to_string(other.port()) + "\n");
  EXPECT_TRUE(
      eventually([&] { return other.count_in_log("Received SUBSCRIBE from " + id()) == 1; }));
  publish(other, "a/1", "x");
  await_payload("one", "x");
  EXPECT_EQ(disconnections(), 1);
}

TEST_P(Reload, EndsAPauseBetweenTwoAttempts) {
  broker_.start();
  const std::string one = recorder("one", "a/#");
  const std::string slow = "  reconnect_delay: 1h\n  reconnect_delay_max: 1h\n";
  IntegrationTest::configure(one, version() + slow + "  port: 1\n");
  daemon_.start_ready();
  await_log("info .* next attempt in ");
  reloaded(one, slow);
  await_subscriptions({"a/#"});
}

// ---- what is under way -------------------------------------------------------------------------

TEST_P(Reload, RefusesAThirdInstanceBesideOneThatHangs) {
  const std::string other = recorder("other", "b/#");
  start(recorder("held", "a/#") + other, {"a/#", "b/#"});
  hold("held");
  publish_all(broker_, "a/1", {"1", "2"});
  await_held("held");
  configure(other);
  daemon_.process().signal(SIGHUP);
  await_log("info .* unsubscribing a/#");
  // Until its time is up the reload goes on; then others may come.
  ASSERT_TRUE(eventually(60s, [&] { return daemon_.logged("warning reloaded: .*held"); }));
  configure(recorder("held", "a/#") + other);
  const Finished refused = reload();
  EXPECT_EQ(refused.exit, (Exit{.status = 78}));
  EXPECT_THAT(refused.errors, HasSubstr("handlers.held: cannot change again: it is still busy"));
  release("held");
  await_log("info .* the reload is complete now");
  EXPECT_EQ(reload().exit, Exit{});
  EXPECT_THAT(payloads(await_records("held", 2)), ElementsAre("1", "2"));
}

TEST_P(Reload, IsNoReasonNotToStop) {
  start(recorder("held", "a/#"), {"a/#"});
  hold("held");
  publish(broker_, "a/1", "1");
  await_held("held");
  configure(recorder("held", "a/#", "only: x"));
  Process ctl({.argv = {FASTMQTTCTL_PROGRAM, "--socket",
                        (daemon_.file("runtime") / "control.sock").string(), "reload"}});
  await_log("info .* reloading ");
  await_log("info    fastmqttctl, by user [0-9]+: reload");
  release("held");
  daemon_.process().signal(SIGTERM);
  EXPECT_TRUE(daemon_.process().wait(10s)) << "it does not stop";
}

TEST_P(Reload, KeepsWhatARetiringHandlerHasInMemory) {
  broker_.start();
  const std::string filter = "{topic: a/#, qos: 0}";
  configure(recorder("held", filter));
  daemon_.start_ready();
  await_subscriptions({"a/#"});
  hold("held");
  publish_all(broker_, "a/1", numbers(20), {.qos = 0});
  await_held("held");
  configure(recorder("held", filter, "only: x"));
  daemon_.process().signal(SIGHUP);
  await_log("info .* reloading ");
  EXPECT_TRUE(eventually([&] {
    return daemon_.ctl({"status"}).output.find("20 messages waiting") != std::string::npos;
  }));
  daemon_.process().signal(SIGTERM);
  await_log("info .* stopping: 20 messages to be handled");
  release("held");
  ASSERT_TRUE(daemon_.process().wait(10s));
  daemon_.start_ready();
  EXPECT_THAT(losses(numbers(20), payloads(await_records("held", 20))), "");
}

TEST_P(Reload, KeepsAPauseThatComesMeanwhile) {
  start(recorder("one", "a/#"), {"a/#"});
  ASSERT_EQ(daemon_.ctl({"pause", "one"}).exit, Exit{});
  reloaded(recorder("one", "a/#", "only: x"));
  publish(broker_, "a/1", "1");
  EXPECT_TRUE(eventually([&] {
    return daemon_.ctl({"status"}).output.find("1 message waiting") != std::string::npos;
  }));
  EXPECT_THAT(records("one"), IsEmpty());
}

TEST_P(Reload, TwoInARowGiveANewHandlerItsRetainedMessages) {
  const std::string one = recorder("one", "a/#"), two = recorder("two", "b/#");
  start(one, {"a/#"});
  publish(broker_, "b/1", "kept", {.retain = true});
  broker_.stop();
  await_log("info .* next attempt in ");
  reloaded(one + two);
  reloaded(recorder("one", "a/#", "only: x") + two);
  broker_.start();
  EXPECT_THAT(payloads(await_records("two", 1)), ElementsAre("kept"));
}

TEST_P(Reload, OfAPluginThatWasOnlyTouchedChangesNothing) {
  start(recorder("one", "a/#"), {"a/#"});
  std::filesystem::last_write_time(daemon_.plugin_directory() / "recorder.so",
                                   std::filesystem::file_time_type::clock::now());
  EXPECT_EQ(reloaded(recorder("one", "a/#")), "1 handler, all as before\n");
}

// Whoever has mended something at the broker need not wait for the pause to end.
TEST_P(Reload, TriesAtOnceWhatWasRefused) {
  broker_.start();
  const std::string one = recorder("one", "a/#");
  broker_.stop();
  const std::string slow = "  reconnect_delay: 1h\n  reconnect_delay_max: 1h\n";
  configure(one, slow);
  daemon_.start_ready();
  await_log("info .* next attempt in ");
  const Finished still = reload();
  EXPECT_EQ(still.exit, Exit{});
  EXPECT_THAT(still.output, HasSubstr("all as before; but it is not connected to "));
  broker_.start();
  EXPECT_EQ(reload().output, "1 handler, all as before\n");
  await_subscriptions({"a/#"});
}

}  // namespace
}  // namespace fastmqttd::testing
