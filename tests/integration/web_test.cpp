// What browsers and scrapers see: metrics, health, the status page in a real browser.
#include <nlohmann/json.hpp>

#include "tests/integration/integration_test.hpp"
#include "tests/support/port.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using Json = nlohmann::json;

class Web : public IntegrationTest {
 protected:
  std::string address() const { return "127.0.0.1:" + std::to_string(port_.number()); }
  void configure(const std::string& handlers, const std::string& more = "") {
    daemon_.configure(daemon_.mqtt_section(broker_) + "handlers:\n" + handlers +
                      "http: {listen: \"" + address() + "\"}\n" + more);
  }
  void start(const std::string& handlers) {
    broker_.start();
    IntegrationTest::configure(handlers);  // copies the plugins
    configure(handlers);
    daemon_.start_ready();
  }
  Finished curl(const std::string& path, std::vector<std::string> more = {}) const {
    Command command{.argv = {"curl", "-sS", "--max-time", "10", "http://" + address() + path}};
    command.argv.insert(command.argv.end(), more.begin(), more.end());
    return run(command);
  }
  std::string page(const std::string& path) const { return curl(path).output; }
  // The value of a sample, "" when there is none.
  std::string metric(const std::string& sample) const {
    const std::string text = "\n" + page("/metrics");
    const std::size_t at = text.find("\n" + sample + " ");
    if (at == text.npos) return "";
    const std::size_t begin = at + sample.size() + 2;
    return text.substr(begin, text.find('\n', begin) - begin);
  }
  bool becomes(const std::string& sample, const std::string& value) const {
    return eventually([&] { return metric(sample) == value; });
  }

  const Port port_;
};

// ---- metrics -----------------------------------------------------------------------------------

TEST_F(Web, CountsWhatHappens) {
  start(recorder("good", "g/#") + recorder("picky", "p/#", "answer: reject") +
        recorder("moody", "m/#", "answer: retry:1", "retry: {delay: 1ms}"));
  publish_all(broker_, "g/1", numbers(3));
  publish(broker_, "g/1", "x", {.qos = 0});
  publish(broker_, "p/1", "xyz", {.qos = 2});
  publish(broker_, "m/1", "x");
  EXPECT_TRUE(becomes(R"(fastmqttd_deliveries_total{handler="good",result="ok"})", "4"));
  EXPECT_TRUE(becomes(R"(fastmqttd_deliveries_total{handler="picky",result="reject"})", "1"));
  EXPECT_TRUE(becomes(R"(fastmqttd_deliveries_total{handler="picky",result="dead"})", "1"));
  EXPECT_TRUE(becomes(R"(fastmqttd_deliveries_total{handler="moody",result="retry"})", "1"));
  EXPECT_TRUE(becomes(R"(fastmqttd_deliveries_total{handler="moody",result="ok"})", "1"));
  EXPECT_EQ(metric(R"(fastmqttd_messages_received_total{qos="0"})"), "1");
  EXPECT_EQ(metric(R"(fastmqttd_messages_received_total{qos="1"})"), "5");
  EXPECT_EQ(metric(R"(fastmqttd_messages_received_total{qos="2"})"), "0");  // subscribed with 1
  EXPECT_EQ(metric("fastmqttd_connected"), "1");
  EXPECT_EQ(metric("fastmqttd_connects_total"), "1");
  EXPECT_EQ(metric("fastmqttd_unrouted_messages_total"), "0");
  EXPECT_TRUE(becomes(R"(fastmqttd_dead_letters{handler="picky"})", "1"));
  EXPECT_EQ(metric(R"(fastmqttd_delivery_seconds_count{handler="good"})"), "4");
  EXPECT_EQ(metric(R"(fastmqttd_delivery_seconds_bucket{handler="good",le="+Inf"})"), "4");
  EXPECT_EQ(metric(R"(fastmqttd_delivery_wait_seconds_count{handler="moody"})"), "1");
  EXPECT_EQ(metric(R"(fastmqttd_dropped_messages_total{handler="good",reason="queue_full"})"), "0");
  EXPECT_EQ(metric(R"(fastmqttd_handler_suspended{handler="good"})"), "0");
  for (const char* name :
       {"fastmqttd_bytes_received_total", "fastmqttd_spool_bytes", "fastmqttd_spool_messages",
        "fastmqttd_spool_max_bytes", "fastmqttd_subscriptions_refused"})
    EXPECT_THAT(metric(name), Not(IsEmpty())) << name;
}

TEST_F(Web, CountsOnOverReloads) {
  start(recorder("one", "a/#"));
  publish_all(broker_, "a/1", numbers(3));
  EXPECT_TRUE(becomes(R"(fastmqttd_deliveries_total{handler="one",result="ok"})", "3"));
  configure(recorder("one", "a/#", "only: x"));
  ASSERT_EQ(daemon_.ctl({"reload"}).exit, Exit{});
  configure("  one: {plugin: missing}\n");
  ASSERT_EQ(daemon_.ctl({"reload"}).exit, (Exit{.status = 78}));
  publish(broker_, "a/1", "4");
  EXPECT_TRUE(becomes(R"(fastmqttd_deliveries_total{handler="one",result="ok"})", "4"));
  EXPECT_EQ(metric(R"(fastmqttd_reloads_total{result="applied"})"), "1");
  EXPECT_EQ(metric(R"(fastmqttd_reloads_total{result="refused"})"), "1");
}

TEST_F(Web, CountsWhatAHandlerCounts) {
  broker_.start();
  daemon_.add_plugin("actor");
  configure("  actor: {subscribe: [act/#]}\n");
  daemon_.start_ready();
  publish(broker_, "act/1", "echo x");
  EXPECT_TRUE(becomes(R"(fastmqttd_handler_acts_total{handler="actor"})", "1"));
  EXPECT_TRUE(becomes(R"(fastmqttd_published_messages_total{handler="actor"})", "1"));
}

// ---- health ------------------------------------------------------------------------------------

TEST_F(Web, IsReadyWhileTheBrokerIsThere) {
  start(recorder("one", "a/#"));
  EXPECT_EQ(page("/healthz"), "ok\n");
  EXPECT_THAT(curl("/readyz", {"-w", "%{http_code}"}).output,
              AllOf(StartsWith("connected to "), HasSubstr("200")));
  broker_.stop();
  EXPECT_TRUE(eventually([&] {
    return curl("/readyz", {"-w", "%{http_code}"}).output.find("503") != std::string::npos;
  }));
  EXPECT_THAT(page("/readyz"), StartsWith("not connected to "));
  EXPECT_EQ(page("/healthz"), "ok\n");
  EXPECT_EQ(metric("fastmqttd_connected"), "0");
}

TEST_F(Web, IsUnwellWhileAHandlerHangs) {
  start(recorder("held", "a/#", "", "timeout: 50ms"));
  hold("held");
  publish(broker_, "a/1", "x");
  EXPECT_TRUE(eventually([&] { return page("/healthz") == "the handler held is stuck\n"; }));
  EXPECT_EQ(metric(R"(fastmqttd_handler_stuck{handler="held"})"), "1");
  release("held");
  EXPECT_TRUE(eventually([&] { return page("/healthz") == "ok\n"; }));
}

// ---- what is asked of it -----------------------------------------------------------------------

TEST_F(Web, IsToBeReadOnly) {
  start(recorder("one", "a/#"));
  const std::vector<std::string> pause{"-d", "{\"handler\": \"one\"}", "-w", "%{http_code}"};
  for (const char* path : {"/v1/reload", "/v1/pause", "/v1/forget"})
    EXPECT_THAT(curl(path, pause).output, HasSubstr("404")) << path;
  EXPECT_THAT(curl("/", pause).output, HasSubstr("405"));
  for (const char* path : {"/v1/status", "/v1/dead-letters", "/nix"})
    EXPECT_THAT(page(path), HasSubstr("there is no such page")) << path;
}

// A page from elsewhere could have a name of its own lead here.
TEST_F(Web, AnswersToItsAddressOnly) {
  start(recorder("one", "a/#"));
  EXPECT_THAT(curl("/v1/overview", {"-H", "Host: evil.example"}).output,
              HasSubstr("the request is for another host"));
  for (const char* host : {"localhost", "127.0.0.1:80", "[::1]:80"})
    EXPECT_EQ(curl("/healthz", {"-H", std::string("Host: ") + host}).output, "ok\n") << host;
  EXPECT_THAT(curl("/healthz", {"-I"}).output, HasSubstr("200 OK"));
}

TEST_F(Web, MovesWithAReload) {
  start(recorder("one", "a/#"));
  const Port other;
  daemon_.configure(daemon_.mqtt_section(broker_) + "handlers:\n" + recorder("one", "a/#") +
                    "http: {listen: \"127.0.0.1:" + std::to_string(other.number()) + "\"}\n");
  ASSERT_EQ(daemon_.ctl({"reload"}).exit, Exit{});
  EXPECT_THAT(curl("/healthz").errors, HasSubstr("Failed to connect"));
  const Finished there = run(
      {.argv = {"curl", "-sS", "http://127.0.0.1:" + std::to_string(other.number()) + "/healthz"}});
  EXPECT_EQ(there.output, "ok\n");
}

TEST_F(Web, OfAPortThatIsTakenIsRefused) {
  start(recorder("one", "a/#"));
  const std::string taken = "127.0.0.1:" + std::to_string(broker_.port());
  daemon_.configure(daemon_.mqtt_section(broker_) + "handlers:\n" + recorder("one", "a/#") +
                    "http: {listen: \"" + taken + "\"}\n");
  const Finished refused = daemon_.ctl({"reload"});
  EXPECT_EQ(refused.exit, (Exit{.status = 78}));
  EXPECT_THAT(refused.errors, HasSubstr("http.listen: " + taken +
                                        " cannot be listened on: Address already in use"));
  EXPECT_EQ(page("/healthz"), "ok\n");
}

// ---- the page ----------------------------------------------------------------------------------

TEST_F(Web, ThePageLoadsNothingFromElsewhere) {
  start(recorder("one", "a/#"));
  const std::string head = curl("/", {"-D", "-", "-o", "/dev/null"}).output;
  EXPECT_THAT(head,
              AllOf(HasSubstr("Content-Security-Policy: default-src 'none'; script-src 'nonce-"),
                    HasSubstr("X-Content-Type-Options: nosniff")));
  const std::string html = page("/");
  EXPECT_THAT(html, AllOf(StartsWith("<!doctype html>"), Not(HasSubstr("NONCE")),
                          Not(HasSubstr("https://"))));
  EXPECT_NE(html, page("/")) << "its number is used once";
}

// What the browser has made of it after some time, as HTML.
class Page : public Web {
 protected:
  std::string seen() const {
    const Finished done =
        run({.argv = {"chromium", "--headless", "--no-sandbox", "--disable-gpu",
                      "--user-data-dir=" + daemon_.file("browser").string(),
                      "--virtual-time-budget=6000", "--dump-dom", "http://" + address() + "/"}},
            60s);
    if (done.exit != Exit{}) throw std::runtime_error("chromium: " + done.errors);
    return done.output;
  }
};

TEST_F(Page, ShowsHandlersAndDeadLetters) {
  start(recorder("good", "g/#") + recorder("picky", "p/#", "answer: reject"));
  publish_all(broker_, "g/1", numbers(3));
  publish(broker_, "p/1", "x");
  EXPECT_TRUE(becomes(R"(fastmqttd_dead_letters{handler="picky"})", "1"));
  const std::string html = seen();
  EXPECT_THAT(html, AllOf(HasSubstr("connected to 127.0.0.1:"), HasSubstr("<strong>good</strong>"),
                          HasSubstr("<strong>picky</strong>"), HasSubstr("rejected"),
                          HasSubstr("<polyline"), HasSubstr("<title>fastmqttd</title>")));
}

TEST_F(Page, TakesNoMarkupFromTopics) {
  const std::string hostile = "p/<img src=x onerror=\"document.title='taken'\">/<script>1</script>";
  start(recorder("picky", "p/#", "answer: reject"));
  publish(broker_, hostile, "<b>payload</b>");
  EXPECT_TRUE(becomes(R"(fastmqttd_dead_letters{handler="picky"})", "1"));
  const std::string html = seen();
  EXPECT_THAT(html,
              AllOf(HasSubstr("p/&lt;img src=x onerror="), HasSubstr("<title>fastmqttd</title>"),
                    Not(HasSubstr("<img")), Not(HasSubstr("<script>1"))));
}

TEST_F(Page, SaysThatTheBrokerIsAway) {
  start(recorder("one", "a/#"));
  broker_.stop();
  EXPECT_TRUE(becomes("fastmqttd_connected", "0"));
  // Between two attempts, that is: during one it is connecting.
  std::string html;
  EXPECT_TRUE(eventually([&] {
    html = seen();
    return html.find("not connected to") != html.npos;
  })) << html;
  EXPECT_THAT(html, HasSubstr("<title>! fastmqttd</title>"));
}

}  // namespace
}  // namespace fastmqttd::testing
