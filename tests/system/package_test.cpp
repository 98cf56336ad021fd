// The packages: installed, upgraded, removed, purged, installed again.
#include "tests/system/system_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

namespace fs = std::filesystem;

constexpr Milliseconds kInstall = 120s;

const char* const kDebs = "/root/deb/*.deb";

// With the packages in /root/deb, not installed.
class Packages : public SystemTest {
 protected:
  Packages() : SystemTest("bare") {}
  void SetUp() override {
    SystemTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const fs::path& deb : debs()) box().push(deb, "/root/deb/" + deb.filename().string());
  }
  static std::vector<fs::path> debs() {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(FASTMQTTD_SOURCE_DIR "/build/deb"))
      if (entry.path().filename().string().find("dbgsym") == std::string::npos)
        all.push_back(entry.path());
    return all;
  }
  void install(const std::string& files = kDebs) {
    box().sh("apt-get install -y -q --allow-downgrades " + files, kInstall);
  }
  // The same packages with a lower version, and another configuration.
  void make_older() {
    box().sh(
        "mkdir /root/old; cd /root/old; for deb in /root/deb/*.deb; do"
        "  rm -rf tree; dpkg-deb -R $deb tree;"
        "  sed -i 's/^Version: .*/Version: 0.0.9/; s/(= [0-9.]*)/(= 0.0.9)/' tree/DEBIAN/control;"
        "  [ ! -e tree/etc/fastmqttd/fastmqttd.yaml ] || echo '# older' "
        ">>tree/etc/fastmqttd/fastmqttd.yaml;"
        "  dpkg-deb -b tree /root/old/$(basename $deb) >/dev/null; done; rm -rf tree",
        kInstall);
  }
};

TEST_F(Packages, AreComplete) {
  std::string names;
  for (const fs::path& deb : debs()) names += deb.filename().string() + "\n";
  for (const char* name : {"fastmqttd_", "fastmqttd-handlers_", "libfastmqtt-handler-dev_"})
    EXPECT_THAT(names, HasSubstr(name));
}

TEST_F(Packages, InstallARunningService) {
  install();
  EXPECT_EQ(show("ActiveState"), "active");
  EXPECT_EQ(sh("systemctl is-enabled fastmqttd"), "enabled\n");
  EXPECT_EQ(sh("ps -o user= -C fastmqttd"), "fastmqttd\n");
  EXPECT_EQ(sh("stat -c '%U %G %a' /etc/fastmqttd/credentials"), "root root 700\n");
  EXPECT_EQ(sh("stat -c '%U %G %a' /var/lib/fastmqttd"), "fastmqttd fastmqttd 750\n");
  EXPECT_EQ(sh("stat -c '%U %G %a' /run/fastmqttd/control.sock"), "fastmqttd fastmqttd 660\n");
  EXPECT_EQ(sh("stat -c '%U %G %a' /usr/local/lib/fastmqttd/handlers"), "root root 755\n");
  EXPECT_THAT(sh("fastmqttctl status"), HasSubstr("localhost:1883"));
  EXPECT_THAT(sh("fastmqttd --check"), HasSubstr("good"));
  // Not as root: what only root may do is none of the daemon's.
  configure("spool: {directory: /root/spool}\n", /*restart=*/false);
  EXPECT_THAT(box().run("fastmqttd --check").errors,
              HasSubstr("/root/spool: spool.directory: cannot"));
  sh("rm /etc/fastmqttd/conf.d/50-test.yaml");
  EXPECT_THAT(sh("journalctl --no-pager -x -u fastmqttd"),
              HasSubstr("The MQTT broker cannot be reached"));
  EXPECT_THAT(sh("dpkg-query -W -f '${Conffiles}' fastmqttd"),
              HasSubstr("/etc/fastmqttd/fastmqttd.yaml"));
  for (const char* page : {"1/fastmqttctl.1", "5/fastmqttd.yaml.5", "7/fastmqttd-control.7",
                           "7/fastmqtt-handler.7", "8/fastmqttd.8"})
    sh(std::string("dpkg -S /usr/share/man/man") + page + ".gz");
}

TEST_F(Packages, KeepWhatIsTheSitesUntilTheyArePurged) {
  install();
  add_plugins({"recorder"});
  sh("sed -i '1i # mine' /etc/fastmqttd/fastmqttd.yaml; echo s >/etc/fastmqttd/credentials/mqtt");
  configure("mqtt: {keepalive: 61}\n");
  box().write("/etc/fastmqttd/one.yaml", "mqtt: {host: localhost}\n");
  sh("systemctl enable -q --now fastmqttd@one");
  sh("apt-get remove -y -q fastmqttd");
  EXPECT_EQ(box().run("pgrep -x fastmqttd").exit, Exit{.status = 1});
  sh("ls /var/lib/fastmqttd/spool.db /usr/local/lib/fastmqttd/handlers/recorder.so "
     "/etc/fastmqttd/credentials/mqtt /etc/fastmqttd/conf.d/50-test.yaml");
  EXPECT_THAT(sh("cat /etc/fastmqttd/fastmqttd.yaml"), HasSubstr("# mine"));

  install();
  EXPECT_EQ(show("ActiveState"), "active");
  EXPECT_EQ(show("ActiveState", "fastmqttd@one"), "active");
  EXPECT_THAT(sh("cat /etc/fastmqttd/fastmqttd.yaml"), HasSubstr("# mine"));
  EXPECT_THAT(sh("fastmqttd --print-config"), HasSubstr("keepalive: 61"));

  sh("apt-get purge -y -q fastmqttd fastmqttd-handlers libfastmqtt-handler-dev");
  EXPECT_EQ(sh("ls -d /var/lib/fastmqttd /etc/fastmqttd /run/fastmqttd 2>/dev/null || true"), "");
  sh("ls /usr/local/lib/fastmqttd/handlers/recorder.so");
  EXPECT_EQ(
      sh("find / -xdev -name '*fastmqtt*' -not -path '/root/*' -not -path '/proc/*' -not -path "
         "'/usr/local/*' -not -path '/var/lib/systemd/*' -not -path '/var/log/*'"),
      "");
  EXPECT_EQ(sh("systemctl --failed --no-legend"), "");
}

// From the version before, while messages come, and without a question: the site's own
// configuration is in conf.d.
TEST_F(Packages, UpgradeUnderTrafficLosesNothing) {
  make_older();
  install("/root/old/*.deb");
  ASSERT_EQ(sh("dpkg-query -W -f '${Version}' fastmqttd"), "0.0.9");
  start_broker();
  add_plugins({"recorder"});
  ASSERT_THAT(sh("cat /etc/fastmqttd/fastmqttd.yaml"), HasSubstr("# older"));
  configure(
      "handlers:\n  all:\n    plugin: recorder\n    subscribe: n/#\n"
      "    options: {file: /var/lib/fastmqttd/all, delay_ms: 1}\n");
  ASSERT_TRUE(connected());
  sh("(for i in $(seq 2000); do echo $i; sleep 0.003; done | mosquitto_pub -q 1 -t n/1 -l; "
     "touch /root/sent) >/dev/null 2>&1 &");
  ASSERT_TRUE(becomes("(($(wc -l </var/lib/fastmqttd/all) > 100))"));
  const std::string before = show("MainPID");
  install();
  EXPECT_EQ(sh("dpkg-query -W -f '${Version}' fastmqttd | grep -v '^0\\.0'").empty(), false);
  EXPECT_NE(show("MainPID"), before) << "it has not been restarted";
  EXPECT_EQ(box().run("test -e /root/sent").exit, Exit{.status = 1}) << "nothing came meanwhile";
  ASSERT_TRUE(becomes("test -e /root/sent"));
  EXPECT_TRUE(becomes("cut -f 6 /var/lib/fastmqttd/all | sort -u | wc -l | grep -qx 2000"))
      << sh("wc -l /var/lib/fastmqttd/all; fastmqttctl status");
  EXPECT_THAT(sh("cat /etc/fastmqttd/fastmqttd.yaml"), Not(HasSubstr("# older")));
}

// An instance goes on with the new version too, and one that is stopped stays so.
TEST_F(Packages, UpgradeRestartsInstances) {
  make_older();
  install("/root/old/*.deb");
  for (const char* name : {"one", "two"})
    box().write(std::string("/etc/fastmqttd/") + name + ".yaml", "mqtt: {host: localhost}\n");
  sh("systemctl start fastmqttd@one");
  const std::string before = show("MainPID", "fastmqttd@one");
  install();
  EXPECT_EQ(show("ActiveState", "fastmqttd@one"), "active");
  EXPECT_NE(show("MainPID", "fastmqttd@one"), before);
  EXPECT_EQ(show("ActiveState", "fastmqttd@two"), "inactive");
}

// What README says about it, as it stands there.
TEST_F(Packages, AreInstalledAsReadmeSays) {
  const std::string readme = read_file(FASTMQTTD_SOURCE_DIR "/README.md");
  const auto section = readme.find("## Install it as a service");
  ASSERT_NE(section, readme.npos);
  const auto begin = readme.find("```sh\n", section) + 6, end = readme.find("```", begin);
  const std::vector<std::string> lines = lines_of(readme.substr(begin, end - begin));
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines[0].substr(0, 20), "packaging/build-deb ") << "the packages are built by Prepare";
  // The packages lie where the build leaves them, and editors are not for tests.
  sh("mkdir -p /root/tree/build; ln -s /root/deb /root/tree/build/deb");
  std::string script = "set -e; cd /root/tree; export SUDO_EDITOR=true EDITOR=true MANPAGER=cat\n";
  for (std::size_t i = 1; i < lines.size(); ++i) script += lines[i] + "\n";
  box().sh(script, kInstall);
  EXPECT_EQ(show("ActiveState"), "active");
}

class Installed : public SystemTest {};

TEST_F(Installed, PassesItsOwnSmokeTest) {
  box().push(FASTMQTTD_SOURCE_DIR "/packaging/debian/tests/smoke", "/root/smoke");
  const Finished done = box().run("/root/smoke", 60s);
  EXPECT_EQ(done.exit, Exit{}) << done.output << done.errors;
  EXPECT_EQ(done.errors, "") << "autopkgtest takes that for a failure";
}

TEST_F(Installed, BuildsHandlersWithTheDevPackage) {
  box().push(FASTMQTTD_SOURCE_DIR "/packaging/debian/tests/handler", "/root/handler");
  const Finished done = box().run("/root/handler", 180s);
  EXPECT_EQ(done.exit, Exit{}) << done.output << done.errors;
}

// The default score, with what is left said in the man page; and the one with a drop-in.
TEST_F(Installed, IsHardened) {
  const auto score = [this] {
    const std::string text =
        sh("systemd-analyze security --no-pager fastmqttd.service | tail -n 1");
    const auto at = text.find("fastmqttd.service: ");
    return at == text.npos ? 99 : std::stod(text.substr(at + 19));
  };
  EXPECT_LE(score(), 1.1);
  sh("install -D -m 644 /usr/share/doc/fastmqttd/drop-ins/localhost-only.conf "
     "/etc/systemd/system/fastmqttd.service.d/localhost-only.conf; systemctl daemon-reload");
  EXPECT_LE(score(), 0.9);
}

TEST_F(Installed, NothingInTheUnitsIsUnknown) {
  sh("touch /etc/fastmqttd/x.yaml");
  for (const char* unit : {"fastmqttd.service", "fastmqttd@x.service"}) {
    const Finished done = box().run(std::string("systemd-analyze verify --man=no ") + unit);
    EXPECT_EQ(done.exit, Exit{});
    EXPECT_THAT(done.errors, Not(HasSubstr("fastmqttd"))) << done.errors;
  }
}

}  // namespace
}  // namespace fastmqttd::testing
