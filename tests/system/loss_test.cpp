// Nothing that was acknowledged is lost, whatever ends the daemon or the machine.
#include "tests/system/system_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::HasSubstr;

const std::string kAll = "/var/lib/fastmqttd/all";

class Loss : public SystemTest {
 protected:
  void SetUp() override {
    SystemTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    add_plugins({"recorder", "rogue"});
    start_broker();
    drop_in("RestartSec=100ms\n");
  }
  void start(const std::string& more = "") {
    configure(
        "handlers:\n  all:\n    plugin: recorder\n    subscribe: n/#\n"
        "    options: {file: " +
        kAll + ", delay_ms: 1}\n" + more);
    ASSERT_TRUE(connected());
  }
  // Numbers from 1 on, each on a topic of its own, by the broker's own client.
  void publish_numbers(int count) {
    sh("systemd-run -q --unit=traffic bash -c 'for i in $(seq " + std::to_string(count) +
       "); do mosquitto_pub -q 1 -t n/$i -m $i || exit 1; done'");
  }
  bool recorded(int count) {
    return becomes("cut -f 1 " + kAll + " | sort -u | wc -l | grep -qx " + std::to_string(count),
                   60s);
  }
};

TEST_F(Loss, NoneOverKillsUnderTraffic) {
  start();
  publish_numbers(400);
  for (int kill = 1; kill <= 6; ++kill) {
    ASSERT_TRUE(becomes("(($(wc -l <" + kAll + ") > " + std::to_string(kill * 40) + "))", 60s));
    sh("systemctl kill -s KILL fastmqttd");
    ASSERT_TRUE(becomes("systemctl show -p NRestarts fastmqttd | grep -qx NRestarts=" +
                        std::to_string(kill)));
    ASSERT_TRUE(connected());
  }
  EXPECT_TRUE(recorded(400)) << sh("fastmqttctl status");
}

// A plugin that crashes, here of a stack that overflows, takes the daemon with it: it comes back,
// and the message is given up.
TEST_F(Loss, NoneOverACrashOfAPlugin) {
  start("  rogue: {subscribe: [rogue, n/+], retry: {delay: 10ms}}\n");
  publish("rogue", "overflow");
  publish_numbers(100);
  EXPECT_TRUE(becomes("systemctl show -p NRestarts fastmqttd | grep -qx NRestarts=3", 60s));
  EXPECT_TRUE(recorded(100));
  EXPECT_TRUE(becomes("fastmqttctl status | grep -q ' 0 messages waiting'"));
  EXPECT_THAT(sh("fastmqttctl dead-letters list"),
              HasSubstr("ended the daemon 3 times: the handler crashed (SIGSEGV)"));
  EXPECT_THAT(sh("journalctl --no-pager -b -x -u fastmqttd"),
              HasSubstr("A handler has ended the last run of the daemon"));
  EXPECT_EQ(show("ActiveState"), "active");
}

// However many such messages there are: the service goes on, and the others have their time.
TEST_F(Loss, NoneOverMessagesThatAllCrashTheirHandler) {
  start("  rogue: {subscribe: rogue/+, retry: {delay: 10ms}}\n");
  for (int i = 1; i <= 8; ++i) publish("rogue/" + std::to_string(i), "abort");
  EXPECT_TRUE(becomes("systemctl show -p NRestarts fastmqttd | grep -qx NRestarts=4", 60s));
  EXPECT_TRUE(
      becomes("journalctl -b -u fastmqttd | grep -q 'rogue: suspended: it has ended the last 4 "
              "runs; one message is tried in 10s'"));
  publish_numbers(100);
  EXPECT_TRUE(recorded(100));
  EXPECT_TRUE(becomes("systemctl show -p NRestarts fastmqttd | grep -qx NRestarts=5", 60s));
  EXPECT_TRUE(becomes("journalctl -b -u fastmqttd | grep -q 'is tried in 20s'"));
  EXPECT_TRUE(becomes("systemctl is-active fastmqttd"));
}

// Everything stops at once, and the machine is started again.  The broker loses what it had not
// handed over; what the daemon had acknowledged, by the broker's own log, is there.
TEST_F(Loss, NoneOverAPowerCutOfTheMachine) {
  sh("systemctl enable -q mosquitto");
  start();
  for (int cut = 1; cut <= 2; ++cut) {
    sh("systemd-run -q --unit=traffic-" + std::to_string(cut) +
       " bash -c 'for i in $(seq 100000); do mosquitto_pub -q 1 -t n/" + std::to_string(cut) +
       "-$i -m $i; done'");
    ASSERT_TRUE(becomes("(($(wc -l <" + kAll + ") > " + std::to_string(cut * 60) + "))", 60s));
    box().crash();
    box().boot();
    ASSERT_TRUE(connected());
  }
  // Of each PUBACK the topic that its packet identifier had last.
  box().write(
      "/root/acknowledged.awk",
      "/Sending PUBLISH to fastmqttd/ { match($0, /m[0-9]+/); id = substr($0, RSTART + 1, "
      "RLENGTH - 1); match($0, /'n\\/[^']*'/); topic[id] = substr($0, RSTART + 1, RLENGTH - 2) }\n"
      "/Received PUBACK from fastmqttd/ { match($0, /Mid: [0-9]+/); print topic[substr($0, "
      "RSTART + 5, RLENGTH - 5)] }\n");
  sh("sync; journalctl --no-pager -o cat -u mosquitto | awk -f /root/acknowledged.awk | sort -u "
     ">/root/acknowledged");
  EXPECT_GT(std::stoi(sh("wc -l </root/acknowledged")), 100);
  ASSERT_TRUE(becomes("fastmqttctl status | grep -q ' 0 messages waiting'"));
  EXPECT_EQ(sh("cut -f 1 " + kAll + " | sort -u | comm -13 - /root/acknowledged"), "")
      << "acknowledged and not handled";
}

}  // namespace
}  // namespace fastmqttd::testing
