// The connection to the broker: made again whenever it is lost, with a session that the broker
// keeps, and a will that says when the daemon has died.
#include <systemd/sd-id128.h>

#include <thread>
#include <tuple>

#include "tests/integration/integration_test.hpp"
#include "tests/support/certificates.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;

class Session : public IntegrationTest {
 protected:
  // The broker's line about the daemon's latest connection.
  std::string connect_line() const {
    std::string found;
    for (const std::string& line : lines_of(broker_.log()))
      if (line.starts_with("New client connected") &&
          line.find(" as " + daemon_.client_id() + " (") != std::string::npos)
        found = line;
    return found;
  }

  // Publishes until one arrives: for brokers that have forgotten the subscriptions.
  void await_delivery(const std::string& name, const std::string& topic) {
    const std::size_t before = records(name).size();
    const auto arrives = [&] {
      publish(broker_, topic, "probe", {.qos = 0});
      return records(name).size() > before;
    };
    if (!eventually(arrives)) throw std::runtime_error("nothing arrives on " + topic);
  }
};

class VersionedSession : public Session, public ::testing::WithParamInterface<std::string> {
 protected:
  std::string version() const { return "  version: " + GetParam() + "\n"; }
};

// With the quality of service as well.
class Interrupted : public Session,
                    public ::testing::WithParamInterface<std::tuple<std::string, int>> {
 protected:
  static constexpr int kMessages = 2000;

  // A handler that takes a second or two for all messages, all of them at the broker.
  void start_with_backlog() {
    const auto [version, qos] = GetParam();
    start(recorder("all", "{topic: n, qos: 2}", "delay_ms: 1"), {"n"},
          "  version: " + version + "\n");
    publish_all(broker_, "n", sent_, {.qos = qos});
    await_records("all", 100);
  }

  // At QoS 1 what was on its way comes twice.  So it does at QoS 2 when the daemon forgets between
  // two runs what it took, and with a mosquitto (2.0.11) that is restarted: for messages it had
  // released (PUBREL) it goes back to PUBLISH.
  // Everything that came, at the end of which all has come.
  std::vector<std::string> await_all() const {
    const std::vector<std::string> got = payloads(await_payload("all", sent_.back()));
    EXPECT_EQ(losses(sent_, got), "");
    return got;
  }

  const std::vector<std::string> sent_ = numbers(kMessages);
};
std::string interrupted_name(const ::testing::TestParamInfo<Interrupted::ParamType>& info) {
  return version_name({std::get<0>(info.param), 0}) + "Qos" +
         std::to_string(std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Versions, Interrupted,
                         ::testing::Combine(::testing::Values("5", "3.1.1"),
                                            ::testing::Values(1, 2)),
                         interrupted_name);

TEST_P(Interrupted, ByItsOwnStop) {
  start_with_backlog();
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  const std::size_t came = await_all().size();
  // At QoS 1 what was on its way comes twice.
  if (std::get<1>(GetParam()) == 2) {
    EXPECT_EQ(came, sent_.size());
  }
}

// Not exactly once, even at QoS 2: mosquitto 2.0.11 sends a PUBLISH again after a restart for which
// it had PUBREC and sent PUBREL, which [MQTT-4.3.3-6] forbids.
TEST_P(Interrupted, ByAStopOfTheBroker) {
  start_with_backlog();
  broker_.stop();
  broker_.start();
  await_all();
}

INSTANTIATE_TEST_SUITE_P(Versions, VersionedSession, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(VersionedSession, BrokerMayStartLater) {
  configure(recorder("all", "a/#"), version());
  daemon_.start_ready();
  broker_.start();
  await_subscriptions({"a/#"});
  publish(broker_, "a/b", "hello");
  EXPECT_THAT(payloads(await_records("all", 1)), ElementsAre("hello"));
}

TEST_P(VersionedSession, RestartedBrokerLosesNothing) {
  start(recorder("all", "{topic: a/#, qos: 2}"), {"a/#"}, version());
  publish(broker_, "a/b", "before");
  await_payload("all", "before");
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 1));
  broker_.stop();
  broker_.start();
  // Its session waits at the broker, whether it is back already or not.
  publish(broker_, "a/b", "once", {.qos = 1});
  publish(broker_, "a/b", "twice", {.qos = 2});
  EXPECT_THAT(payloads(await_payload("all", "twice")), ElementsAre("before", "once", "twice"));
}

TEST_P(VersionedSession, KilledBrokerIsSubscribedAgain) {
  start(recorder("all", "a/#"), {"a/#"}, version());
  broker_.kill();  // before it saved the session
  broker_.start();
  await_delivery("all", "a/b");
}

TEST_P(VersionedSession, SurvivesSeveralRestartsOfTheBroker) {
  start(recorder("all", "a/#"), {"a/#"}, version());
  for (int i = 0; i < 2; ++i) {
    broker_.stop();
    broker_.start();
    await_delivery("all", "a/b");
  }
}

TEST_P(VersionedSession, MessagesOfItsAbsenceArrive) {
  start(recorder("all", "{topic: a/#, qos: 2}"), {"a/#"}, version());
  ASSERT_EQ(daemon_.stop(), Exit{});
  publish(broker_, "a/1", "once", {.qos = 1});
  publish(broker_, "a/2", "twice", {.qos = 2});
  daemon_.start_ready();
  EXPECT_THAT(payloads(await_records("all", 2)), ElementsAre("once", "twice"));
}

TEST_P(VersionedSession, MessagesOfItsAbsenceAreNotDoubledByOverlaps) {
  start(recorder("all", "a/#, a/+, a/b"), {"a/#"}, version());
  ASSERT_EQ(daemon_.stop(), Exit{});
  const std::vector<std::string> sent = numbers(50);
  publish_all(broker_, "a/b", sent);
  daemon_.start_ready();
  await_payload("all", "50");
  publish_all(broker_, "a/b", {"end", "behind the last copy"});
  std::vector<std::string> expected = sent;
  expected.insert(expected.end(), {"end", "behind the last copy"});
  EXPECT_THAT(payloads(await_payload("all", "behind the last copy")), ElementsAreArray(expected));
}

TEST_P(VersionedSession, MessagesAfterAKillArrive) {
  start(recorder("all", "a/#"), {"a/#"}, version());
  daemon_.kill();
  const std::vector<std::string> sent = numbers(50);
  publish_all(broker_, "a/b", sent);
  daemon_.start_ready();
  EXPECT_EQ(losses(sent, payloads(await_payload("all", "50"))), "");
}

TEST_P(VersionedSession, CleanSessionStartsAnew) {
  start(recorder("all", "a/#"), {"a/#"}, version() + "  clean_session: true\n");
  EXPECT_THAT(connect_line(), HasSubstr(", c1,"));
  ASSERT_EQ(daemon_.stop(), Exit{});
  publish(broker_, "a/b", "missed");
  daemon_.start_ready();
  await_subscriptions({"a/#"}, 2);
  publish(broker_, "a/b", "end");
  EXPECT_THAT(payloads(await_payload("all", "end")), ElementsAre("end"));
}

constexpr const char* kWill =
    "  will_message_topic: will/me\n  will_message_payload: gone\n  will_message_qos: 1\n";

TEST_P(VersionedSession, WillIsSentWhenKilled) {
  start(recorder("all", "a/#"), {"a/#"}, version() + kWill);
  const Subscriber other(broker_, "will/#");
  daemon_.kill();
  EXPECT_EQ(other.wait_for("will/me"), "gone");
}

TEST_P(VersionedSession, WillIsNotSentWhenStopped) {
  start(recorder("all", "a/#"), {"a/#"}, version() + kWill);
  const Subscriber other(broker_, "will/#");
  ASSERT_EQ(daemon_.stop(), Exit{});
  ASSERT_TRUE(broker_.wait_for_log("Received DISCONNECT from " + daemon_.client_id() + "\n"));
  publish(broker_, "will/marker", "");
  ASSERT_EQ(other.wait_for("will/marker"), "");
  EXPECT_FALSE(other.has("will/me"));
}

// What the daemon no longer reads must not make the kernel reset the connection: DISCONNECT and the
// last acknowledgements would be lost with it.
TEST_P(VersionedSession, WillIsNotSentWhenStoppedUnderLoad) {
  start(recorder("all", "a/#"), {"a/#"}, version() + kWill);
  const Subscriber other(broker_, "will/#");
  const std::jthread load([this] { publish_all(broker_, "a/b", numbers(30'000), {.qos = 0}); });
  await_records("all", 1000);
  ASSERT_EQ(daemon_.stop(), Exit{});
  EXPECT_TRUE(broker_.wait_for_log("Received DISCONNECT from " + daemon_.client_id() + "\n"));
  publish(broker_, "will/marker", "");
  ASSERT_EQ(other.wait_for("will/marker"), "");
  EXPECT_FALSE(other.has("will/me"));
}

TEST_F(Session, ConnectSaysWhatIsConfigured) {
  start(recorder("all", "a/#"), {"a/#"},
        std::string("  keepalive: 17\n  will_message_retain: true\n") + kWill);
  EXPECT_THAT(connect_line(), HasSubstr("as " + daemon_.client_id() + " (p5, c0, k17)"));
  EXPECT_TRUE(broker_.wait_for_log("Will message specified (4 bytes) (r1, q1)."));
  EXPECT_TRUE(broker_.wait_for_log("\twill/me"));
}

TEST_F(Session, OlderProtocolIsSpoken) {
  // mosquitto writes p2 for 3.1.1.
  start(recorder("all", "a/#"), {"a/#"}, "  version: 3.1.1\n  keepalive: 23\n");
  EXPECT_THAT(connect_line(), HasSubstr("(p2, c0, k23)"));
}

TEST_F(Session, ClientIdHasADefault) {
  broker_.start();
  configure(recorder("all", "a/#"), "  client_id: ~\n");
  sd_id128_t id;
  if (sd_id128_get_machine(&id) < 0) {  // a container, or an image that was never booted
    daemon_.start();
    EXPECT_EQ(daemon_.process().wait(), Exit{.status = 78});
    await_log("mqtt.client_id: is not set, and this machine has no /etc/machine-id");
    return;
  }
  daemon_.start_ready();
  EXPECT_TRUE(broker_.wait_for_log(" as fastmqttd-"));
}

TEST_F(Session, UserAndPasswordAreTaken) {
  broker_.add_user("joe", "open sesame");
  start(recorder("all", "a/#"), {"a/#"}, "  username: joe\n  password: open sesame\n");
  EXPECT_THAT(connect_line(), HasSubstr(", u'joe')"));
  publish(broker_, "a/b", "hello", {.arguments = {"-u", "joe", "-P", "open sesame"}});
  EXPECT_THAT(payloads(await_records("all", 1)), ElementsAre("hello"));
}

TEST_P(VersionedSession, WrongPasswordIsSaidAndTriedAgain) {
  broker_.add_user("joe", "open sesame");
  broker_.start();
  configure(recorder("all", "a/#"), version() + "  username: joe\n  password: open barley\n");
  daemon_.start_ready();
  await_log("not authori[sz]ed|bad user ?name or password|authori[sz]ation");
  EXPECT_TRUE(broker_.wait_for_log("Sending CONNACK to ", 2)) << "it does not try again";
  EXPECT_TRUE(daemon_.process().running());
  EXPECT_THAT(daemon_.log(), Not(HasSubstr("barley")));
  EXPECT_EQ(daemon_.stop(), Exit{});
}

TEST_P(VersionedSession, AnotherClientOfItsNameMayTakeItsSession) {
  start(recorder("all", "a/#"), {"a/#"}, version());
  // It connects with a clean session: the subscriptions are gone.
  publish(broker_, "other", "", {.arguments = {"-i", daemon_.client_id()}});
  await_delivery("all", "a/b");
}

TEST_F(Session, StopsAtOnceWhileTheBrokerIsDown) {
  configure(recorder("all", "a/#"));
  daemon_.start_ready();
  EXPECT_EQ(daemon_.stop(5s), Exit{});
}

TEST_F(Session, HostsAreTriedInOrder) {
  broker_.start();
  // The broker listens on the second alone; the first refuses at once.
  configure(recorder("all", "a/#"), "  host: [127.0.0.2, 127.0.0.1]\n");
  daemon_.start_ready();
  await_subscriptions({"a/#"});
}

// ---- credentials -------------------------------------------------------------------------------

TEST_F(Session, CredentialsAreReadAtEachAttempt) {
  broker_.add_user("joe", "open sesame");
  broker_.start();
  write_file(daemon_.file("user"), "joe\n");
  write_file(daemon_.file("password"), "open barley\n");
  configure(recorder("all", "a/#"),
            "  username: ${file:" + daemon_.file("user").string() +
                "}\n  password: ${file:" + daemon_.file("password").string() + "}\n");
  daemon_.start_ready();
  await_log("refuses the connection: not authori[sz]ed.*check mqtt.username");
  write_file(daemon_.file("password"), "open sesame\n");
  await_subscriptions({"a/#"});
  EXPECT_THAT(daemon_.log(), Not(HasSubstr("barley")));
  EXPECT_THAT(daemon_.log(), Not(HasSubstr("sesame")));
}

TEST_F(Session, CredentialsFromEveryPlace) {
  broker_.add_user("joe-edge", "open sesame");
  broker_.start();
  std::filesystem::create_directory(daemon_.file("credentials"));
  write_file(daemon_.file("credentials") / "fastmqttd_mqtt", "sesame\n");
  daemon_.set_environment("CREDENTIALS_DIRECTORY=" + daemon_.file("credentials").string());
  daemon_.set_environment("MQTT_USER=joe");
  configure(recorder("all", "a/#"),
            "  username: ${env:MQTT_USER}-edge\n  password: open ${credential:mqtt}\n");
  daemon_.start_ready();
  await_subscriptions({"a/#"});
}

TEST_F(Session, CredentialsThatAreGoneAreNamedAndWaitedFor) {
  start(recorder("all", "a/#"), {"a/#"});
  const std::filesystem::path file = daemon_.file("password");
  write_file(file, "x");
  ASSERT_EQ(daemon_.stop(), Exit{});
  configure(recorder("all", "a/#"), "  username: joe\n  password: ${file:" + file.string() + "}\n");
  daemon_.start_ready();
  await_subscriptions({"a/#"}, 2);
  std::filesystem::remove(file);
  broker_.stop();
  broker_.start();
  await_log("cannot connect to .*: mqtt.password: .*" + file.string() + ".*No such file");
  write_file(file, "x");
  ASSERT_TRUE(broker_.wait_for_log("New client connected", 3));
}

// ---- status ------------------------------------------------------------------------------------

class Status : public VersionedSession {
 protected:
  static constexpr const char* kKey = "  status_topic: status/me\n";
  // What stands at the topic, retained.
  std::string retained() const {
    const Subscriber other(broker_, "status/me");
    return other.wait_for("status/me").value_or("nothing");
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, Status, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(Status, IsOnlineWhileConnected) {
  start(recorder("all", "a/#"), {"a/#"}, version() + kKey);
  ASSERT_TRUE(broker_.wait_for_log("Received PUBLISH from " + daemon_.client_id()));
  EXPECT_EQ(retained(), "online");
}

TEST_P(Status, IsOfflineAfterAKill) {
  start(recorder("all", "a/#"), {"a/#"}, version() + kKey);
  ASSERT_TRUE(broker_.wait_for_log("Received PUBLISH from " + daemon_.client_id()));
  daemon_.kill();
  EXPECT_TRUE(eventually([&] { return retained() == "offline"; }));
}

TEST_P(Status, IsOfflineAfterAStop) {
  start(recorder("all", "a/#"), {"a/#"}, version() + kKey);
  ASSERT_TRUE(broker_.wait_for_log("Received PUBLISH from " + daemon_.client_id()));
  ASSERT_EQ(daemon_.stop(), Exit{});
  EXPECT_EQ(retained(), "offline");
}

TEST_P(Status, IsOnlineAgainAfterARestartOfTheBroker) {
  start(recorder("all", "a/#"), {"a/#"}, version() + kKey);
  const std::string published = "Received PUBLISH from " + daemon_.client_id();
  ASSERT_TRUE(broker_.wait_for_log(published));
  broker_.stop();
  broker_.start();
  ASSERT_TRUE(broker_.wait_for_log(published, 2));
  EXPECT_EQ(retained(), "online");
}

// ---- what MQTT 5 has more ----------------------------------------------------------------------

TEST_F(Session, DelayedWillIsNotSentForAShortAbsence) {
  start(recorder("all", "a/#"), {"a/#"}, std::string(kWill) + "  will_delay_interval: 3600\n");
  const Subscriber other(broker_, "will/#");
  daemon_.kill();
  ASSERT_TRUE(broker_.wait_for_log("Client " + daemon_.client_id() + " closed its connection"));
  publish(broker_, "will/marker", "");
  ASSERT_EQ(other.wait_for("will/marker"), "");
  EXPECT_FALSE(other.has("will/me"));
}

TEST_F(Session, DelayedWillIsSentInTheEnd) {
  start(recorder("all", "a/#"), {"a/#"}, std::string(kWill) + "  will_delay_interval: 1\n");
  const Subscriber other(broker_, "will/#");
  daemon_.kill();
  EXPECT_EQ(other.wait_for("will/me"), "gone");
}

TEST_F(Session, WillOfAFile) {
  write_file(daemon_.file("will"), "from a file\n");
  start(recorder("all", "a/#"), {"a/#"},
        "  will_message_topic: will/me\n  will_message_payload: ${file:" +
            daemon_.file("will").string() + "}\n");
  const Subscriber other(broker_, "will/#");
  daemon_.kill();
  EXPECT_EQ(other.wait_for("will/me"), "from a file");
}

TEST_F(Session, ExpiresWhenItIsTold) {
  start(recorder("all", "a/#"), {"a/#"}, "  session_expiry_interval: 1s\n");
  daemon_.kill();
  publish(broker_, "a/b", "missed");
  ASSERT_TRUE(broker_.wait_for_log("Expiring client " + daemon_.client_id()));
  daemon_.start_ready();
  await_log("has lost our session");
  await_subscriptions({"a/#"}, 2);
  publish(broker_, "a/b", "end");
  EXPECT_THAT(payloads(await_payload("all", "end")), ElementsAre("end"));
}

// mosquitto 2.0.11 closes the connection without a word; for one that says it see refusal_test.cpp.
TEST_P(VersionedSession, AnotherClientOfItsNameIsSuspected) {
  start(recorder("all", "a/#"), {"a/#"}, version());
  for (int i = 1; i <= 3; ++i) {
    await_subscriptions({"a/#"}, i);
    publish(broker_, "other", "", {.arguments = {"-i", daemon_.client_id()}});
  }
  await_log("does another client use the client_id " + daemon_.client_id() + " too");
}

// ---- names and time ----------------------------------------------------------------------------

class SlowNames : public Session {
 protected:
  void slow_down(const std::string& seconds) {
    daemon_.set_environment("LD_PRELOAD=" FASTMQTTD_TESTS_SLOW_RESOLVER);
    daemon_.set_environment("ASAN_OPTIONS=verify_asan_link_order=0");
    daemon_.set_environment("SLOW_RESOLVER_SECONDS=" + seconds);
    daemon_.set_environment("SLOW_RESOLVER_LOG=" + daemon_.file("lookups").string());
  }
  std::vector<std::string> lookups() const { return lines_of(read_file(daemon_.file("lookups"))); }
};

TEST_F(SlowNames, DoNotHoldUpAStop) {
  slow_down("600");
  configure(recorder("all", "a/#"), "  host: localhost\n");
  daemon_.start();
  ASSERT_TRUE(eventually([&] { return !lookups().empty(); }));
  EXPECT_EQ(daemon_.stop(10s), Exit{});
}

// The watchdog is fed, since somebody else does the waiting.
TEST_F(SlowNames, DoNotHoldUpTheWatchdog) {
  slow_down("600");
  configure(recorder("all", "a/#"), "  host: localhost\n");
  daemon_.set_environment("WATCHDOG_USEC=400000");
  daemon_.start();
  ASSERT_TRUE(eventually([&] { return !lookups().empty(); }));
  EXPECT_TRUE(eventually([&] { return daemon_.notify().count("WATCHDOG=1") >= 5; }));
}

// With TLS the client library is given the name.  It would look it up once more, under its lock.
TEST_F(SlowNames, AreLookedUpOnceWithTls) {
  const CertificateAuthority ca("The test's authority");
  broker_.use_tls(ca.issue({.name = "localhost", .alternatives = "DNS:localhost"}));
  slow_down("1");
  start(recorder("all", "a/#"), {"a/#"},
        "  host: localhost\n  ssl: {ca_file: " + ca.file().string() + "}\n");
  EXPECT_THAT(lookups(), ElementsAre("localhost"));
}

TEST_F(SlowNames, UnknownOnesAreSaid) {
  configure(recorder("all", "a/#"), "  host: no.such.host.invalid\n");
  daemon_.start();
  await_log(
      "cannot connect to no.such.host.invalid:.*: cannot find the address of "
      "'no.such.host.invalid': ");
}

// Variables that are meant for other protocols, and that Paho would go by.
TEST_P(VersionedSession, ProxiesOfTheEnvironmentAreNoneOfItsBusiness) {
  for (const char* variable : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"})
    daemon_.set_environment(std::string(variable) + "=http://127.0.0.1:1");
  start(recorder("all", "a/#"), {"a/#"}, version());
}

}  // namespace
}  // namespace fastmqttd::testing
