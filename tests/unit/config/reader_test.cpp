#include "daemon/config/reader.hpp"

#include <gtest/gtest.h>

#include "daemon/config/print.hpp"
#include "daemon/config/schema.hpp"
#include "tests/unit/config/temp_files.hpp"

namespace fastmqttd {
namespace {

using testing::ScopedEnv;
using testing::TempFiles;

class Reader : public ::testing::Test {
 protected:
  Config read(const std::string& text) { return read_config(files_.write("main.yaml", text)); }
  // One key of the section mqtt.
  MqttConfig mqtt(const std::string& text) { return read("mqtt: {" + text + "}").mqtt; }
  // The keys of one handler.
  HandlerConfig handler(const std::string& text) {
    return read("handlers: {h: {" + text + "}}").handlers.at(0);
  }

  TempFiles files_;
};

TEST_F(Reader, NothingGivenIsAllDefaults) {
  const std::string defaults = print_config(read(""));
  for (const char* text :
       {"# nothing", "---", "~", "{}", "mqtt:", "mqtt: ~\nhandlers:\nlog: {}",
        "mqtt:\n  host:\n  port: ~\n  version:\nplugin_directories: ~\nshutdown_timeout:",
        "log:\n  level: ~\n"})
    EXPECT_EQ(print_config(read(text)), defaults) << text;
  const Config config = read("");
  EXPECT_EQ(config.mqtt.host.at(0).value(), "localhost");
  EXPECT_EQ(config.mqtt.port, 1883);
  EXPECT_EQ(config.plugin_directories,
            (std::vector<std::string>{build::kHandlerDirectory, build::kSiteHandlerDirectory}));
  EXPECT_TRUE(config.default_plugin_directories);
}

TEST_F(Reader, TakesHosts) {
  EXPECT_EQ(mqtt("host: broker.example").host.at(0).value(), "broker.example");
  const auto hosts = mqtt("host: [a, \"::1\", 10.0.0.1]").host;
  ASSERT_EQ(hosts.size(), 3u);
  EXPECT_EQ(hosts[1].value(), "::1");
}

TEST_F(Reader, TakesEveryFormOfTheVersion) {
  for (const char* form : {"5", "\"5\"", "5.0", "'5.0'", "MQTTv50"})
    EXPECT_EQ(mqtt(std::string("version: ") + form).version, MqttVersion::v5) << form;
  for (const char* form : {"3.1.1", "MQTTv311", "4"})
    EXPECT_EQ(mqtt(std::string("version: ") + form).version, MqttVersion::v3_1_1) << form;
  for (const char* form : {"3.1", "MQTTv31", "3"})
    EXPECT_EQ(mqtt(std::string("version: ") + form).version, MqttVersion::v3_1) << form;
}

TEST_F(Reader, TakesDurationsAndSizes) {
  EXPECT_EQ(mqtt("keepalive: 90").keepalive, 90s);
  EXPECT_EQ(mqtt("keepalive: 2m").keepalive, 120s);
  EXPECT_EQ(mqtt("keepalive: 0").keepalive, 0s);
  EXPECT_EQ(mqtt("reconnect_delay: 250ms").reconnect_delay, 250ms);
  EXPECT_EQ(mqtt("reconnect_delay: 3").reconnect_delay, 3s);
  EXPECT_EQ(mqtt("reconnect_delay: '3s'").reconnect_delay, 3s);
  EXPECT_EQ(handler("queue: {size: 512KiB}").queue.size, 512u << 10);
  EXPECT_EQ(handler("queue: {size: 4096}").queue.size, 4096u);
  EXPECT_EQ(handler("retry: {max_age: 24h}").retry.max_age, 24h);
  EXPECT_EQ(read("shutdown_timeout: 0").shutdown_timeout, 0ms);
}

TEST_F(Reader, TakesTextAsItIsWritten) {
  const MqttConfig config = mqtt("username: 007, password: true, client_id: 1.0");
  EXPECT_EQ(config.username->value(), "007");
  EXPECT_EQ(config.password->value(), "true");
  EXPECT_EQ(config.client_id->value(), "1.0");
  EXPECT_EQ(mqtt("username: ''").username->value(), "");
}

TEST_F(Reader, ExpandsReferencesInText) {
  const ScopedEnv env("FASTMQTTD_TEST", "value");
  const MqttConfig config = mqtt(
      "host: '${env:FASTMQTTD_TEST}.example', username: 'a$$b', "
      "will_message_topic: 'x/${env:FASTMQTTD_TEST}'");
  EXPECT_EQ(config.host.at(0).value(), "value.example");
  EXPECT_EQ(config.host.at(0).source(), "${env:FASTMQTTD_TEST}.example");
  EXPECT_EQ(config.username->value(), "a$b");
  EXPECT_EQ(config.will_message_topic->value(), "x/value");
  const auto subscribe = *handler("subscribe: 'a/${env:FASTMQTTD_TEST}'").subscribe;
  EXPECT_EQ(subscribe.at(0).topic.text(), "a/value");
  EXPECT_EQ(read("plugin_directories: ['/opt/${env:FASTMQTTD_TEST}']").plugin_directories.at(0),
            "/opt/value");
}

TEST_F(Reader, TakesHandlersInTheirOrder) {
  const Config config = read("handlers:\n  zeta:\n  alpha: ~\n  null-2: {plugin: log}\n");
  ASSERT_EQ(config.handlers.size(), 3u);
  EXPECT_EQ(config.handlers[0].name, "zeta");
  EXPECT_EQ(config.handlers[0].plugin, "zeta");
  EXPECT_EQ(config.handlers[0].subscribe, std::nullopt);
  EXPECT_EQ(Place(config.handlers[0].place), (Place{files_.path("main.yaml"), 2, 3}));
  EXPECT_EQ(config.handlers[1].name, "alpha");
  EXPECT_EQ(config.handlers[2].plugin, "log");
}

TEST_F(Reader, TakesEveryFormOfSubscribe) {
  EXPECT_EQ(handler("subscribe: a/+").subscribe->at(0).topic.text(), "a/+");
  EXPECT_EQ(handler("subscribe: {topic: a, qos: 0}").subscribe->at(0).qos, 0);
  const auto list = *handler(
                         "subscribe: [a, {topic: '#', qos: 2, no_local: true, "
                         "retain_as_published: true, retain_handling_options: 1}]")
                         .subscribe;
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].qos, 1);
  EXPECT_EQ(list[1].topic.text(), "#");
  EXPECT_EQ(list[1].qos, 2);
  EXPECT_TRUE(list[1].no_local);
  EXPECT_TRUE(list[1].retain_as_published);
  EXPECT_EQ(list[1].retain_handling_options, 1);
}

TEST_F(Reader, TakesWords) {
  EXPECT_EQ(read("log: {level: warning}").log.level, log::Level::warning);
  EXPECT_EQ(read("log: {target: 'stderr'}").log.target, LogTarget::standard_error);
  EXPECT_EQ(handler("queue: {when_full: drop_newest}").queue.when_full, WhenFull::drop_newest);
  EXPECT_EQ(handler("retry: {attempts: unlimited}").retry.attempts, std::nullopt);
  EXPECT_EQ(handler("retry: {attempts: 1}").retry.attempts, 1u);
  EXPECT_FALSE(handler("enabled: false, isolation: none").enabled);
}

TEST_F(Reader, TakesTls) {
  EXPECT_FALSE(mqtt("ssl: false").ssl);
  EXPECT_FALSE(mqtt("ssl: ~").ssl);
  EXPECT_TRUE(mqtt("ssl: true").ssl->verify);
  EXPECT_TRUE(mqtt("ssl: {}").ssl);
  EXPECT_EQ(mqtt("ssl: {min_version: '1.3'}").ssl->min_version, TlsVersion::v1_3);
  EXPECT_EQ(mqtt("ssl: {alpn: mqtt}").ssl->alpn.at(0).value(), "mqtt");
  EXPECT_EQ(mqtt("ssl: {ca_file: /a}").ssl->ca_file->value(), "/a");
}

TEST_F(Reader, ThePortGoesByTls) {
  EXPECT_EQ(mqtt("ssl: false").port, 1883);
  EXPECT_EQ(mqtt("ssl: true").port, 8883);
  EXPECT_EQ(mqtt("ssl: {verify: false}").port, 8883);
  EXPECT_EQ(mqtt("ssl: true, port: 1883").port, 1883);
}

TEST_F(Reader, TakesNeverAndUnlimited) {
  EXPECT_EQ(mqtt("session_expiry_interval: never").session_expiry_interval, std::nullopt);
  EXPECT_EQ(mqtt("session_expiry_interval: 2h").session_expiry_interval, 7200s);
  EXPECT_EQ(mqtt("reconnect_retries: unlimited").reconnect_retries, std::nullopt);
  EXPECT_EQ(mqtt("reconnect_retries: 3").reconnect_retries, 3u);
}

TEST_F(Reader, AStatusHasADelayToo) {
  EXPECT_EQ(mqtt("status_topic: s, will_delay_interval: 5").will_delay_interval, 5s);
  EXPECT_EQ(mqtt("status_topic: s, will_message_qos: 0").status_topic->value(), "s");
}

TEST_F(Reader, WillDefaultsNeedNoWill) {
  EXPECT_EQ(mqtt("will_message_qos: 0, will_message_retain: false").will_message_qos, 0);
}

TEST_F(Reader, PluginDirectoriesReplaceTheDefaults) {
  const Config config = read("plugin_directories: [/a]");
  EXPECT_EQ(config.plugin_directories, std::vector<std::string>{"/a"});
  EXPECT_FALSE(config.default_plugin_directories);
}

TEST_F(Reader, MergesConfDInTheOrderOfNames) {
  files_.write("conf.d/20-b.yaml", "mqtt: {port: 3}\nhandlers: {second: ~, first: {timeout: 2s}}");
  files_.write("conf.d/10-a.yaml", "mqtt: {port: 2, username: u}\nhandlers: {first: {plugin: p}}");
  files_.write("conf.d/30-empty.yaml", "mqtt:\nhandlers:\n  main:\n");
  files_.write("conf.d/notes.txt", "not: [read");
  files_.write("conf.d/.40-hidden.yaml", "not: [read");
  const Config config = read("mqtt: {host: h, port: 1}\nhandlers: {main: {plugin: q}}");
  EXPECT_EQ(config.mqtt.host.at(0).value(), "h");
  EXPECT_EQ(config.mqtt.port, 3);
  EXPECT_EQ(config.mqtt.username->value(), "u");
  ASSERT_EQ(config.handlers.size(), 3u);
  EXPECT_EQ(config.handlers[0].name, "main");
  EXPECT_EQ(config.handlers[0].plugin, "q");
  EXPECT_EQ(config.handlers[1].name, "first");
  EXPECT_EQ(config.handlers[1].plugin, "p");
  EXPECT_EQ(config.handlers[1].timeout, 2s);
  EXPECT_EQ(config.handlers[2].name, "second");
}

TEST_F(Reader, ConfDReplacesListsAndTakesBackToDefaults) {
  files_.write("conf.d/a.yaml",
               "mqtt: {host: [c], username: ~}\nhandlers: {h: {subscribe: [z], options: {b: 2}}}");
  const Config config = read(
      "mqtt: {host: [a, b], username: u}\n"
      "handlers: {h: {subscribe: [x, y], options: {a: 1, b: 1}}}");
  ASSERT_EQ(config.mqtt.host.size(), 1u);
  EXPECT_EQ(config.mqtt.host[0].value(), "c");
  EXPECT_FALSE(config.mqtt.username);
  ASSERT_EQ(config.handlers.at(0).subscribe->size(), 1u);
  EXPECT_EQ(config.handlers[0].options.find("")->text, "a: 1\nb: 2");
}

TEST_F(Reader, NeedsNoReferenceThatIsReplaced) {
  const ScopedEnv unset("FASTMQTTD_TEST", nullptr);
  files_.write("conf.d/a.yaml", "mqtt: {password: ok}");
  EXPECT_EQ(mqtt("password: '${env:FASTMQTTD_TEST}'").password->value(), "ok");
}

TEST_F(Reader, RulesBetweenKeysHoldForAllFilesTogether) {
  files_.write("conf.d/a.yaml", "mqtt: {will_message_payload: x, reconnect_delay_max: 10m}");
  EXPECT_EQ(mqtt("will_message_topic: t, reconnect_delay: 5m").reconnect_delay, 5min);
}

TEST_F(Reader, ReadsInTheWorkingDirectory) {
  read("mqtt: {port: 7}");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(files_.path(""));
  const Config config = read_config("main.yaml");
  std::filesystem::current_path(before);
  EXPECT_EQ(config.mqtt.port, 7);
}

}  // namespace
}  // namespace fastmqttd
