// What the reader refuses, word for word, place for place.
#include <gtest/gtest.h>

#include "daemon/config/reader.hpp"
#include "tests/unit/config/temp_files.hpp"

namespace fastmqttd {
namespace {

using testing::ScopedEnv;
using testing::TempFiles;

constexpr const char* kMqttKeys =
    "(known: host, port, ssl, keepalive, username, password, version, version_fallback, "
    "connect_timeout, reconnect_retries, reconnect_delay, reconnect_delay_max, will_message_topic, "
    "will_message_payload, will_message_qos, will_message_retain, will_delay_interval, "
    "status_topic, client_id, clean_session, session_expiry_interval, optimistic_acknowledgement, "
    "receive_maximum)";
constexpr const char* kRootKeys =
    "(known: mqtt, spool, handlers, plugin_directories, log, http, control, shutdown_timeout)";

std::string report_of(const std::string& text) {
  const TempFiles files;
  files.write("main.yaml", text);
  return files.problems();
}

struct Bad {
  std::string yaml;
  std::string report;  // without "main.yaml:"
};

void expect_reports(const std::vector<Bad>& cases) {
  for (const Bad& bad : cases)
    EXPECT_EQ(report_of(bad.yaml), "main.yaml:" + bad.report) << bad.yaml;
}

// All that follows would be text, and the handlers gone.
TEST(ReaderErrors, QuotesThatAreNotClosed) {
  expect_reports({
      {"mqtt:\n  username: \"edge\"\n  password: \"s3cret\n  host: x\n",
       "3:13: is not valid YAML: a quote is not closed: expected one at the end of the text that "
       "begins here"},
      {"mqtt:\n  username: 'edge\n\n",
       "2:13: is not valid YAML: a quote is not closed: expected one at the end of the text that "
       "begins here"},
  });
}

TEST(ReaderErrors, UnknownKeys) {
  expect_reports({
      {"mqtt:\n  host: x\n  prot: 1",
       std::string("3:3: mqtt.prot: unknown key: did you mean 'port'? ") + kMqttKeys},
      {"mqtt: {ssl: {cafile: /x}}",
       "1:14: mqtt.ssl.cafile: unknown key: did you mean 'ca_file'? (known: ca_file, ca_path, "
       "cert_file, key_file, key_password, ciphers, min_version, alpn, verify)"},
      {"mqt: {}", std::string("1:1: mqt: unknown key: did you mean 'mqtt'? ") + kRootKeys},
      {"https: ~", std::string("1:1: https: unknown key: did you mean 'http'? ") + kRootKeys},
      {"log: {level: info, ~: x}", "1:20: log: a key is empty: expected a name before the ':'"},
      {"log: {levle: x}",
       "1:7: log.levle: unknown key: did you mean 'level'? (known: level, target)"},
      {"handlers: {h: {worker: 2}}",
       "1:16: handlers.h.worker: unknown key: did you mean 'workers'? (known: plugin, subscribe, "
       "options, enabled, workers, queue, retry, timeout, abort_after, log_level, skip_retained, "
       "isolation)"},
      {"handlers: {h: {queue: {msgs: 2}}}",
       "1:24: handlers.h.queue.msgs: unknown key: (known: messages, size, when_full)"},
      {"handlers: {h: {subscribe: [{topic: a, QoS: 2}]}}",
       "1:39: handlers.h.subscribe.0.QoS: unknown key: did you mean 'qos'? (known: topic, qos, "
       "no_local, retain_as_published, retain_handling_options, subscription_identifier)"},
      {"log: {\"a\\nb\": 1}", "1:7: log.a: unknown key: (known: level, target)"},
  });
}

TEST(ReaderErrors, Duplicates) {
  expect_reports({
      {"mqtt:\n  port: 1\n  port: 2",
       "3:3: mqtt.port: duplicate key: first given at main.yaml:2:3"},
      {"mqtt: {}\nlog: {}\nmqtt: {}", "3:1: mqtt: duplicate key: first given at main.yaml:1:1"},
      {"handlers: {h: , h: }", "1:17: handlers.h: duplicate key: first given at main.yaml:1:12"},
  });
}

TEST(ReaderErrors, Numbers) {
  const std::string port = ": expected a number from 1 to 65535";
  const std::string keepalive = ": expected a number of seconds from 0 to 65535";
  const std::string qos = ": expected a number from 0 to 2";
  expect_reports({
      {"mqtt: {port: banana}", "1:14: mqtt.port: cannot be 'banana'" + port},
      {"mqtt: {port: \"1883\"}", "1:14: mqtt.port: cannot be \"1883\"" + port},
      {"mqtt: {port: 0}", "1:14: mqtt.port: cannot be '0'" + port},
      {"mqtt: {port: 65536}", "1:14: mqtt.port: cannot be '65536'" + port},
      {"mqtt: {port: -1}", "1:14: mqtt.port: cannot be '-1'" + port},
      {"mqtt: {port: 1.5}", "1:14: mqtt.port: cannot be '1.5'" + port},
      {"mqtt: {port: 0x10}", "1:14: mqtt.port: cannot be '0x10'" + port},
      {"mqtt: {port: 010}", "1:14: mqtt.port: cannot be '010'" + port},
      {"mqtt: {port: true}", "1:14: mqtt.port: cannot be 'true'" + port},
      {"mqtt: {port: 99999999999999999999}",
       "1:14: mqtt.port: cannot be '99999999999999999999'" + port},
      {"mqtt:\n  port: [1]", "2:9: mqtt.port: cannot be a list" + port},
      {"mqtt:\n  port:\n    a: 1", "3:5: mqtt.port: cannot be a map" + port},
      {"mqtt: {port: '${env:HOME}'}", "1:14: mqtt.port: cannot be \"${env:HOME}\"" + port},
      {"mqtt: {keepalive: 65536}", "1:19: mqtt.keepalive: cannot be '65536'" + keepalive},
      {"mqtt: {keepalive: 500ms}", "1:19: mqtt.keepalive: cannot be '500ms'" + keepalive},
      {"mqtt: {keepalive: \"60\"}", "1:19: mqtt.keepalive: cannot be \"60\"" + keepalive},
      {"mqtt: {keepalive: -1}", "1:19: mqtt.keepalive: cannot be '-1'" + keepalive},
      {"mqtt: {will_message_topic: t, will_message_qos: 3}",
       "1:49: mqtt.will_message_qos: cannot be '3'" + qos},
      {"handlers: {h: {subscribe: {topic: a, qos: 3}}}",
       "1:43: handlers.h.subscribe.qos: cannot be '3'" + qos},
      {"handlers: {h: {queue: {messages: 0}}}",
       "1:34: handlers.h.queue.messages: cannot be '0': expected a number from 1 to 100000000"},
      {"handlers: {h: {retry: {attempts: 0}}}",
       "1:34: handlers.h.retry.attempts: cannot be '0': expected a number from 1 to 4294967295, or "
       "unlimited"},
      {"handlers: {h: {retry: {attempts: forever}}}",
       "1:34: handlers.h.retry.attempts: cannot be 'forever': expected a number from 1 to "
       "4294967295, or unlimited"},
  });
}

TEST(ReaderErrors, Bools) {
  const std::string expected = ": expected true or false";
  expect_reports({
      {"mqtt: {clean_session: yes}", "1:23: mqtt.clean_session: cannot be 'yes'" + expected},
      {"mqtt: {clean_session: 1}", "1:23: mqtt.clean_session: cannot be '1'" + expected},
      {"mqtt: {clean_session: \"true\"}",
       "1:23: mqtt.clean_session: cannot be \"true\"" + expected},
      {"mqtt: {clean_session: [true]}", "1:23: mqtt.clean_session: cannot be a list" + expected},
  });
}

TEST(ReaderErrors, DurationsAndSizes) {
  const std::string form = ": expected a duration such as 250ms, 10s, 5m, 1h, 7d, from ";
  const std::string size =
      ": expected a size such as 64MiB, 512KiB or a number of bytes, from 1KiB to 1024GiB";
  expect_reports({
      {"mqtt: {connect_timeout: 10 s}",
       "1:25: mqtt.connect_timeout: cannot be '10 s'" + form + "1s to 10m"},
      {"mqtt: {connect_timeout: 500ms}",
       "1:25: mqtt.connect_timeout: cannot be '500ms'" + form + "1s to 10m"},
      {"mqtt: {reconnect_delay: 0}",
       "1:25: mqtt.reconnect_delay: cannot be '0'" + form + "1ms to 1d"},
      {"mqtt: {reconnect_delay: \"10\"}",
       "1:25: mqtt.reconnect_delay: cannot be \"10\"" + form + "1ms to 1d"},
      {"shutdown_timeout: 2d", "1:19: shutdown_timeout: cannot be '2d'" + form + "0 to 1h"},
      {"shutdown_timeout: {}", "1:19: shutdown_timeout: cannot be a map" + form + "0 to 1h"},
      {"handlers: {h: {queue: {size: 64MB}}}",
       "1:30: handlers.h.queue.size: cannot be '64MB'" + size},
      {"handlers: {h: {queue: {size: 1}}}", "1:30: handlers.h.queue.size: cannot be '1'" + size},
      {"handlers: {h: {queue: {size: '4096'}}}",
       "1:30: handlers.h.queue.size: cannot be \"4096\"" + size},
  });
}

TEST(ReaderErrors, Words) {
  expect_reports({
      {"mqtt: {version: 6}", "1:17: mqtt.version: cannot be '6': expected 5, 3.1.1 or 3.1"},
      {"mqtt: {version: [5]}", "1:17: mqtt.version: cannot be a list: expected 5, 3.1.1 or 3.1"},
      {"log: {level: verbose}",
       "1:14: log.level: cannot be 'verbose': expected debug, info, warning or error"},
      {"log: {target: syslog}",
       "1:15: log.target: cannot be 'syslog': expected auto, journal or stderr"},
      {"handlers: {h: {queue: {when_full: block}}}",
       "1:35: handlers.h.queue.when_full: cannot be 'block': expected spool, "
       "drop_oldest or drop_newest"},
      {"handlers: {h: {isolation: process}}",
       "1:27: handlers.h.isolation: cannot be 'process': it is reserved and not built yet: "
       "expected none"},
      {"handlers: {h: {isolation: thread}}",
       "1:27: handlers.h.isolation: cannot be 'thread': expected none"},
  });
}

TEST(ReaderErrors, Texts) {
  const std::string host = ": expected a name or an address, or a list of them";
  expect_reports({
      {"mqtt: {username: [a]}", "1:18: mqtt.username: cannot be a list: expected text"},
      {"mqtt: {client_id: ''}", "1:19: mqtt.client_id: has 0 bytes: expected 1 to 65535"},
      {"mqtt: {username: " + std::string(65536, 'x') + "}",
       "1:18: mqtt.username: has 65536 bytes: expected 0 to 65535"},
      {"mqtt: {host: []}", "1:14: mqtt.host: is an empty list" + host},
      {"mqtt: {host: {a: b}}", "1:14: mqtt.host: cannot be a map" + host},
      {"mqtt: {host: [a, ~]}", "1:14: mqtt.host.1: cannot be empty" + host},
      {"mqtt: {host: ''}", "1:14: mqtt.host: cannot be \"\": expected a name or an address"},
      {"mqtt: {host: 'tcp://x'}",
       "1:14: mqtt.host: cannot be \"tcp://x\": expected a name or an address alone, without "
       "scheme, user or path"},
      {"mqtt: {host: [a, 'x:1883']}",
       "1:18: mqtt.host.1: cannot be \"x:1883\": expected a name or an address; the port is a key"},
      {"mqtt: {will_message_topic: a/+}",
       "1:28: mqtt.will_message_topic: cannot be 'a/+': a topic name has no wildcards ('+', '#')"},
      {"mqtt: {will_message_topic: ''}",
       "1:28: mqtt.will_message_topic: cannot be \"\": a topic name has at least one character"},
      {"plugin_directories: /a",
       "1:21: plugin_directories: cannot be '/a': expected a list of absolute paths"},
      {"plugin_directories: []",
       "1:21: plugin_directories: is an empty list: expected a list of absolute paths"},
      {"plugin_directories: [/a, b, [c]]",
       "1:26: plugin_directories.1: cannot be 'b': expected an absolute path\n"
       "main.yaml:1:29: plugin_directories.2: cannot be a list: expected an absolute path"},
  });
}

TEST(ReaderErrors, Handlers) {
  const std::string name = "expected small letters, digits, '_' and '-'";
  expect_reports({
      {"handlers: [a]",
       "1:11: handlers: cannot be a list: expected names of handlers, each with its keys"},
      {"handlers: {Log: ~}", "1:12: handlers.Log: is not a name for a handler: " + name},
      {"handlers: {'a b': ~, '': ~}",
       "1:12: handlers.a b: is not a name for a handler: " + name +
           "\nmain.yaml:1:22: handlers.: is not a name for a handler: " + name},
      {"handlers: {h: on}", "1:15: handlers.h: cannot be text: expected keys, each with a value"},
      {"handlers: {h: {plugin: ../x}}",
       "1:24: handlers.h.plugin: cannot be '../x': expected a name of small letters, digits, '_' "
       "and '-'"},
      {"handlers: {h: {retry: 5}}",
       "1:23: handlers.h.retry: cannot be text: expected keys, each with a value"},
  });
}

TEST(ReaderErrors, Subscriptions) {
  expect_reports({
      {"handlers:\n  h:\n    subscribe:\n      - ok\n      - a/#/b",
       "5:9: handlers.h.subscribe.1: cannot be 'a/#/b': '#' stands alone as the last level"},
      {"handlers: {h: {subscribe: {topic: a+}}}",
       "1:35: handlers.h.subscribe.topic: cannot be 'a+': '+' stands alone in its level"},
      {"handlers: {h: {subscribe: [{qos: 1}]}}",
       "1:28: handlers.h.subscribe.0.topic: is missing: expected a topic filter"},
      {"handlers:\n  h:\n    subscribe:\n      - #",
       "4:7: handlers.h.subscribe.0: cannot be empty: expected a topic filter; one that begins "
       "with '#' in quotes"},
      {"handlers: {h: {subscribe: []}}",
       "1:27: handlers.h.subscribe: is an empty list: expected a topic filter; leave the key out "
       "for those of the plugin"},
      {"handlers: {h: {subscribe: [[a]]}}",
       "1:28: handlers.h.subscribe.0: cannot be a list: expected a topic filter; one that begins "
       "with '#' in quotes"},
      {"handlers: {h: {subscribe: {topic: $share/g, qos: 1}}}",
       "1:35: handlers.h.subscribe.topic: cannot be '$share/g': a shared subscription is "
       "$share/GROUP/FILTER with a FILTER of at least one character"},
      {"handlers: {h: {subscribe: {topic: $share/g/a, no_local: true}}}",
       "1:57: handlers.h.subscribe.no_local: cannot be true for a shared subscription "
       "[MQTT-3.8.3-4]: expected false"},
  });
}

TEST(ReaderErrors, Combinations) {
  const std::string will =
      " has no effect without will_message_topic: expected "
      "will_message_topic too";
  const std::string longer = ": expected it to be at least as long";
  expect_reports({
      {"mqtt: {will_message_payload: x}", "1:30: mqtt.will_message_payload:" + will},
      {"mqtt: {will_message_qos: 1}", "1:26: mqtt.will_message_qos:" + will},
      {"mqtt: {will_message_retain: true}", "1:29: mqtt.will_message_retain:" + will},
      {"mqtt: {password: p, version: 3.1.1}",
       "1:18: mqtt.password: needs a username in MQTT versions before 5 [MQTT-3.1.2-22]: expected "
       "username too, or version: 5"},
      {"mqtt: {reconnect_delay: 5s, reconnect_delay_max: 2s}",
       "1:50: mqtt.reconnect_delay_max: reconnect_delay_max (2s) is less than reconnect_delay "
       "(5s)" +
           longer},
      {"mqtt: {reconnect_delay: 5m}",
       "1:25: mqtt.reconnect_delay: reconnect_delay_max (1m) is less than reconnect_delay (5m)" +
           longer},
      {"handlers: {h: {retry: {delay_max: 500ms}}}",
       "1:35: handlers.h.retry.delay_max: delay_max (500ms) is less than delay (1s)" + longer},
  });
}

TEST(ReaderErrors, AWrongValueIsNotJudgedTwice) {
  expect_reports({
      {"mqtt: {reconnect_delay: x, reconnect_delay_max: 500ms}",
       "1:25: mqtt.reconnect_delay: cannot be 'x': expected a duration such as 250ms, 10s, 5m, 1h, "
       "7d, "
       "from 1ms to 1d"},
      {"mqtt: {password: p, version: 2}",
       "1:30: mqtt.version: cannot be '2': expected 5, 3.1.1 or 3.1"},
      {"mqtt: {will_message_topic: '#', will_message_qos: 1}",
       "1:28: mqtt.will_message_topic: cannot be \"#\": a topic name has no wildcards ('+', '#')"},
  });
}

TEST(ReaderErrors, Shapes) {
  expect_reports({
      {"[a]", "1:1: cannot be a list: expected keys, each with a value"},
      {"hello", "1:1: cannot be text: expected keys, each with a value"},
      {"mqtt: [a]", "1:7: mqtt: cannot be a list: expected keys, each with a value"},
  });
}

TEST(ReaderErrors, References) {
  const ScopedEnv unset("FASTMQTTD_TEST", nullptr);
  expect_reports({
      {"mqtt:\n  password: ${env:FASTMQTTD_TEST}",
       "2:13: mqtt.password: ${env:FASTMQTTD_TEST}: the environment variable is not set: set it "
       "(Environment= of the unit) or take the reference out"},
      {"handlers: {h: {subscribe: ['${file:/no}/#']}}",
       "1:28: handlers.h.subscribe.0: ${file:/no}: cannot be opened: No such file or directory"},
  });
}

TEST(ReaderErrors, NeverHoldASecret) {
  const TempFiles files;
  const std::string secret = "${file:" + files.write("secret", "hunter2\n") + "}";
  for (const std::string& yaml :
       {std::string("mqtt: {password: hunter2, version: 3.1.1}"),
        std::string("mqtt:\n  password=hunter2\n"), std::string("mqtt:\n  host x\n  hunter2\n"),
        "mqtt: {client_id: '" + secret + "', host: '" + secret + "@x', port: '" + secret + "'}",
        "mqtt: {will_message_topic: '" + secret + "#'}",
        "handlers: {h: {subscribe: '#" + secret + "', options: hunter2}}"}) {
    const std::string report = report_of(yaml);
    EXPECT_NE(report, "") << yaml;
    EXPECT_EQ(report.find("hunter2"), std::string::npos) << report;
  }
}

TEST(ReaderErrors, EveryProblemOfEveryFileInOrder) {
  const TempFiles files;
  files.write("main.yaml",
              "log: {level: loud}\nmqtt:\n  prot: 1\n  port: x\n  reconnect_delay: 2m\n");
  files.write("conf.d/20.yaml", "mqtt: {port: 0}\nlog: {level: info}\nx: [");
  files.write("conf.d/10.yaml", "mqtt: {port: 1}\nhandlers: {h: {subscribe: a+}}\nlog: {l: 1}");
  EXPECT_EQ(files.problems(),
            "main.yaml:1:14: log.level: cannot be 'loud': expected debug, info, warning or error\n"
            "main.yaml:3:3: mqtt.prot: unknown key: did you mean 'port'? " +
                std::string(kMqttKeys) +
                "\nmain.yaml:4:9: mqtt.port: cannot be 'x': expected a number from 1 to 65535\n"
                "main.yaml:5:20: mqtt.reconnect_delay: reconnect_delay_max (1m) is less than "
                "reconnect_delay (2m): expected it to be at least as long\n"
                "conf.d/10.yaml:2:27: handlers.h.subscribe: cannot be 'a+': '+' stands alone in "
                "its level\n"
                "conf.d/10.yaml:3:7: log.l: unknown key: (known: level, target)\n"
                "conf.d/20.yaml:3:4: is not valid YAML: end of sequence flow not found: the '[' "
                "is not closed");
}

TEST(ReaderErrors, ANameForTwoPlugins) {
  const TempFiles files;
  files.write("main.yaml", "handlers: {alarms: {plugin: log}, same: {plugin: log}, late: {}}");
  files.write(
      "conf.d/a.yaml",
      "handlers:\n  alarms: {plugin: webhook}\n  same: {plugin: log}\n  late: {plugin: log}");
  files.write("conf.d/b.yaml", "handlers: {alarms: {timeout: 2s}, same: {plugin: ~}, late: ~}");
  EXPECT_EQ(files.problems(),
            "conf.d/a.yaml:2:20: handlers.alarms.plugin: is another one than at "
            "main.yaml:1:29: expected one plugin for an entry, or another name for one of the two");
}

TEST(ReaderErrors, Files) {
  const TempFiles files;
  EXPECT_EQ(files.problems(),
            "main.yaml: cannot be opened: No such file or directory: expected a YAML file");
  files.write("conf.d/a.yaml", "log: {level: loud}");
  EXPECT_EQ(files.problems(),
            "main.yaml: cannot be opened: No such file or directory: expected a YAML file\n"
            "conf.d/a.yaml:1:14: log.level: cannot be 'loud': expected debug, info, warning or "
            "error");
  files.write("main.yaml", "#" + std::string(256 << 10, 'x'));
  files.write("conf.d/a.yaml", "");
  std::filesystem::create_directory(files.path("conf.d/b.yaml"));
  EXPECT_EQ(files.problems(),
            "main.yaml: is larger than 256KiB: expected a YAML file\n"
            "conf.d/b.yaml: is not a regular file: expected a YAML file");
}

TEST(ReaderErrors, ConfDIsADirectory) {
  const TempFiles files;
  files.write("main.yaml", "");
  files.write("conf.d", "");
  EXPECT_EQ(files.problems(),
            "conf.d: cannot be listed: Not a directory: expected a directory, or none");
}

TEST(ReaderErrors, FilesThatOthersCouldWriteAreUnsafe) {
  const TempFiles files;
  const std::string main = files.write("main.yaml", "not: [even read");
  std::filesystem::permissions(main, std::filesystem::perms(0646));
  EXPECT_EQ(files.problems(),
            "main.yaml: may be written by everybody: chmod o-w it: expected a file of root or of "
            "the daemon's "
            "user that only its owner and group may write");
  try {
    read_config(main);
    ADD_FAILURE();
  } catch (const StartError& error) {
    EXPECT_EQ(error.status(), ExitStatus::unsafe);
  }
  files.write("conf.d/a.yaml", "x: 1");
  try {
    read_config(main);
    ADD_FAILURE();
  } catch (const StartError& error) {
    EXPECT_EQ(error.status(), ExitStatus::config);
  }
}

TEST(ReaderErrors, OfTls) {
  const std::string kinds = "expected true, false, or keys such as ca_file, each with a value";
  expect_reports({
      {"mqtt: {ssl: [true]}", "1:13: mqtt.ssl: cannot be a list: " + kinds},
      {"mqtt: {ssl: 'true'}", "1:13: mqtt.ssl: cannot be text: " + kinds},
      {"mqtt: {ssl: maybe}", "1:13: mqtt.ssl: cannot be 'maybe': " + kinds},
      {"mqtt: {ssl: {ca_file: ca.pem}}",
       "1:23: mqtt.ssl.ca_file: cannot be 'ca.pem': expected an absolute path"},
      {"mqtt: {ssl: {min_version: 1.1}}",
       "1:27: mqtt.ssl.min_version: cannot be '1.1': OpenSSL 3 does not speak it safely any more: "
       "expected 1.2 or 1.3"},
      {"mqtt: {host: [a, '::1'], ssl: true}",
       "1:14: mqtt.host: has the IPv6 address ::1, which cannot be compared with a certificate: "
       "expected a name, or an IPv4 address"},
      {"mqtt: {ssl: {key_file: /k}}",
       "1:24: mqtt.ssl.key_file: has no effect without cert_file: expected cert_file too"},
      {"mqtt: {ssl: {key_password: x}}",
       "1:28: mqtt.ssl.key_password: has no effect without cert_file: expected cert_file too"},
      {"mqtt: {ssl: {min_version: '1.3', ciphers: AES128}}",
       "1:43: mqtt.ssl.ciphers: are those of TLS 1.2, which min_version \"1.3\" rules out: "
       "expected one of the two"},
      {"mqtt: {ssl: {alpn: ['']}}",
       "1:21: mqtt.ssl.alpn.0: cannot be \"\": expected 1 to 255 bytes"},
      {"mqtt: {ssl: {alpn: []}}",
       "1:20: mqtt.ssl.alpn: is an empty list: expected a protocol's name, or a list of them"},
  });
}

TEST(ReaderErrors, OfTextThatIsNone) {
  const ScopedEnv env("FASTMQTTD_TEST", "\xff");
  expect_reports({
      {"mqtt: {client_id: '${env:FASTMQTTD_TEST}'}",
       "1:19: mqtt.client_id: is not UTF-8 text: expected a string of MQTT [MQTT-1.5.4-1]"},
      {"mqtt: {username: 'a${env:FASTMQTTD_TEST}'}",
       "1:18: mqtt.username: is not UTF-8 text: expected a string of MQTT [MQTT-1.5.4-1]"},
  });
}

TEST(ReaderErrors, OfTheSession) {
  const std::string expiry =
      ": expected a duration in whole seconds, from 0 to 2147483647, or never";
  expect_reports({
      {"mqtt: {session_expiry_interval: 1500ms}",
       "1:33: mqtt.session_expiry_interval: cannot be '1500ms'" + expiry},
      {"mqtt: {session_expiry_interval: 2147483648}",
       "1:33: mqtt.session_expiry_interval: cannot be '2147483648'" + expiry},
      {"mqtt: {receive_maximum: 0}",
       "1:25: mqtt.receive_maximum: cannot be '0': expected a number from 1 to 65535"},
      {"mqtt: {reconnect_retries: 0}",
       "1:27: mqtt.reconnect_retries: cannot be '0': expected a number from 1 to 4294967295, or "
       "unlimited"},
      {"mqtt: {status_topic: s, will_message_topic: t}",
       "1:45: mqtt.will_message_topic: cannot be had together with status_topic: expected one of "
       "the two: the status is a will too"},
      {"mqtt: {status_topic: s, will_message_qos: 1}",
       "1:43: mqtt.will_message_qos: cannot be had together with status_topic: expected one of the "
       "two: the status is a will too"},
      {"mqtt: {will_delay_interval: 5}",
       "1:29: mqtt.will_delay_interval: has no effect without a will: expected will_message_topic "
       "or status_topic too"},
      {"mqtt: {status_topic: s/+}",
       "1:22: mqtt.status_topic: cannot be 's/+': a topic name has no wildcards ('+', '#')"},
      {"handlers: {h: {subscribe: {topic: a, subscription_identifier: 268435456}}}",
       "1:63: handlers.h.subscribe.subscription_identifier: cannot be '268435456': expected a "
       "number from 1 to 268435455"},
  });
}

}  // namespace
}  // namespace fastmqttd
