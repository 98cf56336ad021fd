#include "daemon/config/print.hpp"

#include <gtest/gtest.h>

#include "daemon/config/schema.hpp"
#include "tests/unit/config/temp_files.hpp"

namespace fastmqttd {
namespace {

using testing::ScopedEnv;
using testing::TempFiles;

Config read_text(const TempFiles& files, const std::string& name, const std::string& text) {
  return read_config(files.write(name, text));
}

// Every key with a value that is not its default.
constexpr const char* kFull = R"(
mqtt:
  host: [one, "${env:FASTMQTTD_TEST}", "::1"]
  port: 8884
  ssl:
    ca_file: /ca.pem
    ca_path: /certs
    cert_file: /own.pem
    key_file: /own.key
    key_password: ${env:FASTMQTTD_TEST}
    ciphers: AES128
    min_version: 1.2
    alpn: [mqtt, other]
    verify: false
  keepalive: 2m
  username: "5"
  password: ${file:/etc/hostname}
  version: MQTTv311
  version_fallback: false
  connect_timeout: 1500ms
  reconnect_retries: 7
  reconnect_delay: 2
  reconnect_delay_max: 1h
  will_message_topic: state/$$${env:FASTMQTTD_TEST}
  will_message_payload: "a: \"b\" #\nc"
  will_message_qos: 2
  will_message_retain: true
  will_delay_interval: 1m
  client_id: "~"
  clean_session: true
  session_expiry_interval: 90
  optimistic_acknowledgement: true
  receive_maximum: 9
spool: {directory: /var/tmp/x, durability: power}
handlers:
  zeta:
    plugin: log
    subscribe:
      - {topic: "a/#", qos: 2, no_local: true, retain_as_published: true,
         retain_handling_options: 2, subscription_identifier: 5}
      - $share/g/${env:FASTMQTTD_TEST}/+
      - $$$SYS/#
      - a$${b}
    options: {n: 1, s: "1", list: [a, {b: ~}], e: {}, r: "${env:FASTMQTTD_TEST}", "true": x}
    enabled: false
    queue: {messages: 7, size: 1MiB, when_full: drop_newest}
    retry: {attempts: unlimited, delay: 2s, delay_max: 3s, max_age: 1d}
    timeout: 1m
    skip_retained: true
  alpha:
plugin_directories: [/opt/a, '/opt/$${b}']
log: {level: debug, target: stderr}
shutdown_timeout: 0
)";

TEST(PrintConfig, ReadsBackToItself) {
  const TempFiles files;
  const ScopedEnv env("FASTMQTTD_TEST", "value");
  const Config config = read_text(files, "a.yaml", kFull);
  const std::string printed = print_config(config);
  const Config again = read_text(files, "b.yaml", printed);

  EXPECT_EQ(print_config(again), printed);
  const MqttConfig &m = config.mqtt, &n = again.mqtt;
  ASSERT_EQ(n.host.size(), 3u);
  EXPECT_EQ(n.host[1].source(), "${env:FASTMQTTD_TEST}");
  EXPECT_EQ(n.host[1].value(), "value");
  EXPECT_EQ(n.password->value(), m.password->value());
  EXPECT_EQ(n.will_message_topic->value(), "state/$value");
  EXPECT_EQ(n.will_message_payload->value(), "a: \"b\" #\nc");
  EXPECT_EQ(n.username->value(), "5");
  EXPECT_EQ(n.client_id->value(), "~");
  EXPECT_EQ(n.version, MqttVersion::v3_1_1);
  EXPECT_EQ(n.keepalive, 120s);
  EXPECT_EQ(n.port, 8884);
  ASSERT_TRUE(n.ssl);
  EXPECT_EQ(n.ssl->key_password->value(), "value");
  EXPECT_EQ(n.ssl->alpn.size(), 2u);
  EXPECT_FALSE(n.ssl->verify);
  EXPECT_EQ(n.reconnect_retries, 7u);
  EXPECT_EQ(n.will_delay_interval, 60s);
  EXPECT_EQ(n.session_expiry_interval, 90s);
  EXPECT_EQ(n.receive_maximum, 9);
  const HandlerConfig &h = config.handlers.at(0), &g = again.handlers.at(0);
  EXPECT_EQ(g.name, "zeta");
  ASSERT_EQ(g.subscribe->size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(g.subscribe->at(i).topic, h.subscribe->at(i).topic);
  EXPECT_EQ(g.subscribe->at(1).topic.text(), "$share/g/value/+");
  EXPECT_EQ(g.subscribe->at(2).topic.text(), "$$SYS/#");
  EXPECT_EQ(g.subscribe->at(3).topic.text(), "a${b}");
  EXPECT_EQ(g.options.find("")->text, h.options.find("")->text);
  EXPECT_EQ(g.retry.attempts, std::nullopt);
  EXPECT_EQ(again.plugin_directories, (std::vector<std::string>{"/opt/a", "/opt/${b}"}));
  EXPECT_FALSE(again.default_plugin_directories);
}

TEST(PrintConfig, DefaultsStayDefaults) {
  const TempFiles files;
  const std::string printed = print_config(read_text(files, "a.yaml", ""));
  const Config again = read_text(files, "b.yaml", printed);
  EXPECT_EQ(print_config(again), printed);
  EXPECT_TRUE(again.default_plugin_directories);
  EXPECT_NE(printed.find("password: ~\n"), std::string::npos);
  EXPECT_NE(printed.find("handlers: {}\n"), std::string::npos);
}

TEST(PrintConfig, PrintsEveryKey) {
  const TempFiles files;
  const ScopedEnv env("FASTMQTTD_TEST", "value");
  const std::string printed = print_config(read_text(files, "a.yaml", kFull));
  for (const std::string& name : KeyNames::all()) {
    const std::string last = name.substr(name.rfind('.') + 1);
    EXPECT_NE(printed.find(last + ":"), std::string::npos) << name;
  }
}

TEST(PrintConfig, MasksSecrets) {
  const TempFiles files;
  const ScopedEnv env("FASTMQTTD_TEST", "hidden");
  for (const char* password : {"hidden", "hidden$$", "hidden${env:FASTMQTTD_TEST}", "$hidden"}) {
    const std::string printed = print_config(
        read_text(files, "a.yaml",
                  std::string("mqtt: {username: u, password: '") + password +
                      "'}\nhandlers: {h: {options: {token: hidden, a: {b_secret: hidden}}}}"));
    EXPECT_EQ(printed.find("hidden"), std::string::npos) << printed;
    EXPECT_NE(printed.find("password: \"********\""), std::string::npos) << printed;
  }
  const std::string printed =
      print_config(read_text(files, "a.yaml", "mqtt: {password: '${env:FASTMQTTD_TEST}'}"));
  EXPECT_NE(printed.find("password: \"${env:FASTMQTTD_TEST}\""), std::string::npos) << printed;
  EXPECT_EQ(printed.find("hidden"), std::string::npos) << printed;
  EXPECT_EQ(
      print_config(read_text(files, "a.yaml", "mqtt: {ssl: {cert_file: /c, key_password: hidden}}"))
          .find("hidden"),
      std::string::npos);
}

}  // namespace
}  // namespace fastmqttd
