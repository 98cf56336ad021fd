// webhook, in the daemon, with a real broker and a real web server.
#include <atomic>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/integration/handlers_test.hpp"
#include "tests/support/web_server.hpp"

namespace fastmqttd::testing {
namespace {

class Webhook : public HandlersTest {
 protected:
  static std::string entry(const std::string& options, const std::string& keys = "") {
    return "  all:\n    plugin: webhook\n    subscribe: n/#\n    retry: {delay: 1ms, delay_max: "
           "20ms}\n" +
           keys + "    options:\n" + options;
  }
};

// Batches, with the daemon killed in the middle of some: each message arrives, and each topic in
// order.
TEST_F(Webhook, LosesNothingOverKills) {
  install("webhook");
  std::atomic<bool> slow{true};
  const WebServer server([&](const WebRequest&) {
    if (slow) std::this_thread::sleep_for(10ms);
    return WebAnswer{};
  });
  start(entry("      url: " + server.url() +
              "\n      body: '{topic} {payload}'\n      format: raw\n"
              "      batch: {size: 8, delay: 10ms, separator: \"\\n\"}\n"),
        {"n/#"});
  const auto received = [&] {
    std::map<std::string, std::vector<std::string>> by_topic;
    for (const WebRequest& request : server.requests())
      for (const std::string& line : lines_of(request.body + "\n"))
        by_topic[line.substr(0, 3)].push_back(line.substr(4));
    return by_topic;
  };
  const auto count = [&] {
    std::size_t all = 0;
    for (const auto& [topic, payloads] : received()) all += distinct(payloads).size();
    return all;
  };
  constexpr int kTopics = 10, kEach = 30;
  for (int topic = 0; topic < kTopics; ++topic)
    publish_all(broker_, "n/" + std::to_string(topic), numbers(kEach));
  for (std::size_t kill = 1; kill <= 3; ++kill) {
    ASSERT_TRUE(eventually([&] { return count() > kill * 50; }));
    daemon_.kill();
    daemon_.start_ready();
  }
  slow = false;
  EXPECT_TRUE(eventually([&] { return count() == kTopics * kEach; })) << count();
  await_idle();
  for (const auto& [topic, payloads] : received())
    EXPECT_EQ(losses(numbers(kEach), payloads), "") << topic;
}

// A server that is away, and comes back, costs nothing but time, and few lines of the log.
TEST_F(Webhook, WaitsForAServerThatIsDown) {
  install("webhook");
  WebServer server;
  server.stop();
  start(entry("      url: " + server.url() + "\n"), {"n/#"});
  publish_all(broker_, "n/1", numbers(20));
  publish_all(broker_, "n/2", numbers(20));
  await_log("all: n/[12]: " + server.url() + ": .*connect");
  await_log("all: suspended");
  server.start();
  EXPECT_THAT(server.await_requests(40), ::testing::SizeIs(::testing::Ge(40u)));
  await_idle();
  await_log("all: " + server.url() + " answers again");
  EXPECT_FALSE(daemon_.logged("given up"));
}

// What is rejected is kept, with the reason where an operator looks for it.
TEST_F(Webhook, WhatIsRefusedIsADeadLetter) {
  install("webhook");
  const WebServer server(
      [](const WebRequest&) { return WebAnswer{.status = 404, .body = "no such\nmachine"}; });
  start(entry("      url: " + server.url() + "/{topic.2}\n"), {"n/#"});
  publish(broker_, "n/7", "x");
  await_log("all: n/7: HTTP 404: no such machine");
  EXPECT_TRUE(eventually([&] {
    return daemon_.ctl({"dead-letters", "list"}).output.find("n/7") != std::string::npos;
  }));
}

// A stop does not wait for a server that never answers, nor for a name that is never found; what is
// under way is given to the next run.
TEST_F(Webhook, StopsWithRequestsUnderWay) {
  install("webhook");
  std::atomic<bool> answers{false};
  const WebServer server([&](const WebRequest&) {
    answers.wait(false);
    return WebAnswer{};
  });
  start(entry("      url: " + server.url() + "\n") + "shutdown_timeout: 200ms\n", {"n/#"});
  publish(broker_, "n/1", "x");
  EXPECT_THAT(server.await_requests(1), ::testing::SizeIs(1));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
  answers = true;
  answers.notify_all();
  daemon_.start_ready();
  server.await_requests(2);
  await_idle();
}

TEST_F(Webhook, IsNotHeldUpBySlowLookups) {
  install("webhook");
  daemon_.set_environment("LD_PRELOAD=" FASTMQTTD_TESTS_SLOW_RESOLVER);
  daemon_.set_environment("ASAN_OPTIONS=verify_asan_link_order=0");
  daemon_.set_environment("SLOW_RESOLVER_SECONDS=30");
  daemon_.set_environment("SLOW_RESOLVER_LOG=" + daemon_.file("lookups").string());
  start(entry("      url: http://never.found.invalid/\n      timeout: 200ms\n") +
            "shutdown_timeout: 200ms\n",
        {"n/#"});
  publish(broker_, "n/1", "x");
  await_log("all: n/1: http://never.found.invalid: .*timed out");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(daemon_.stop(), Exit{});
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

TEST_F(Webhook, ChecksItsOptions) {
  install("webhook");
  daemon_.configure(daemon_.mqtt_section(broker_) + "handlers:\n" +
                    entry("      url: http://{topic}/\n"));
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_TRUE(any_line_matches(done.errors,
                               "fastmqttd.yaml:[0-9]+:[0-9]+: handlers.all.options.url: .*must not "
                               "choose where it goes"))
      << done.errors;
}

// ---- the examples of the README ----------------------------------------------------------------

constexpr const char* kTime = "20[0-9-]+T[0-9:]+\\.[0-9]+Z";

struct Example {
  const char* name;  // of its handler
  const char* topic;
  const char* payload;
  std::string target;                          // as a regular expression, as is ...
  std::string body;                            // ... this
  std::map<std::string, std::string> headers;  // some of them
  const char* content_type;
};

const std::vector<Example> kExamples{
    {"tickets",
     "machine/7/fault",
     "it \"stopped\"",
     "/api/machines/7/faults",
     "[{]\"at\": \"" + std::string(kTime) + "\", \"text\": \"it \\\\\"stopped\\\\\"\"[}]",
     {{"authorization", "Bearer a-secret"}},
     "application/json"},
    {"influxdb",
     "site/north 1/temperature",
     "21.5",
     "/api/v2/write[?]org=plant&bucket=sensors&precision=ns",
     "temperature,site=north\\\\ 1 celsius=21.5 [0-9]{19}",
     {{"authorization", "Token a-secret"}},
     "text/plain; charset=utf-8"},
    {"doorbell",
     "home/door/bell",
     "front",
     "/api/webhook/a-secret",
     "[{]\"button\": \"front\", \"at\": \"" + std::string(kTime) + "\"[}]",
     {},
     "application/json"},
    {"states",
     "home/hall/temperature",
     "-3",
     "/api/states/sensor.hall_temperature",
     "[{]\"state\": \"-3\", \"attributes\": [{]\"unit_of_measurement\": \"°C\"[}][}]",
     {{"authorization", "Bearer a-secret"}},
     "application/json"},
    {"slack",
     "site/7/alarm",
     "too hot\nnow",
     "/services/a-secret",
     "[{]\"text\": \"[*]7[*]: too hot\\\\nnow\"[}]",
     {},
     "application/json"},
    {"ntfy",
     "site/7/alarm",
     "too hot\nnow",
     "/plant-alarms",
     "too hot\nnow",
     {{"authorization", "Bearer a-secret"},
      {"title", "Alarm at 7"},
      {"priority", "default"},
      {"tags", "rotating_light"}},
     ""}};

// The blocks of YAML, by the names of their handlers.
std::map<std::string, std::string> examples_of(const std::string& readme) {
  std::map<std::string, std::string> all;
  constexpr std::string_view kBegin = "```yaml\nhandlers:\n";
  for (std::size_t at = 0; (at = readme.find(kBegin, at)) != std::string::npos;) {
    at += kBegin.size();
    const std::string block = readme.substr(at, readme.find("```", at) - at);
    all[block.substr(2, block.find(':') - 2)] = block;
  }
  return all;
}

class WebhookReadme : public Webhook {};

// With a server of ours in the place of theirs.
TEST_F(WebhookReadme, ItsExamplesDoWhatTheySay) {
  install("webhook");
  const auto examples = examples_of(read_file(FASTMQTTD_SOURCE_DIR "/handlers/webhook/README.md"));
  EXPECT_EQ(examples.size(), kExamples.size()) << "an example is not tried";
  std::filesystem::create_directory(daemon_.file("credentials"));
  daemon_.set_environment("CREDENTIALS_DIRECTORY=" + daemon_.file("credentials").string());
  std::map<std::string, std::unique_ptr<WebServer>> servers;
  std::string handlers;
  for (const char* text : {"TICKETS", "INFLUXDB", "DOORBELL", "HOMEASSISTANT", "SLACK", "NTFY"})
    write_file(daemon_.file("credentials") / text, "a-secret");
  for (const auto& [name, text] : examples) {
    const auto& server = servers[name] = std::make_unique<WebServer>();
    const std::size_t begin = text.find("url: ") + 5;
    const std::size_t path = text.find('/', text.find("://", begin) + 3);
    handlers += text.substr(0, begin) + server->url() + text.substr(path);
  }
  start(handlers, {"site/+/alarm", "home/door/bell"});
  for (const Example& example : kExamples) {
    SCOPED_TRACE(example.name);
    publish(broker_, example.topic, example.payload);
    const WebRequest request = servers.at(example.name)->await_requests(1).front();
    EXPECT_EQ(request.method, "POST");
    EXPECT_TRUE(std::regex_match(request.target, std::regex(example.target))) << request.target;
    EXPECT_TRUE(std::regex_match(request.body, std::regex(example.body))) << request.body;
    for (const auto& [header, value] : example.headers)
      EXPECT_EQ(request.headers.at(header), value);
    const auto type = request.headers.find("content-type");
    EXPECT_EQ(type == request.headers.end() ? "" : type->second, example.content_type);
    if (type != request.headers.end() && type->second == "application/json") {
      EXPECT_TRUE(nlohmann::json::accept(request.body)) << request.body;
    }
  }
}

}  // namespace
}  // namespace fastmqttd::testing
