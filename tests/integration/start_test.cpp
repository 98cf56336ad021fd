// What the command line, the configuration and the plugins make of a start: its exit status, and a
// report of all that is wrong at once.
#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kUsage = 64;
constexpr int kUnsafe = 77;
constexpr int kConfig = 78;

::testing::AssertionResult has_line(const std::string& text, const std::string& pattern) {
  if (any_line_matches(text, pattern)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "no line matches " << pattern << " in:\n" << text;
}

// The broker is started by few: what is wrong shows before anything connects.
class Start : public IntegrationTest {
 protected:
  Finished check() const { return daemon_.run({"--check"}); }
  static Finished plain_run(const std::vector<std::string>& arguments) {
    Command command{.argv = {built_daemon()}};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    return testing::run(command);
  }
};

TEST_F(Start, VersionAndHelp) {
  const Finished version = plain_run({"--version"});
  EXPECT_EQ(version.exit, Exit{});
  EXPECT_TRUE(has_line(version.output, "fastmqttd.*[0-9]+\\.[0-9]+"));
  EXPECT_THAT(version.errors, IsEmpty());
  const Finished help = plain_run({"--help"});
  EXPECT_EQ(help.exit, Exit{});
  for (const char* option : {"--config", "--check", "--print-config", "--version", "--help"})
    EXPECT_THAT(help.output, HasSubstr(option));
}

TEST_F(Start, UnknownOptionIsAUsageError) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--frobnicate"}, {"--config"}, {"stray"}}) {
    const Finished done = plain_run(arguments);
    EXPECT_EQ(done.exit, Exit{.status = kUsage}) << arguments[0];
    EXPECT_THAT(done.errors, Not(IsEmpty())) << arguments[0];
  }
}

TEST_F(Start, MissingConfigFile) {
  for (const char* mode : {"--check", "--print-config"}) {
    const Finished done = daemon_.run({mode});
    EXPECT_EQ(done.exit, Exit{.status = kConfig});
    EXPECT_THAT(done.errors, HasSubstr(daemon_.config_file().string()));
  }
  daemon_.start();
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = kConfig});
  EXPECT_THAT(daemon_.log(), HasSubstr(daemon_.config_file().string()));
}

TEST_F(Start, EveryProblemOfAConfigFileIsReported) {
  daemon_.configure(
      "mqtt:\n"
      "  hots: localhost\n"
      "  port: 99999\n"
      "  keepalive: often\n"
      "handlers:\n"
      "  a:\n"
      "    plugin: recorder\n"
      "    subscribe: [a/#/b]\n"
      "    colour: red\n"
      "    queue: {messages: none}\n");
  daemon_.start();
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = kConfig});
  const std::string file = daemon_.config_file().string();
  const std::string log = daemon_.log();
  EXPECT_TRUE(has_line(log, file + ":2:3: .*hots.*host"));
  EXPECT_TRUE(has_line(log, file + ":3:9: .*port.*65535"));
  EXPECT_TRUE(has_line(log, file + ":4:14: .*keepalive"));
  EXPECT_TRUE(has_line(log, file + ":8:17: .*a/#/b"));
  EXPECT_TRUE(has_line(log, file + ":9:5: .*colour"));
  EXPECT_TRUE(has_line(log, file + ":10:23: .*messages"));
  EXPECT_EQ(daemon_.notify().count("READY=1"), 0);
}

TEST_F(Start, BrokenYamlNamesThePlace) {
  daemon_.write_config("mqtt:\n  host: [a, b\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, daemon_.config_file().string() + ":[0-9]+:[0-9]+: "));
}

TEST_F(Start, PartsOfTheConfigAreMerged) {
  configure(recorder("all", "a/#"));
  std::filesystem::create_directory(daemon_.file("conf.d"));
  set_mode(daemon_.file("conf.d"), 0755);
  write_file(daemon_.file("conf.d/10-first.yaml"), "mqtt: {keepalive: 11}\n");
  write_file(daemon_.file("conf.d/20-second.yaml"), "mqtt: {keepalive: 22}\n");
  EXPECT_TRUE(has_line(daemon_.run({"--print-config"}).output, "keepalive: 22"));
  write_file(daemon_.file("conf.d/30-bad.yaml"), "mqtt:\n  keepaliev: 1\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, "30-bad\\.yaml:2:3: .*keepaliev.*keepalive"));
}

TEST_F(Start, CheckOfAGoodConfig) {
  configure(recorder("all", "a/#"));
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_FALSE(std::filesystem::exists(daemon_.file("all.records")));
}

// ---- plugins -----------------------------------------------------------------------------------

struct BadPlugin {
  const char* name;
  const char* reason;  // in the report
};
void PrintTo(const BadPlugin& plugin, std::ostream* out) { *out << plugin.name; }

// create_fails is not among them: it is loaded, and fails when a handler is to run.
constexpr BadPlugin kBadPlugins[] = {{"no_symbol", "fastmqtt_handler_v1"},
                                     {"short_struct", "size"},
                                     {"bad_name", "name"},
                                     {"null_create", "create"},
                                     {"bad_filter", "a/#/b"},
                                     {"unknown_flag", "flags 0x20000"},
                                     {"unresolved", "undefined symbol: no_such_function"},
                                     {"constructor_exits", "ends the process, with status 3"},
                                     {"constructor_crashes", "its constructor "},
                                     {"constructor_throws", "no licence found"}};

class BadPlugins : public Start, public ::testing::WithParamInterface<BadPlugin> {};
INSTANTIATE_TEST_SUITE_P(All, BadPlugins, ::testing::ValuesIn(kBadPlugins),
                         [](const ::testing::TestParamInfo<BadPlugin>& plugin) {
                           return std::string(plugin.param.name);
                         });

TEST_P(BadPlugins, IsRefused) {
  daemon_.add_plugin(GetParam().name);
  daemon_.configure("");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(
      has_line(done.errors, std::string(GetParam().name) + "\\.so: .*" + GetParam().reason));
}

TEST_F(Start, EveryProblemOfEveryPluginIsReported) {
  for (const BadPlugin& plugin : kBadPlugins) daemon_.add_plugin(plugin.name);
  write_file(daemon_.plugin_directory() / "text.so", "#!/bin/sh\n");
  write_file(daemon_.plugin_directory() / "empty.so", "");
  daemon_.add_plugin("recorder", "writable.so");
  set_mode(daemon_.plugin_directory() / "writable.so", 0777);
  std::filesystem::create_symlink(built_handler("recorder"),
                                  daemon_.plugin_directory() / "link.so");
  std::filesystem::create_directory(daemon_.plugin_directory() / "directory.so");
  daemon_.configure("");
  for (const Finished& done : {check(), daemon_.run({})}) {
    EXPECT_EQ(done.exit, Exit{.status = kConfig});
    for (const BadPlugin& plugin : kBadPlugins)
      EXPECT_TRUE(has_line(done.errors, std::string(plugin.name) + "\\.so: .*" + plugin.reason));
    EXPECT_TRUE(has_line(done.errors, "text\\.so: .*ELF"));
    EXPECT_TRUE(has_line(done.errors, "empty\\.so: .*ELF"));
    EXPECT_TRUE(has_line(done.errors, "writable\\.so: .*writ"));
    EXPECT_TRUE(has_line(done.errors, "link\\.so: .*link"));
    EXPECT_TRUE(has_line(done.errors, "directory\\.so: .*regular"));
  }
}

TEST_F(Start, ProblemsOfConfigAndPluginsAreInOneReport) {
  for (const BadPlugin& plugin : kBadPlugins) daemon_.add_plugin(plugin.name);
  daemon_.configure("mqtt: {prot: 1}\nhandlers: {h: {worker: 2}}\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, "mqtt.prot: unknown key"));
  EXPECT_TRUE(has_line(done.errors, "handlers.h.worker: unknown key"));
  for (const BadPlugin& plugin : kBadPlugins)
    EXPECT_TRUE(has_line(done.errors, std::string(plugin.name) + "\\.so: .*" + plugin.reason));
}

// Of the configuration, of the plugins, of a handler that cannot be made, of the machine.
TEST_F(Start, WhatIsWrongElsewhereDoesNotHideAHandlersTrouble) {
  daemon_.add_plugin("create_fails");
  write_file(daemon_.plugin_directory() / "text.so", "#!/bin/sh\n");
  daemon_.configure(
      "mqtt: {prot: 1}\n"
      "control: {socket: /nowhere/control.sock}\n"
      "handlers:\n"
      "  paint: {plugin: create_fails, subscribe: [a], options: {colour: octarine}}\n"
      "  wrong: {plugin: create_fails, subscribe: [a], options: {colour: red}, qeue: {}}\n"
      "  lost: {plugin: nowhere, subscribe: [a]}\n");
  const auto expect_all = [](const std::string& report) {
    EXPECT_TRUE(has_line(report, "mqtt.prot: unknown key"));
    EXPECT_TRUE(has_line(report, "text.so"));
    EXPECT_TRUE(has_line(report, "handlers.lost.plugin"));
    // What it is to do is not clear: its mistake alone is said.
    EXPECT_TRUE(has_line(report, "handlers.wrong.qeue: unknown key"));
    EXPECT_FALSE(has_line(report, "handlers.wrong.options"));
  };
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  expect_all(done.errors);
  EXPECT_TRUE(has_line(done.errors, "control.socket: /nowhere/control.sock"));
  EXPECT_TRUE(has_line(done.errors, "handlers.paint.options.colour: .*octarine"));
  // A start makes no handlers then.
  daemon_.start();
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = kConfig});
  expect_all(daemon_.log());
}

// Of a file that was not read nobody knows what it would have changed.
TEST_F(Start, HandlersAreNotJudgedByHalfOfTheConfig) {
  daemon_.add_plugin("create_fails");
  daemon_.configure(
      "control: {socket: /nowhere/control.sock}\nspool: {directory: /nowhere/spool}\n"
      "mqtt: {ssl: {ca_file: /nowhere/ca.pem}}\n"
      "handlers:\n  paint: {plugin: create_fails, subscribe: [a], options: {colour: octarine}}\n");
  std::filesystem::create_directory(daemon_.file("conf.d"));
  set_mode(daemon_.file("conf.d"), 0755);
  write_file(daemon_.file("conf.d/10-broken.yaml"), "handlers: {paint: [\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, "10-broken.yaml"));
  EXPECT_FALSE(has_line(done.errors, "octarine|nowhere")) << done.errors;
}

// A file of the configuration may have the name of a plugin.
TEST_F(Start, APluginThatIsMissingIsNotHiddenByAFileOfItsName) {
  configure("  first: {plugin: archive, subscribe: [a]}\n");
  std::filesystem::create_directory(daemon_.file("conf.d"));
  set_mode(daemon_.file("conf.d"), 0755);
  write_file(daemon_.file("conf.d/archive.yaml"), "http: {lisen: 1}\n");
  const Finished done = check();
  EXPECT_TRUE(has_line(done.errors, "archive.yaml:1:8: http.lisen"));
  EXPECT_TRUE(has_line(done.errors, "handlers.first.plugin: there is no plugin 'archive'"));
}

// Nothing in the configuration but the broker; after it was dropped in, a restart.
TEST_F(Start, ADroppedInPluginRunsAfterARestart) {
  broker_.start();
  daemon_.configure(daemon_.mqtt_section(broker_));
  daemon_.start_ready();
  EXPECT_EQ(daemon_.stop(), Exit{});
  daemon_.add_plugin("actor");
  daemon_.start_ready();
  await_subscriptions({"act/#"});
  const Subscriber subscriber(broker_, "out");
  publish(broker_, "act/now", "echo hello");
  EXPECT_EQ(subscriber.wait_for("out"), "hello");
}

TEST_F(Start, PluginsThatWaitForAnEntryAreNamed) {
  broker_.start();
  daemon_.add_plugin("recorder");
  daemon_.add_plugin("actor");
  daemon_.configure(daemon_.mqtt_section(broker_));
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_TRUE(has_line(done.output, "good: 1 handler$"));
  EXPECT_TRUE(has_line(done.output, "run once an entry under 'handlers' names them: recorder$"));
  daemon_.start_ready();
  await_log("run once an entry under 'handlers' names them: recorder");
}

TEST_F(Start, TwoPluginsOfOneName) {
  daemon_.add_plugin("recorder");
  daemon_.add_plugin("recorder", "twin.so");
  daemon_.configure("");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, "twin\\.so: .*recorder"));
}

TEST_F(Start, FilesThatAreNoPluginsAreLeftAlone) {
  write_file(daemon_.plugin_directory() / "README", "hello");
  write_file(daemon_.plugin_directory() / "old.so.bak", "hello");
  configure(recorder("all", "a/#"));
  EXPECT_EQ(check().exit, Exit{}) << check().errors;
}

TEST_F(Start, HandlerThatCannotBeCreated) {
  daemon_.add_plugin("create_fails");
  configure(
      "  paint:\n"
      "    plugin: create_fails\n"
      "    subscribe: [a]\n"
      "    options:\n"
      "      colour: octarine\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors,
                       "fastmqttd\\.yaml:12:15: .*colour.*octarine.*"
                       "a colour that does not exist"));
}

TEST_F(Start, HandlerOfAPluginThatDoesNotExist) {
  configure(
      "  first:\n"
      "    plugin: recordre\n"
      "    subscribe: [a]\n"
      "  second:\n"
      "    plugin: thing\n"
      "    subscribe: [a]\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, "fastmqttd\\.yaml:[0-9]+:.*recordre.*recorder"));
  EXPECT_TRUE(has_line(done.errors, "fastmqttd\\.yaml:[0-9]+:.*thing"));
}

TEST_F(Start, HandlerWithoutTopics) {
  configure("  recorder:\n    options: {file: /dev/null}\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, "fastmqttd\\.yaml:[0-9]+:.*recorder.*(subscribe|topic)"));
}

TEST_F(Start, UnknownOptionOfAHandler) {
  configure(
      "  all:\n"
      "    plugin: recorder\n"
      "    subscribe: [a]\n"
      "    options:\n"
      "      file: /dev/null\n"
      "      delay_sm: 7\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, "fastmqttd\\.yaml:13:[0-9]+: .*delay_sm.*delay_ms"));
}

TEST_F(Start, BadOptionOfAHandler) {
  configure(
      "  all:\n"
      "    plugin: recorder\n"
      "    subscribe: [a]\n"
      "    options:\n"
      "      file: /dev/null\n"
      "      delay_ms: soon\n"
      "      answer: maybe\n");
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kConfig});
  EXPECT_TRUE(has_line(done.errors, "fastmqttd\\.yaml:13:17: .*delay_ms.*soon.*whole number"));
  EXPECT_TRUE(has_line(done.errors, "fastmqttd\\.yaml:14:15: .*answer.*maybe.*retry"));
}

// ---- files that others could have changed ------------------------------------------------------

TEST_F(Start, WritablePluginIsUnsafe) {
  configure(recorder("all", "a/#"));
  for (const unsigned mode : {0757u, 0775u}) {
    set_mode(daemon_.plugin_directory() / "recorder.so", mode);
    const Finished done = check();
    EXPECT_EQ(done.exit, Exit{.status = kUnsafe}) << done.errors;
    EXPECT_TRUE(has_line(done.errors, "recorder\\.so.*writ"));
  }
}

TEST_F(Start, WritablePluginDirectoryIsUnsafe) {
  configure(recorder("all", "a/#"));
  set_mode(daemon_.plugin_directory(), 0777);
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kUnsafe}) << done.errors;
  EXPECT_TRUE(has_line(done.errors, "plugins.*writ"));
}

TEST_F(Start, WritableParentOfThePluginDirectoryIsUnsafe) {
  configure(recorder("all", "a/#"));
  set_mode(daemon_.plugin_directory().parent_path(), 0777);
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kUnsafe}) << done.errors;
}

TEST_F(Start, WritableConfigFileIsUnsafe) {
  configure(recorder("all", "a/#"));
  set_mode(daemon_.config_file(), 0666);
  const Finished done = check();
  EXPECT_EQ(done.exit, Exit{.status = kUnsafe}) << done.errors;
}

// ---- secrets -----------------------------------------------------------------------------------

TEST_F(Start, PrintConfigShowsWhatIsInForce) {
  configure(recorder("all", "a/#", "", "retry: {attempts: 3}"),
            "  keepalive: 17\n  username: joe\n  password: open sesame\n");
  const Finished done = daemon_.run({"--print-config"});
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_THAT(done.output, AllOf(HasSubstr("keepalive: 17"), HasSubstr("username: \"joe\""),
                                 HasSubstr("attempts: 3"), HasSubstr("shutdown_timeout: 20s")));
  EXPECT_THAT(done.output + done.errors, Not(HasSubstr("sesame")));
}

TEST_F(Start, PrintedConfigIsAConfig) {
  configure(recorder("all", "{topic: a/#, qos: 2}, b", "delay_ms: 3"),
            "  will_message_topic: gone\n  host: [127.0.0.1, localhost]\n");
  const Finished first = daemon_.run({"--print-config"});
  ASSERT_EQ(first.exit, Exit{}) << first.errors;
  daemon_.write_config(first.output);
  const Finished second = daemon_.run({"--print-config"});
  EXPECT_EQ(second.exit, Exit{}) << second.errors;
  EXPECT_EQ(second.output, first.output);
}

TEST_F(Start, PasswordIsNowhere) {
  broker_.add_user("joe", "open sesame");
  start(recorder("all", "a/#"), {"a/#"}, "  username: joe\n  password: open sesame\n");
  publish(broker_, "a/b", "hello", {.arguments = {"-u", "joe", "-P", "open sesame"}});
  await_records("all", 1);
  broker_.stop();
  broker_.start();
  publish(broker_, "a/b", "hello", {.arguments = {"-u", "joe", "-P", "open sesame"}});
  await_records("all", 2);
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_THAT(daemon_.log(), Not(HasSubstr("sesame")));
  EXPECT_THAT(daemon_.notify().text(), Not(HasSubstr("sesame")));
}

TEST_F(Start, PasswordFromTheEnvironment) {
  broker_.add_user("joe", "open sesame");
  daemon_.set_environment("IT_PASSWORD=open sesame");
  start(recorder("all", "a/#"), {"a/#"}, "  username: joe\n  password: ${env:IT_PASSWORD}\n");
  const Finished printed = daemon_.run({"--print-config"});
  EXPECT_THAT(printed.output, HasSubstr("${env:IT_PASSWORD}"));
  EXPECT_THAT(printed.output + printed.errors + daemon_.log(), Not(HasSubstr("sesame")));
}

}  // namespace
}  // namespace fastmqttd::testing
