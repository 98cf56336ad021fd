#include "tests/system/system_test.hpp"

#include <unistd.h>

#include <iostream>
#include <stdexcept>

namespace fastmqttd::testing {
namespace {

namespace fs = std::filesystem;

constexpr Milliseconds kBoot = 90s;

std::string new_name() {
  static int count = 0;
  return "test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

Finished box_command(std::vector<std::string> arguments, Milliseconds within,
                     const fs::path& input = "/dev/null") {
  arguments.insert(arguments.begin(), FASTMQTTD_SOURCE_DIR "/tests/system/box");
  return run({.argv = std::move(arguments), .input = input}, within);
}

void require(const Finished& done, const std::string& what) {
  if (done.exit == Exit{}) return;
  std::ostringstream exit;
  exit << done.exit;
  throw std::runtime_error(what + ": " + exit.str() + "\n" + done.output + done.errors);
}

}  // namespace

Box::Box(const std::string& lower) : name_(new_name()) {
  require(box_command({"up", name_, lower}, kBoot), "box up");
}

Box::~Box() { box_command({"down", name_}, kBoot); }

Finished Box::run(const std::string& command, Milliseconds within) const {
  return box_command({"exec", name_, "bash", "-c", command}, within);
}

std::string Box::sh(const std::string& command, Milliseconds within) const {
  const Finished done = run(command, within);
  require(done, command);
  return done.output;
}

bool Box::becomes(const std::string& command, Milliseconds within) const {
  const std::string loop = "end=$((SECONDS + " + std::to_string(within.count() / 1000) +
                           ")); until { " + command +
                           "; } >/dev/null 2>&1; do ((SECONDS < end)) || exit 1; sleep 0.05; done";
  return run(loop, within + kPatience).exit == Exit{};
}

void Box::write(const std::string& path, const std::string& text) const {
  const TempDir directory;
  write_file(directory / "text", text);
  require(
      box_command({"exec", name_, "bash", "-c",
                   "mkdir -p $(dirname " + path + ") && cat >" + path + " && chmod 644 " + path},
                  kPatience, directory / "text"),
      "write " + path);
}

void Box::push(const fs::path& file, const std::string& path) const {
  require(box_command({"exec", name_, "bash", "-c", "install -D -m 755 /dev/stdin " + path},
                      kPatience, file),
          "push " + path);
}

void Box::crash() { require(box_command({"crash", name_}, kBoot), "box crash"); }
void Box::boot() { require(box_command({"boot", name_}, kBoot), "box boot"); }

void SystemTest::SetUp() {
  const fs::path work = FASTMQTTD_SYSTEM_WORK;
  std::string lower = read_file(work / kind_);
  if (lower.empty()) {
    const std::string why = read_file(work / "why-not");
    if (!why.empty()) GTEST_SKIP() << why;
    FAIL() << "System.Prepare has not run: ctest -L system";
  }
  lower.erase(lower.find_last_not_of('\n') + 1);
  box_ = std::make_unique<Box>(lower);
}

void SystemTest::TearDown() {
  if (!box_ || !HasFailure()) return;
  std::cout << "---- the journal of the box ends ----\n"
            << box_->run(
                       "journalctl --no-pager -o short-precise -n 80; systemctl status --no-pager "
                       "-n 0 fastmqttd")
                   .output;
}

void SystemTest::start_broker(const std::string& settings) {
  box().write("/etc/mosquitto/mosquitto.conf",
              "listener 1883 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
              "log_dest stderr\nlog_type all\n" +
                  settings);
  box().write("/etc/systemd/system/mosquitto.service.d/test.conf",
              "[Service]\nLogRateLimitIntervalSec=0\n");
  sh("systemctl daemon-reload && systemctl restart mosquitto");
}

void SystemTest::add_plugins(const std::vector<std::string>& names) {
  for (const std::string& name : names)
    box().push(fs::path(FASTMQTTD_TESTS_HANDLERS) / (name + ".so"),
               "/usr/local/lib/fastmqttd/handlers/" + name + ".so");
}

void SystemTest::configure(const std::string& yaml, bool restart) {
  box().write("/etc/fastmqttd/conf.d/50-test.yaml", yaml);
  if (restart) sh("systemctl restart fastmqttd");
}

void SystemTest::drop_in(const std::string& directives, const std::string& unit) {
  box().write("/etc/systemd/system/" + unit + ".service.d/test.conf", "[Service]\n" + directives);
  sh("systemctl daemon-reload");
}

std::string SystemTest::show(const std::string& property, const std::string& unit) {
  std::string value = sh("systemctl show --value -p " + property + " " + unit);
  value.erase(value.find_last_not_of('\n') + 1);
  return value;
}

std::string SystemTest::journal(const std::string& arguments) {
  return sh("journalctl --no-pager -b -o cat -u fastmqttd " + arguments);
}

void SystemTest::publish(const std::string& topic, const std::string& payload) {
  sh("mosquitto_pub -q 1 -t '" + topic + "' -m '" + payload + "'");
}

}  // namespace fastmqttd::testing
