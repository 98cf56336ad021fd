// Many messages in one request.
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "handlers/webhook/webhook_test.hpp"

namespace fastmqtt::webhook::testing {
namespace {

// Gives a message of each payload that arrives now, on a topic of its own; their ids.
std::vector<std::uint64_t> give(HandlerTester& tester, const std::vector<std::string>& payloads) {
  std::vector<std::uint64_t> ids;
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    EXPECT_EQ(tester.deliver({.topic = "t/" + std::to_string(i),
                              .payload = payloads[i],
                              .received = std::chrono::system_clock::now()}),
              Result::pending);
    ids.push_back(tester.last_id());
  }
  return ids;
}

std::vector<Result> answers(HandlerTester& tester, const std::vector<std::uint64_t>& ids) {
  std::vector<Result> all;
  for (const std::uint64_t id : ids) all.push_back(tester.answer_to(id));
  return all;
}

TEST(WebhookBatch, MakesAnArray) {
  const WebServer server;
  HandlerTester tester({{"url", server.url()},
                        {"body", R"({{"topic": "{topic}", "value": {payload}}})"},
                        {"batch.size", "3"},
                        {"batch.delay", "10s"}});
  EXPECT_THAT(answers(tester, give(tester, {"1", "{}", "\"x\""})), Each(Result::ok));
  const WebRequest request = server.requests().at(0);
  EXPECT_EQ(nlohmann::json::parse(request.body), nlohmann::json::parse(R"([
      {"topic": "t/0", "value": 1}, {"topic": "t/1", "value": {}}, {"topic": "t/2", "value": "x"}
  ])"));
  EXPECT_EQ(request.headers.at("content-type"), "application/json");
  EXPECT_EQ(tester.deliver("t", "no JSON"), Result::reject);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(WebhookBatch, JoinsWithASeparator) {
  const WebServer server;
  HandlerTester tester({{"url", server.url()},
                        {"body", "m,topic={topic} value={number}"},
                        {"format", "line_protocol"},
                        {"batch.size", "2"},
                        {"batch.delay", "10s"},
                        {"batch.separator", "\n"}});
  EXPECT_THAT(answers(tester, give(tester, {"1", "2"})), Each(Result::ok));
  EXPECT_EQ(server.requests().at(0).body, "m,topic=t/0 value=1\nm,topic=t/1 value=2");
  EXPECT_EQ(server.requests().at(0).headers.at("content-type"), "text/plain; charset=utf-8");
}

// It arrived in 1970: it has waited long enough.
TEST(WebhookBatch, SendsAtOnceWhatHasWaited) {
  const WebServer server;
  HandlerTester tester({{"url", server.url()}, {"batch.size", "100"}, {"batch.delay", "10s"}});
  const auto began = SteadyClock::now();
  EXPECT_EQ(answer(tester, {.topic = "t", .payload = "1"}), Result::ok);
  EXPECT_LT(SteadyClock::now() - began, 5s);
}

TEST(WebhookBatch, GathersWhileOneIsUnderWay) {
  std::atomic<bool> go{false};
  const WebServer server([&](const WebRequest&) {
    go.wait(false);
    return WebAnswer{};
  });
  HandlerTester tester({{"url", server.url()}, {"batch.size", "10"}, {"parallel", "1"}});
  const auto first = give(tester, {"1"});
  EXPECT_THAT(server.await_requests(1), SizeIs(1));
  const auto rest = give(tester, {"2", "3", "4", "5"});
  go = true;
  go.notify_all();
  EXPECT_THAT(answers(tester, rest), Each(Result::ok));
  EXPECT_EQ(tester.answer_to(first[0]), Result::ok);
  ASSERT_THAT(server.requests(), SizeIs(2));
  EXPECT_EQ(server.requests()[1].body, "[2,3,4,5]");
}

TEST(WebhookBatch, FindsTheOneThatIsRefused) {
  const WebServer server([](const WebRequest& request) {
    const bool bad = request.body.find("bad") != std::string::npos;
    return WebAnswer{.status = bad ? 400 : 204};
  });
  HandlerTester tester({{"url", server.url()}, {"batch.size", "32"}, {"batch.delay", "10s"}});
  std::vector<std::string> payloads;
  for (int i = 100; i < 132; ++i) payloads.push_back(std::to_string(i));
  payloads[7] = payloads[13] = "\"bad\"";
  std::vector<Result> expected(32, Result::ok);
  expected[7] = expected[13] = Result::reject;
  EXPECT_EQ(answers(tester, give(tester, payloads)), expected);
  EXPECT_LT(server.requests().size(), 20u);
  EXPECT_EQ(tester.logs(), std::vector<std::string>(2, "HTTP 400"));
}

TEST(WebhookBatch, IsRefusedAsAWholeWhenThatIsDueToNone) {
  const WebServer server([](const WebRequest&) { return WebAnswer{.status = 401}; });
  HandlerTester tester({{"url", server.url()}, {"batch.size", "3"}, {"batch.delay", "10s"}});
  EXPECT_THAT(answers(tester, give(tester, {"1", "2", "3"})), Each(Result::reject));
  EXPECT_THAT(server.requests(), SizeIs(1));
  EXPECT_THAT(tester.logs(), ElementsAre("HTTP 401 (3 messages in one request)"));
}

TEST(WebhookBatch, IsTriedAgainAsAWhole) {
  std::atomic<int> count{0};
  const WebServer server([&](const WebRequest&) {
    return ++count == 1 ? WebAnswer{.status = 503, .headers = {{"Retry-After", "1"}}} : WebAnswer{};
  });
  HandlerTester tester({{"url", server.url()}, {"batch.size", "2"}, {"batch.delay", "10s"}});
  const auto began = SteadyClock::now();
  EXPECT_THAT(answers(tester, give(tester, {"1", "2"})), Each(Result::ok));
  EXPECT_GE(SteadyClock::now() - began, 900ms);
  ASSERT_THAT(server.requests(), SizeIs(2));
  EXPECT_EQ(server.requests()[0].body, server.requests()[1].body);
}

TEST(WebhookBatch, KeepsWithinWhatServersTake) {
  const WebServer server;
  HandlerTester tester({{"url", server.url()}, {"batch.size", "10"}, {"batch.separator", ""}});
  const std::vector<std::string> payloads(5, std::string(200'000, 'x'));
  EXPECT_THAT(answers(tester, give(tester, payloads)), Each(Result::ok));
  for (const WebRequest& request : server.requests()) EXPECT_LT(request.body.size(), 1'000'000u);
}

}  // namespace
}  // namespace fastmqtt::webhook::testing
