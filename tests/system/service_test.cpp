// The unit as an operator sees it: by systemctl, journalctl and busctl.
#include "tests/system/system_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kRecorder =
    "handlers:\n  all:\n    plugin: recorder\n    subscribe: n/#\n"
    "    options: {file: /var/lib/fastmqttd/all, block_file: /var/lib/fastmqttd/block}\n";

class Service : public SystemTest {
 protected:
  void SetUp() override {
    SystemTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    add_plugins({"recorder"});
  }
  std::string status_text() { return show("StatusText"); }
};

// Not before the first connection was made; a client of the broker that answers nothing is in its
// place until then.
TEST_F(Service, IsActiveOnceItIsReady) {
  sh("systemctl stop fastmqttd");
  configure(kRecorder, /*restart=*/false);
  box().write(
      "/root/silent.pl",
      "use Socket; socket(S,PF_INET,SOCK_STREAM,0); setsockopt(S,SOL_SOCKET,SO_REUSEADDR,1);"
      "bind(S,sockaddr_in(1883,INADDR_LOOPBACK)); listen(S,5); sleep 1000;\n");
  sh("systemd-run -q --unit=mute perl /root/silent.pl");
  ASSERT_TRUE(becomes("(exec 3<>/dev/tcp/127.0.0.1/1883)"));
  sh("systemctl start --no-block fastmqttd");
  ASSERT_TRUE(
      becomes("systemctl show -p StatusText fastmqttd | grep -q 'connecting to localhost'"));
  EXPECT_EQ(show("ActiveState"), "activating");
  sh("systemctl stop mute");
  start_broker();
  EXPECT_TRUE(becomes("systemctl is-active fastmqttd", 40s));
  EXPECT_TRUE(connected());
  EXPECT_TRUE(
      becomes("systemctl show -p StatusText fastmqttd | grep -qx 'StatusText=connected to "
              "localhost:1883; 1 handler, 0 messages waiting, 0 given up'"));
  EXPECT_THAT(sh("busctl get-property org.freedesktop.systemd1 "
                 "/org/freedesktop/systemd1/unit/fastmqttd_2eservice "
                 "org.freedesktop.systemd1.Service StatusText"),
              HasSubstr("connected to localhost:1883"));
}

TEST_F(Service, StartsBeforeTheBroker) {
  configure(kRecorder);
  EXPECT_EQ(show("ActiveState"), "active");
  EXPECT_THAT(status_text(), HasSubstr("not connected to localhost:1883"));
  start_broker();
  EXPECT_TRUE(becomes("systemctl show -p StatusText fastmqttd | grep -q '=connected to'"));
  publish("n/1", "x");
  EXPECT_TRUE(becomes("grep -q . /var/lib/fastmqttd/all"));
}

TEST_F(Service, WritesFieldsAndEventsIntoTheJournal) {
  start_broker();
  configure(
      "handlers:\n  picky:\n    plugin: recorder\n    subscribe: n/#\n"
      "    options: {file: /var/lib/fastmqttd/all, answer: reject}\n");
  ASSERT_TRUE(connected());
  publish("n/1", "x");
  ASSERT_TRUE(
      becomes("journalctl -u fastmqttd MQTT_TOPIC=n/1 MQTT_HANDLER=picky MQTT_PLUGIN=recorder "
              "MQTT_RESULT=reject MQTT_QOS=1 MQTT_ATTEMPT=1 PRIORITY=3 | grep -q 'gave up'"));
  const std::string explained = sh("journalctl --no-pager -b -x -u fastmqttd");
  EXPECT_THAT(explained, AllOf(HasSubstr("Connected to the MQTT broker"),
                               HasSubstr("The session with the broker localhost:1883 is up"),
                               HasSubstr("fastmqttctl dead-letters")));
  // Each event that the daemon knows is in the catalog as installed.
  const std::string events = read_file(FASTMQTTD_SOURCE_DIR "/daemon/base/events.hpp");
  int found = 0;
  for (std::size_t at = events.find(" = \""); at != events.npos;
       at = events.find(" = \"", at + 1)) {
    EXPECT_THAT(sh("journalctl --list-catalog " + events.substr(at + 4, 32)),
                HasSubstr("fastmqttd"));
    ++found;
  }
  EXPECT_GE(found, 19);
}

TEST_F(Service, ReloadsOrSaysWhyNot) {
  start_broker();
  configure(kRecorder);
  ASSERT_TRUE(connected());
  const std::string pid = show("MainPID");
  configure(kRecorder + "    queue: {messages: 99}\n", /*restart=*/false);
  sh("systemctl reload fastmqttd");
  EXPECT_THAT(journal(), HasSubstr("reloaded: 1 handler: 1 changed (all)"));

  configure(kRecorder + "    queue: {mesages: 99}\n", /*restart=*/false);
  EXPECT_NE(box().run("systemctl reload fastmqttd").exit, Exit{});
  const std::string status = box().run("systemctl status --no-pager fastmqttd").output;
  EXPECT_THAT(status, AllOf(HasSubstr("active (running)"),
                            HasSubstr("/etc/fastmqttd/conf.d/50-test.yaml:6:13: "
                                      "handlers.all.queue.mesages: unknown key")));
  EXPECT_EQ(show("MainPID"), pid);
  EXPECT_EQ(show("NRestarts"), "0");
  publish("n/1", "x");
  EXPECT_TRUE(becomes("grep -q . /var/lib/fastmqttd/all"));
}

TEST_F(Service, ThatIsMisconfiguredFailsOnceAndSaysWhere) {
  configure("mqtt: {prot: 1883}\n" + kRecorder, /*restart=*/false);
  EXPECT_NE(box().run("systemctl restart fastmqttd").exit, Exit{});
  EXPECT_EQ(show("ActiveState"), "failed");
  EXPECT_EQ(show("ExecMainStatus"), "78");
  EXPECT_EQ(show("NRestarts"), "0");
  EXPECT_THAT(
      box().run("systemctl status --no-pager fastmqttd").output,
      HasSubstr("/etc/fastmqttd/conf.d/50-test.yaml:1:8: mqtt.prot: unknown key: did you mean "
                "'port'?"));
}

TEST_F(Service, ThatHangsIsEndedByTheWatchdogAndStartedAgain) {
  start_broker();
  drop_in("WatchdogSec=2\nRestartSec=100ms\n");
  configure(kRecorder);
  ASSERT_TRUE(connected());
  sh("systemctl kill --kill-whom=main -s STOP fastmqttd");
  EXPECT_TRUE(becomes("systemctl show -p NRestarts fastmqttd | grep -qx NRestarts=1", 30s));
  EXPECT_THAT(sh("journalctl --no-pager -b UNIT=fastmqttd.service"), HasSubstr("Watchdog timeout"));
  EXPECT_TRUE(becomes("systemctl is-active fastmqttd"));
  EXPECT_TRUE(connected());
}

TEST_F(Service, WorksOffWhatItHasWhenItIsStopped) {
  start_broker();
  configure(
      "shutdown_timeout: 10s\nhandlers:\n  slow:\n    plugin: recorder\n    subscribe: n/#\n"
      "    options: {file: /var/lib/fastmqttd/all, delay_ms: 20}\n");
  ASSERT_TRUE(connected());
  sh("seq 100 | mosquitto_pub -q 1 -t n/1 -l");
  ASSERT_TRUE(becomes("(($(wc -l </var/lib/fastmqttd/all) > 10))"));
  sh("systemctl stop fastmqttd");
  EXPECT_EQ(show("Result"), "success");
  EXPECT_EQ(sh("wc -l </var/lib/fastmqttd/all"), "100\n");
}

// Longer than TimeoutStopSec=, which the daemon has extended; and no longer than it said.
TEST_F(Service, KeepsWhatItCannotWorkOffInTime) {
  start_broker();
  drop_in("TimeoutStopSec=1\n");
  configure("shutdown_timeout: 3s\n" + kRecorder);
  ASSERT_TRUE(connected());
  sh("install -o fastmqttd /dev/null /var/lib/fastmqttd/block");
  publish("n/1", "hangs");
  publish("n/1", "waits");
  ASSERT_TRUE(becomes("fastmqttctl status | grep -q '2 messages waiting'"));
  const std::string took =
      sh("start=$SECONDS; systemctl stop fastmqttd; echo $((SECONDS - start))");
  EXPECT_THAT(std::stoi(took), AllOf(::testing::Ge(2), ::testing::Le(10)));
  EXPECT_EQ(show("Result"), "success") << "systemd had to kill it";
  sh("rm /var/lib/fastmqttd/block; systemctl start fastmqttd");
  EXPECT_TRUE(becomes("(($(wc -l </var/lib/fastmqttd/all) == 2))"));
}

TEST_F(Service, TakesPasswordsFromCredentials) {
  sh("touch /etc/mosquitto/passwd; mosquitto_passwd -b /etc/mosquitto/passwd plant 'correct "
     "horse'; "
     "chmod 644 /etc/mosquitto/passwd");
  start_broker("allow_anonymous false\npassword_file /etc/mosquitto/passwd\n");
  sh("printf 'correct horse\\n' >/etc/fastmqttd/credentials/mqtt; "
     "chmod 600 /etc/fastmqttd/credentials/mqtt");
  configure("mqtt: {username: plant, password: '${credential:mqtt}'}\n" + kRecorder);
  EXPECT_TRUE(connected());
  EXPECT_THAT(sh("fastmqttd --print-config"), Not(HasSubstr("correct horse")));
  EXPECT_THAT(sh("journalctl --no-pager -b -o export -u fastmqttd"),
              Not(HasSubstr("correct horse")));
}

TEST_F(Service, RunsInSeveralInstancesSideBySide) {
  start_broker();
  for (const std::string name : {"one", "two", "three"}) {
    box().write("/etc/fastmqttd/" + name + ".yaml",
                "handlers:\n  all:\n    plugin: recorder\n    subscribe: " + name +
                    "/#\n    options: {file: /var/lib/fastmqttd/" + name + "/all}\n");
    sh("systemctl start fastmqttd@" + name);
  }
  for (const std::string name : {"one", "two", "three"}) {
    const std::string ctl = "fastmqttctl --socket /run/fastmqttd-" + name + "/control.sock ";
    ASSERT_TRUE(becomes(ctl + "status | grep -q '  connected to'"));
    publish(name + "/x", name);
    EXPECT_TRUE(becomes("grep -q '^" + name + "/x' /var/lib/fastmqttd/" + name + "/all"));
    EXPECT_EQ(sh("wc -l </var/lib/fastmqttd/" + name + "/all"), "1\n");
    sh("test -e /var/lib/fastmqttd/" + name + "/spool.db");
    sh("systemctl reload fastmqttd@" + name);
  }
  EXPECT_EQ(
      sh("for i in one two three; do fastmqttctl --socket /run/fastmqttd-$i/control.sock status "
         "--json | grep client_id; done | sort -u | wc -l"),
      "3\n");
  sh("systemctl stop fastmqttd@two");
  EXPECT_EQ(show("ActiveState", "fastmqttd@one"), "active");
  EXPECT_EQ(show("ActiveState", "fastmqttd"), "active");
}

// Of its group whoever is told so may use it, and nobody else.
TEST_F(Service, IsOperatedByItsGroup) {
  configure(kRecorder);
  sh("useradd -G fastmqttd ops && useradd stranger");
  sh("runuser -u ops -- fastmqttctl status; runuser -u ops -- fastmqttctl pause all");
  EXPECT_THAT(journal(), HasSubstr("fastmqttctl, by a user other than root: pause: handler all"));
  const Finished done = box().run("runuser -u stranger -- fastmqttctl status");
  EXPECT_EQ(done.exit, Exit{.status = 69});
  EXPECT_THAT(done.errors, HasSubstr("Permission denied"));
}

TEST_F(Service, MayHaveADynamicUser) {
  start_broker();
  configure(kRecorder);
  ASSERT_TRUE(connected());
  publish("n/1", "x");
  ASSERT_TRUE(becomes("grep -q . /var/lib/fastmqttd/all"));
  // In an overlay a directory of the layer below cannot be renamed, as systemd does with it.
  sh("systemctl stop fastmqttd; cp -a /var/lib/fastmqttd /var/lib/copy; rm -r /var/lib/fastmqttd; "
     "mv /var/lib/copy /var/lib/fastmqttd");
  sh("install -D -m 644 /usr/share/doc/fastmqttd/drop-ins/dynamic-user.conf "
     "/etc/systemd/system/fastmqttd.service.d/user.conf; systemctl daemon-reload; "
     "systemctl restart fastmqttd");
  EXPECT_TRUE(connected());
  EXPECT_EQ(sh("ps -o user:40= -C fastmqttd"), "fastmqttd-dynamic\n");
  publish("n/1", "y");
  EXPECT_TRUE(becomes("(($(wc -l </var/lib/private/fastmqttd/all) == 2))"));
}

// What goes wrong again and again comes to rest, and says so.
TEST_F(Service, ThatCannotUseItsSpoolGivesUpInTheEnd) {
  sh("systemctl stop fastmqttd; head -c 9000 /dev/urandom >/var/lib/fastmqttd/spool.db");
  drop_in("RestartSec=10ms\n[Unit]\nStartLimitBurst=10\n");
  EXPECT_NE(box().run("systemctl start fastmqttd").exit, Exit{});
  EXPECT_TRUE(becomes(
      "journalctl -b UNIT=fastmqttd.service | grep -q 'Start request repeated too quickly'", 60s));
  EXPECT_EQ(show("ExecMainStatus"), "74");
  EXPECT_EQ(show("ActiveState"), "failed");
  EXPECT_THAT(journal(), HasSubstr("spool.db"));
}

}  // namespace
}  // namespace fastmqttd::testing
