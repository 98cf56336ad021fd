// lua, in the daemon, with a real broker and scripts.
#include <set>

#include "tests/integration/handlers_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class Lua : public HandlersTest {
 protected:
  std::string script() const { return daemon_.file("x.lua").string(); }
  void write_script(const std::string& text) const { write_file(script(), text); }
  // An entry that runs the script for in/#.
  std::string entry(const std::string& keys = "") const {
    return "  script:\n    plugin: lua\n    subscribe: in/#\n    options: {script: " + script() +
           "}\n" + keys;
  }
  std::string out() const { return recorder("out", "out/#, clean/#"); }
  void start_script(const std::string& keys = "") {
    install("lua");
    start(entry(keys) + out(), {"in/#", "out/#"});
  }
  // What the script makes of a message.
  std::string made_of(const std::string& payload) {
    const std::size_t before = records("out").size();
    publish(broker_, "in/1", payload);
    return await_records("out", before + 1).back().payload;
  }
};

// What it publishes goes to disk with the answer: after a kill there is never the one without the
// other.
TEST_F(Lua, LosesNothingOverKills) {
  write_script("function on_message(m) mqtt.publish('out/' .. m.payload, m.payload) end");
  start_script("    retry: {delay: 1ms}\n");
  constexpr int kMessages = 300;
  const auto distinct = [this] {
    std::set<std::string> all;
    for (const std::string& payload : payloads(records("out"))) all.insert(payload);
    return all.size();
  };
  for (int topic = 0; topic < 10; ++topic) {
    std::vector<std::string> numbers;
    for (int i = topic; i < kMessages; i += 10) numbers.push_back(std::to_string(i));
    publish_all(broker_, "in/" + std::to_string(topic), numbers);
    if (topic % 3 != 2) continue;
    ASSERT_TRUE(eventually([&] { return distinct() > static_cast<std::size_t>(topic) * 20; }));
    daemon_.kill();
    daemon_.start_ready();
  }
  EXPECT_TRUE(eventually([&] { return distinct() == kMessages; })) << distinct();
}

// What has no room on its way to a broker that is down waits, and is sent once; the script, which
// counts, is not asked twice.
TEST_F(Lua, WaitsForRoomWhileTheBrokerIsDown) {
  write_script("local n = 0 function on_message(m) n = n + 1 mqtt.publish('out/n', n) end");
  start_script("    queue: {messages: 5}\n    retry: {delay: 5ms, delay_max: 20ms}\n");
  EXPECT_EQ(daemon_.ctl({"pause", "script"}).exit, Exit{});
  publish_all(broker_, "in/1", numbers(30));
  ASSERT_TRUE(eventually([&] {
    return daemon_.ctl({"status"}).output.find("30") != std::string::npos;
  })) << daemon_.ctl({"status"}).output;
  broker_.stop();
  EXPECT_EQ(daemon_.ctl({"resume", "script"}).exit, Exit{});
  await_log("there is no room for what the script publishes");
  broker_.start();
  EXPECT_THAT(payloads(await_records("out", 30)), ElementsAreArray(numbers(30)));
  await_log("there is room again");
}

// A reload takes up a script that has changed, and leaves one alone that has not.
TEST_F(Lua, ReloadTakesUpAChangedScript) {
  const std::string counts =
      "local n = 0 function on_message(m) n = n + 1 mqtt.publish('out/n', VERSION .. n) end";
  write_script("VERSION = 'a'\n" + counts);
  start_script();
  EXPECT_EQ(made_of("x"), "a1");
  EXPECT_EQ(daemon_.ctl({"reload"}).output, "2 handlers, all as before\n");
  write_script("VERSION = 'a'\n" + counts);  // the same once more
  EXPECT_EQ(daemon_.ctl({"reload"}).output, "2 handlers, all as before\n");
  EXPECT_EQ(made_of("x"), "a2");

  write_script("VERSION = 'b'\n" + counts);
  EXPECT_EQ(made_of("x"), "a3") << "before the reload";
  EXPECT_EQ(daemon_.ctl({"reload"}).output, "2 handlers: 1 changed (script)\n");
  EXPECT_EQ(made_of("x"), "b1");

  write_script("VERSION = 'c'\nfunction on_message(m)\n  x = = 1\nend\n");
  const Finished refused = daemon_.ctl({"reload"});
  EXPECT_EQ(refused.exit, Exit{.status = 78});
  EXPECT_THAT(refused.errors, AllOf(HasSubstr("handlers.script.options.script: '" + script() +
                                              "' will not do: x.lua:3: unexpected symbol near '='"),
                                    HasSubstr("everything goes on as before")));
  EXPECT_EQ(made_of("x"), "b2");
  std::filesystem::remove(script());
  EXPECT_EQ(daemon_.ctl({"reload"}).exit, Exit{.status = 78});
  EXPECT_EQ(made_of("x"), "b3");
  write_script("VERSION = 'd'\n" + counts);
  EXPECT_EQ(daemon_.ctl({"reload"}).output, "2 handlers: 1 changed (script)\n");
  EXPECT_EQ(made_of("x"), "d1");
}

TEST_F(Lua, CheckNamesTheLineOfTheScript) {
  install("lua");
  write_script("function on_message(m)\nend end\n");
  daemon_.configure(daemon_.mqtt_section(broker_) + "handlers:\n" + entry());
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_TRUE(any_line_matches(done.errors,
                               "fastmqttd.yaml:[0-9]+:[0-9]+: handlers.script.options.script: "
                               ".* x.lua:2: .* near 'end'"))
      << done.errors;
}

// A script that goes wrong becomes a dead letter with its reason, and holds up nobody.
TEST_F(Lua, AScriptThatFailsMakesDeadLetters) {
  write_script(
      "function on_message(m)\n"
      "  if m.payload == 'loop' then while true do end end\n"
      "  mqtt.publish('out/1', m.payload:upper())\n"
      "  if m.payload == 'fail' then error('it is broken') end\n"
      "end\n");
  start_script("    retry: {attempts: 2, delay: 1ms}\n");
  publish(broker_, "in/1", "fail");
  publish(broker_, "in/1", "loop");
  EXPECT_EQ(made_of("good"), "GOOD");
  await_log("script: in/1: x.lua:4: it is broken .x.lua:4: in function 'on_message'");
  await_log("script: in/1: x.lua:2: the call exceeded max_instructions");
  ASSERT_TRUE(eventually([&] {
    return daemon_.notify().last("STATUS=").find(" 2 given up") != std::string::npos;
  })) << daemon_.notify().last("STATUS=");
  EXPECT_EQ(records("out").size(), 1u) << "of calls that have failed nothing is published";
}

// Filtered and transformed on the way to another handler.
TEST_F(Lua, FeedsAnotherHandlerThroughTheBroker) {
  // A copy, for the sources may be somebody else's.
  write_script(read_file(FASTMQTTD_SOURCE_DIR "/handlers/lua/examples/clean.lua"));
  start_script();
  publish(broker_, "in/hall/dht22", R"({"temp_f": 999})");
  publish(broker_, "in/hall/dht22", R"({"temp_f": 70.7})");
  const Record record = await_records("out", 1).front();
  EXPECT_EQ(record.topic, "clean/hall");
  EXPECT_THAT(record.payload, HasSubstr(R"({"celsius":21.5,"device":"dht22","time":)"));
  await_log("warning script: in/hall/dht22: not stored, the sensor seems to be broken");
}

// What a script does at a start, it does after that: a check has no effects.
TEST_F(Lua, RunsItsTimers) {
  write_script(
      "local seen = 0\n"
      "function on_message(m) seen = seen + 1 end\n"
      "timer.every(0.05, function() mqtt.publish('out/seen', seen, {qos = 0}) end)\n");
  start_script();
  await_records("out", 2);
  publish(broker_, "in/1", "x");
  await_payload("out", "1");
}

}  // namespace
}  // namespace fastmqttd::testing
