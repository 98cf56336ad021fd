// exec, in the daemon, with a real broker.
#include <signal.h>

#include "tests/integration/handlers_test.hpp"

namespace fastmqttd::testing {
namespace {

class Exec : public HandlersTest {
 protected:
  // The lines that commands have written, each once.
  std::size_t distinct_lines() const {
    return distinct(lines_of(read_file(daemon_.file("out")))).size();
  }
};

// A command for each message, though the daemon is killed between them.
TEST_F(Exec, LosesNothingOverKills) {
  install("exec");
  start(
      "  all:\n    plugin: exec\n    subscribe: n/#\n    retry: {delay: 1ms}\n    options:\n"
      "      command: [sh, -c, 'echo \"$MQTT_TOPIC $(cat)\" >>\"$1\"', sh, " +
          daemon_.file("out").string() + "]\n      parallel: 4\n",
      {"n/#"});
  constexpr int kMessages = 200;
  for (int i = 0; i < kMessages; ++i)
    publish(broker_, "n/" + std::to_string(i % 10), std::to_string(i), {.qos = 1});
  for (int kill = 1; kill <= 3; ++kill) {
    ASSERT_TRUE(eventually([&] { return distinct_lines() > static_cast<std::size_t>(kill) * 30; }));
    daemon_.kill();
    daemon_.start_ready();
  }
  EXPECT_TRUE(eventually([&] { return distinct_lines() == kMessages; })) << distinct_lines();
}

// What fails is tried again until it works, and a script that is not there does not start.
TEST_F(Exec, TriesAgain) {
  install("exec");
  start(
      "  all:\n    plugin: exec\n    subscribe: n\n    retry: {delay: 1ms, delay_max: 5ms}\n"
      "    options:\n      command: [test, -e, " +
          daemon_.file("there").string() + "]\n",
      {"n"});
  publish(broker_, "n", "x", {.qos = 1});
  await_log("all: n: exit status 1");
  write_file(daemon_.file("there"), "");
  EXPECT_TRUE(eventually([&] {
    return daemon_.notify().last("STATUS=").find(" 0 messages waiting") != std::string::npos;
  }));

  daemon_.configure(daemon_.mqtt_section(broker_) +
                    "handlers:\n  all:\n    plugin: exec\n    subscribe: n\n    options:\n"
                    "      command: [/no/such/script]\n");
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_TRUE(any_line_matches(done.errors,
                               "fastmqttd.yaml:[0-9]+:[0-9]+: handlers.all.options."
                               "command.0: '/no/such/script'.*no such program"))
      << done.errors;
}

// A stop, or a reload, does not leave commands behind.
TEST_F(Exec, EndsItsCommandsWithTheDaemon) {
  install("exec");
  start(
      "  all:\n    plugin: exec\n    subscribe: n\n    options:\n"
      "      command: [sh, -c, 'echo $$$$ >\"$1\"; exec sleep 1000', sh, " +
          daemon_.file("out").string() + "]\n      timeout: 20s\nshutdown_timeout: 1s\n",
      {"n"});
  publish(broker_, "n", "x", {.qos = 1});
  ASSERT_TRUE(eventually([&] { return read_file(daemon_.file("out")).ends_with('\n'); }));
  const pid_t command = std::stoi(read_file(daemon_.file("out")));
  EXPECT_EQ(::kill(command, 0), 0);
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_TRUE(eventually([&] { return ::kill(command, 0) != 0; })) << "it goes on";
}

}  // namespace
}  // namespace fastmqttd::testing
