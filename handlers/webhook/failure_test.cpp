// Servers that are away, slow, busy, broken, or not who they say; and the end of the handler.
#include <sys/socket.h>

#include <atomic>
#include <ctime>
#include <thread>

#include "handlers/webhook/webhook_test.hpp"
#include "tests/support/process.hpp"

namespace fastmqtt::webhook::testing {
namespace {

TEST(WebhookFailure, OneThatIsDownIsNamedOnceAndItsReturnToo) {
  WebServer server;
  server.stop();
  HandlerTester tester({{"url", server.url() + "/secret?key=1"}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
  server.start();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  server.stop();
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
  std::vector<std::string> loud;
  const auto logs = tester.logs();
  const auto levels = tester.levels();
  for (std::size_t i = 0; i < logs.size(); ++i)
    if (levels[i] != Level::debug) loud.push_back(logs[i]);
  EXPECT_THAT(loud,
              ElementsAre(AllOf(HasSubstr(server.url()), HasSubstr("connect")),
                          HasSubstr(server.url() + " answers again"), HasSubstr(server.url())));
  EXPECT_EQ(count_of(logs, "secret"), 0u);
}

TEST(WebhookFailure, AnAnswerThatBreaksOffIsNone) {
  const RawServer server([](int connection) {
    read_request_head(connection);
    write_all(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of");
  });
  HandlerTester tester({{"url", server.url()}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("transfer closed"));
}

TEST(WebhookFailure, NeitherIsRubbishNorSilence) {
  const RawServer rubbish([](int connection) { write_all(connection, "220 smtp ready\r\n"); });
  HandlerTester talks({{"url", rubbish.url()}});
  EXPECT_EQ(answer(talks, {.topic = "a"}), Result::retry);
  const RawServer closes([](int connection) { read_request_head(connection); });
  HandlerTester silent({{"url", closes.url()}});
  EXPECT_EQ(answer(silent, {.topic = "a"}), Result::retry);
}

TEST(WebhookFailure, WaitsNoLongerThanItsTimeout) {
  std::atomic<bool> go{false};
  const RawServer server([&](int connection) {
    read_request_head(connection);
    write_all(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (!go) {
      write_all(connection, ".");
      std::this_thread::sleep_for(5ms);
    }
  });
  HandlerTester tester({{"url", server.url()}, {"timeout", "200ms"}});
  const auto began = SteadyClock::now();
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
  EXPECT_GE(SteadyClock::now() - began, 190ms);
  EXPECT_LT(SteadyClock::now() - began, 5s);
  EXPECT_THAT(tester.last_log(), HasSubstr("timed out"));
  go = true;
  go.notify_all();
}

TEST(WebhookFailure, AConnectionThatTheServerHasClosedIsMadeAgain) {
  const RawServer server([](int connection) {
    read_request_head(connection);
    write_all(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");  // and is closed
  });
  HandlerTester tester({{"url", server.url()}, {"body", ""}});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  EXPECT_THAT(tester.logs(), IsEmpty());
}

// ---- one that is busy --------------------------------------------------------------------------

class Busy : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(SecondsOrDate, Busy, ::testing::Bool());

std::string http_date(std::time_t when) {
  std::tm utc{};
  ::gmtime_r(&when, &utc);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %T GMT", &utc)};
}

TEST_P(Busy, GetsThePauseThatItAsksFor) {
  std::atomic<int> count{0};
  const WebServer server([&](const WebRequest&) {
    const std::string pause = GetParam() ? http_date(std::time(nullptr) + 2) : "1";
    return ++count == 1 ? WebAnswer{.status = 429, .headers = {{"Retry-After", pause}}}
                        : WebAnswer{};
  });
  HandlerTester tester({{"url", server.url()}});
  EXPECT_EQ(tester.deliver("a", ""), Result::pending);
  const auto first = tester.last_id();
  EXPECT_TRUE(eventually([&] { return !tester.logs().empty(); }));
  EXPECT_EQ(tester.deliver("b", ""), Result::pending);
  EXPECT_EQ(tester.answer_to(first), Result::ok) << "a pause is no failure";
  EXPECT_EQ(tester.answer_to(tester.last_id()), Result::ok);
  const auto requests = server.requests();
  ASSERT_THAT(requests, SizeIs(3));
  EXPECT_GE(requests[1].arrived - requests[0].arrived, 900ms);
  EXPECT_GE(requests[2].arrived - requests[0].arrived, 900ms) << "all requests are held back";
  EXPECT_THAT(tester.logs()[0], HasSubstr("HTTP 429; it asks for a pause of "));
  EXPECT_THAT(tester.logs()[1], HasSubstr("answers again"));
}

TEST(WebhookFailure, DoesNotHoldMessagesBeyondTheirTime) {
  const WebServer server([](const WebRequest&) {
    return WebAnswer{.status = 503, .headers = {{"Retry-After", "86400"}}};
  });
  HandlerTester tester({{"url", server.url()}, {"parallel", "1"}});
  const auto began = SteadyClock::now();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry);
  EXPECT_LT(SteadyClock::now() - began, 5s);
  EXPECT_THAT(server.requests(), SizeIs(1)) << "it asked for a pause";
}

TEST(WebhookFailure, APauseThatHasPassedIsNone) {
  for (const char* pause : {"0", "-5", "Thu, 01 Jan 1970 00:00:00 GMT", "soon"}) {
    const WebServer server([&](const WebRequest&) {
      return WebAnswer{.status = 503, .headers = {{"Retry-After", pause}}};
    });
    HandlerTester tester({{"url", server.url()}});
    EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry) << pause;
    EXPECT_EQ(answer(tester, {.topic = "a"}), Result::retry) << pause;
    EXPECT_THAT(server.requests(), SizeIs(2)) << pause;
  }
}

// ---- TLS ---------------------------------------------------------------------------------------

class WebhookTls : public ::testing::Test {
 protected:
  const CertificateAuthority authority_{"Test CA"};
  const fastmqttd::testing::Certificate certificate_ =
      authority_.issue({.name = "localhost", .alternatives = "DNS:localhost"});
};

TEST_F(WebhookTls, ChecksWhoAnswers) {
  const WebServer server(certificate_);
  const std::string ca = authority_.file();
  HandlerTester good({{"url", server.url()}, {"tls.ca_file", ca}, {"tls.min_version", "1.3"}});
  EXPECT_EQ(answer(good, {.topic = "a"}), Result::ok);
  HandlerTester unknown({{"url", server.url()}});
  EXPECT_EQ(answer(unknown, {.topic = "a"}), Result::retry);
  EXPECT_THAT(unknown.last_log(), HasSubstr("SSL certificate problem"));
  const std::string by_address = "https://127.0.0.1:" + std::to_string(server.port());
  HandlerTester other({{"url", by_address}, {"tls.ca_file", ca}});
  EXPECT_EQ(answer(other, {.topic = "a"}), Result::retry);
  EXPECT_THAT(server.requests(), SizeIs(1));
  HandlerTester blind({{"url", by_address}, {"tls.verify", "false"}});
  EXPECT_THAT(blind.last_log(), HasSubstr("tls.verify is false"));
  EXPECT_EQ(answer(blind, {.topic = "a"}), Result::ok);
}

TEST_F(WebhookTls, ShowsItsCertificate) {
  const CertificateAuthority clients("Client CA");
  const auto own = clients.issue({.name = "webhook", .key_password = "pass word"});
  const WebServer server(certificate_, clients.file());
  const std::string ca = authority_.file();
  HandlerTester known({{"url", server.url()},
                       {"tls.ca_file", ca},
                       {"tls.cert_file", own.cert},
                       {"tls.key_file", own.key},
                       {"tls.key_password", "pass word"}});
  EXPECT_EQ(answer(known, {.topic = "a"}), Result::ok);
  HandlerTester without_password({{"url", server.url()},
                                  {"tls.ca_file", ca},
                                  {"tls.cert_file", own.cert},
                                  {"tls.key_file", own.key}});
  EXPECT_EQ(answer(without_password, {.topic = "a"}), Result::retry);
  HandlerTester stranger({{"url", server.url()}, {"tls.ca_file", ca}});
  EXPECT_EQ(answer(stranger, {.topic = "a"}), Result::retry);
  EXPECT_THAT(server.requests(), SizeIs(1));
}

TEST_F(WebhookTls, SpeaksHttp2) {
  using namespace fastmqttd::testing;
  const TempDir directory;
  const Port port;
  write_file(directory / "in", "fine");
  Process server({.argv = {"nghttpd", "-v", "-a", "127.0.0.1", "-d", directory.path(),
                           std::to_string(port.number()), certificate_.key, certificate_.cert},
                  .output = directory / "log"});
  HandlerTester tester({{"url", "https://localhost:" + std::to_string(port.number()) + "/in"},
                        {"tls.ca_file", authority_.file()},
                        {"headers.X-Topic", "{topic}"}});
  ASSERT_TRUE(eventually([&] { return answer(tester, {.topic = "a"}) == Result::ok; }))
      << tester.last_log();
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(tester.deliver("t/" + std::to_string(i), "x"), Result::pending);
    ids.push_back(tester.last_id());
  }
  for (const std::uint64_t id : ids) EXPECT_EQ(tester.answer_to(id), Result::ok);
  server.signal(SIGTERM);
  server.wait();
  const std::string log = read_file(directory / "log");
  EXPECT_THAT(log, HasSubstr("x-topic: t/19")) << "no HTTP/2";
  EXPECT_THAT(log, HasSubstr(":method: POST"));
  EXPECT_THAT(log, HasSubstr("[id=1]"));
  EXPECT_EQ(log.find("[id=2]"), std::string::npos) << "more than one connection";
}

// ---- the end -----------------------------------------------------------------------------------

TEST(WebhookFailure, EndsAtOnceAndAnswersNothingThatHasNoAnswer) {
  std::atomic<bool> go{false};
  std::atomic<int> begun{0};
  const WebServer server([&](const WebRequest&) {
    ++begun;
    go.wait(false);
    return WebAnswer{};
  });
  auto tester = std::make_unique<HandlerTester>(
      std::initializer_list<Option>{{"url", server.url()}, {"timeout", "1h"}});
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(tester->deliver("t", ""), Result::pending);
    ids.push_back(tester->last_id());
  }
  EXPECT_TRUE(eventually([&] { return begun == 4; }));
  EXPECT_THROW(tester->answer_to(ids[0], 0ms), std::runtime_error);
  const auto began = SteadyClock::now();
  tester.reset();
  EXPECT_LT(SteadyClock::now() - began, 5s);
  go = true;
  go.notify_all();
}

// A name that is still looked up holds up nothing.
TEST(WebhookFailure, EndsWhileANameIsLookedUp) {
  const auto began = SteadyClock::now();
  {
    HandlerTester tester({{"url", "http://no.such.name.invalid/"}});
    EXPECT_EQ(tester.deliver("t", ""), Result::pending);
  }
  EXPECT_LT(SteadyClock::now() - began, 5s);
}

}  // namespace
}  // namespace fastmqtt::webhook::testing
