// What a handler may not do in the unit as it is shipped, and the drop-in that allows it.
#include <algorithm>
#include <map>

#include "tests/system/system_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

namespace fs = std::filesystem;

// A command that a handler runs.
struct Deed {
  const char* drop_in;  // without .conf
  const char* prepare;  // by root, before
  const char* command;
  bool allowed_by_default = false;
  bool allowed_then = true;
};

const std::vector<Deed> kDeeds = {
    {"write-elsewhere", "install -d -o fastmqttd /srv/measurements", "touch /srv/measurements/x"},
    {"home",
     "useradd -m op; echo 'echo hello' >/home/op/script; chmod 755 /home/op /home/op/script",
     "sh /home/op/script"},
    {"zz-other-user",
     "useradd op; echo 'fastmqttd ALL=(op) NOPASSWD: /usr/bin/id' >/etc/sudoers.d/op",
     "test \"$(sudo -n -u op id -un)\" = op"},
    {"jit",
     "echo '#include <sys/mman.h>\nint main() { return mmap(0, 4096, PROT_READ | PROT_WRITE | "
     "PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED; }' | "
     "gcc -x c - -o /usr/local/bin/compiles",
     "compiles"},
    {"nice", "true", "taskset 1 true && chrt --idle 0 true"},
    {"system-figures", "true", "free >/dev/null && uptime >/dev/null"},
    {"serial-port", "ln -s null /dev/ttyUSB0", "echo >/dev/ttyUSB0 && id -Gn | grep -qw dialout"},
    {"gpio", "groupadd gpio; ln -s null /dev/gpiochip0",
     "echo >/dev/gpiochip0 && id -Gn | grep -qw gpio"},
    {"localhost-only", "true", "timeout 3 bash -c 'exec 3<>/dev/tcp/192.0.2.1/1883'", true, false},
};

void PrintTo(const Deed& deed, std::ostream* out) { *out << deed.command; }

class Sandbox : public SystemTest {
 protected:
  void SetUp() override {
    SystemTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    add_plugins({"prober"});
    // An address that is another machine's, as far as the sandbox can tell.
    sh("ip address add 192.0.2.1/32 dev lo");
    start_broker("listener 1883 192.0.2.1\n");
  }
  // What a handler's command comes to: "STATUS OUTPUT".
  std::string deed(const std::string& command) {
    box().write("/root/command", command);
    const std::string asker = "asker-" + std::to_string(++asked_);
    return sh("mosquitto_sub -i " + asker +
              " -C 1 -W 15 -q 1 -t 'answers/+' -F %p >/root/answer & "
              "until journalctl -b -o cat -u mosquitto | grep -q 'Sending SUBACK to " +
              asker +
              "'; do sleep 0.05; done; mosquitto_pub -q 1 -t ask/1 -f /root/command; wait; "
              "cat /root/answer");
  }

 private:
  int asked_ = 0;
};

class SandboxDeed : public Sandbox, public ::testing::WithParamInterface<Deed> {};
INSTANTIATE_TEST_SUITE_P(DropIns, SandboxDeed, ::testing::ValuesIn(kDeeds),
                         [](const ::testing::TestParamInfo<Deed>& deed) {
                           std::string name = deed.param.drop_in;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST_P(SandboxDeed, IsWhatTheDropInChanges) {
  const Deed& d = GetParam();
  sh(d.prepare);
  configure("mqtt: {keepalive: 60}\n");
  ASSERT_TRUE(connected());
  const auto expect = [&](bool allowed) {
    const std::string answer = deed(d.command);
    EXPECT_EQ(answer.starts_with("0 "), allowed) << answer;
  };
  expect(d.allowed_by_default);
  sh(std::string("install -D -m 644 /usr/share/doc/fastmqttd/drop-ins/") + d.drop_in +
     ".conf /etc/systemd/system/fastmqttd.service.d/x.conf; systemctl daemon-reload; "
     "systemctl restart fastmqttd");
  ASSERT_TRUE(connected());
  expect(d.allowed_then);
}

TEST_F(Sandbox, LeavesRoomForWhatHandlersDo) {
  configure("mqtt: {keepalive: 60}\n");
  ASSERT_TRUE(connected());
  for (const char* command :
       {"echo x >/var/lib/fastmqttd/x && cat /var/lib/fastmqttd/x", "mktemp",
        "getent hosts localhost", "perl -e 'print 1 + 1'", "sh -c 'echo a | sort | wc -l'",
        "cat /etc/hostname", "date +%Z", "kill -0 $$", "bash -c 'exec 3<>/dev/tcp/127.0.0.1/1883'"})
    EXPECT_THAT(deed(command), StartsWith("0 ")) << command;
  // What the user might do, but for the sandbox.
  sh("install -d -m 777 /etc/open /usr/local/open /home/open");
  for (const std::string command :
       {"touch /etc/open/x", "touch /usr/local/open/x", "touch /home/open/x", "unshare --user true",
        "free", "taskset 1 true"}) {
    sh("runuser -u fastmqttd -- sh -c '" + command + "'");
    EXPECT_EQ(deed(command).starts_with("0 "), false) << command;
  }
}

// Those that come with the daemon, as they are installed.
TEST_F(Sandbox, LeavesTheShippedHandlersTheirWork) {
  configure(
      "handlers:\n  everything: {plugin: log, subscribe: 'x/#'}\n"
      "  each:\n    plugin: exec\n    subscribe: x/1\n    options:\n"
      "      command: [sh, -c, 'cat >\"$1\"', sh, '/var/lib/fastmqttd/{topic.2}']\n"
      "  one:\n    plugin: exec\n    subscribe: x/2\n    options:\n"
      "      command: [sh, -c, 'while read -r line; do echo \"$line\" >/var/lib/fastmqttd/2; "
      "id=$(echo "
      "\"$line\" | cut -d : -f 2 | cut -d , -f 1); echo \"{\\\"id\\\":$id}\"; done']\n"
      "      persistent: true\n");
  ASSERT_TRUE(connected());
  publish("x/1", "first");
  publish("x/2", "second");
  EXPECT_TRUE(becomes("grep -qx first /var/lib/fastmqttd/1"));
  EXPECT_TRUE(becomes("grep -q second /var/lib/fastmqttd/2"));
  EXPECT_TRUE(becomes(
      "journalctl -b -u fastmqttd MQTT_TOPIC=x/2 MQTT_HANDLER=everything | grep -q second"));
  EXPECT_TRUE(becomes("fastmqttctl status | grep -q ' 0 messages waiting'"));
}

TEST_F(Sandbox, LeavesTheFurtherHandlersTheirWork) {
  sh("printf 'function on_message(m) mqtt.publish(\"y/lua\", m.payload:upper()) end' >/etc/x.lua");
  configure(
      "handlers:\n"
      "  archive: {plugin: file, subscribe: 'x/#', options: "
      "{path: '/var/lib/fastmqttd/{topic.2}.jsonl', rotate: {size: 1KiB, compress: true}}}\n"
      "  rows: {plugin: sqlite, subscribe: 'y/#', options: "
      "{file: /var/lib/fastmqttd/rows.db, table: t}}\n"
      "  script: {plugin: lua, subscribe: 'x/#', options: {script: /etc/x.lua}}\n"
      "  again: {plugin: republish, subscribe: 'y/lua', options: {topic: 'y/again'}}\n"
      // Nobody is there: they say so, and keep what they are given.
      "  web: {plugin: webhook, subscribe: z/web, options: {url: 'http://localhost:9/'}}\n"
      "  server: {plugin: postgres, subscribe: z/sql, options: "
      "{connection: 'host=localhost port=9', table: t}}\n"
      "  bridge: {plugin: republish, subscribe: z/bridge, options: "
      "{topic: '{topic}', broker: {host: localhost, port: 9}}}\n");
  ASSERT_TRUE(connected());
  publish("x/1", "shout");
  EXPECT_TRUE(becomes("grep -q shout /var/lib/fastmqttd/1.jsonl"));
  EXPECT_TRUE(becomes("grep -q y/again /var/lib/fastmqttd/rows.db*"));
  EXPECT_TRUE(becomes("grep -q SHOUT /var/lib/fastmqttd/rows.db*"));
  for (const auto& [handler, topic] :
       {std::pair("web", "z/web"), std::pair("server", "z/sql"), std::pair("bridge", "z/bridge")}) {
    publish(topic, "x");
    EXPECT_TRUE(becomes(std::string("journalctl -b -u fastmqttd MQTT_HANDLER=") + handler +
                        " | grep -qiE 'refused|connect to'"))
        << handler;
  }
  EXPECT_TRUE(becomes("fastmqttctl status | grep -q ' 3 messages waiting'"));
}

// Neither a drop-in that nobody has tried, nor one that the man page does not know.
TEST(DropIns, AreAllTriedAndDocumented) {
  const std::string man = read_file(FASTMQTTD_SOURCE_DIR "/packaging/man/fastmqttd.8");
  for (const auto& entry : fs::directory_iterator(FASTMQTTD_SOURCE_DIR "/systemd/drop-ins")) {
    const std::string name = entry.path().stem();
    std::string written = name;
    for (std::size_t at = 0; (at = written.find('-', at)) != written.npos; at += 2)
      written.replace(at, 1, "\\-");
    EXPECT_THAT(man, HasSubstr(written + ".conf"));
    // In service_test; for systemd 253; a matter of minutes.
    if (name == "dynamic-user" || name == "notify-reload" || name == "never-give-up") continue;
    EXPECT_TRUE(std::ranges::any_of(kDeeds, [&](const Deed& d) { return name == d.drop_in; }))
        << name;
  }
}

}  // namespace
}  // namespace fastmqttd::testing
