// One message, one request: what is sent, and what the answers mean.
#include "handlers/webhook/webhook.cpp"

#include "handlers/webhook/webhook_test.hpp"

namespace fastmqtt::webhook::testing {
namespace {

TEST(Webhook, SendsThePayloadAsItIs) {
  const WebServer server;
  HandlerTester tester({{"url", server.url() + "/in"}});
  const std::string payload("\0 \xff\r\n{}", 7);
  EXPECT_EQ(answer(tester, {.topic = "a/b", .payload = payload}), Result::ok);
  EXPECT_EQ(answer(tester, {.topic = "a/b", .payload = ""}), Result::ok);
  const auto requests = server.requests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].target, "/in");
  EXPECT_EQ(requests[0].body, payload);
  EXPECT_EQ(requests[1].body, "");
  for (const char* name : {"content-type", "expect", "authorization"})
    EXPECT_FALSE(requests[0].headers.contains(name)) << name;
  EXPECT_THAT(tester.logs(), IsEmpty());
  EXPECT_EQ(tester.counts().at("requests"), 2u);
}

TEST(Webhook, KeepsItsConnection) {
  const WebServer server;
  HandlerTester tester({{"url", server.url()}});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  for (const WebRequest& request : server.requests())
    EXPECT_EQ(request.client_port, server.requests()[0].client_port);
}

TEST(Webhook, SendsLargeBodiesWithoutAPause) {
  const WebServer server;
  HandlerTester tester({{"url", server.url()}});
  const std::string payload(3'000'000, 'x');
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = payload}), Result::ok);
  EXPECT_EQ(server.requests()[0].body.size(), payload.size());
  EXPECT_FALSE(server.requests()[0].headers.contains("expect")) << "it waits for a leave to go on";
}

TEST(Webhook, FillsUrlHeadersAndBody) {
  const WebServer server;
  HandlerTester tester({{"url", server.url() + "/{topic.1}/x?v={payload}&q={qos}"},
                        {"method", "PUT"},
                        {"headers.X-Topic", "<{topic}>"},
                        {"headers.Content-Type", "{property.content_type|text/plain}"},
                        {"body", "{handler}: {payload}"}},
                       "relay");
  EXPECT_EQ(answer(tester, {.topic = "a?b%c/d", .payload = "1&q=/\n%"}), Result::ok);
  const WebRequest request = server.requests().at(0);
  EXPECT_EQ(request.method, "PUT");
  EXPECT_EQ(request.target, "/a%3Fb%25c/x?v=1%26q%3D%2F%0A%25&q=1");
  EXPECT_EQ(request.headers.at("x-topic"), "<a?b%c/d>");
  EXPECT_EQ(request.headers.at("content-type"), "text/plain");
  EXPECT_EQ(request.body, "relay: 1&q=/\n%");
}

TEST(Webhook, SkipsWhatHasNothingForAPlaceholder) {
  const WebServer server;
  HandlerTester tester({{"url", server.url() + "/{topic.2}"},
                        {"headers.X-Unit", "{property.unit}"},
                        {"format", "json"},
                        {"body", R"({{"v": {json:/v}}})"},
                        {"missing", "skip"}});
  const std::vector<std::pair<std::string, std::string>> unit = {{"unit", "C"}};
  for (const TestMessage& message :
       {TestMessage{.topic = "a", .payload = "{}"}, TestMessage{.topic = "a/b", .payload = "{}"},
        TestMessage{.topic = "a/b", .payload = "{}", .user_properties = unit},
        TestMessage{.topic = "a/b", .payload = "online", .user_properties = unit}})
    EXPECT_EQ(answer(tester, message), Result::ok);
  EXPECT_EQ(tester.counts().at("skipped"), 4u);
  EXPECT_EQ(server.requests().size(), 0u);
  EXPECT_THAT(tester.logs(), IsEmpty());
  const std::string null = R"({"v": null})";
  EXPECT_EQ(answer(tester, {.topic = "a/b", .payload = null, .user_properties = unit}), Result::ok);
  EXPECT_EQ(server.requests().at(0).body, null) << "it is a value of JSON";
  const std::string text = R"({"v": "warm"})";
  EXPECT_EQ(answer(tester, {.topic = "a/b", .payload = text, .user_properties = unit}),
            Result::reject)
      << "it is there, and will not do";
  EXPECT_EQ(tester.counts().at("skipped"), 4u);
}

TEST(Webhook, SendsAnEmptyHeaderTooAndNoneOfItsOwn) {
  std::string head;
  const RawServer server([&](int connection) {
    head = read_request_head(connection);
    write_all(connection, "HTTP/1.1 204 fine\r\n\r\n");
  });
  HandlerTester tester({{"url", server.url()}, {"headers.X-Empty", "{property.none|}"}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::ok);
  EXPECT_THAT(head, ::testing::MatchesRegex("POST / HTTP/1.1\r\nHost: [0-9.:]+\r\n"
                                            "User-Agent: fastmqttd-webhook\r\nAccept: [*]/[*]\r\n"
                                            "X-Empty:\r\nContent-Length: 0\r\n\r\n"));
}

TEST(Webhook, NeedsNoBody) {
  const WebServer server;
  for (const char* method : {"GET", "DELETE"}) {
    HandlerTester tester({{"url", server.url() + "/relay?turn={payload}"}, {"method", method}});
    EXPECT_EQ(answer(tester, {.topic = "a", .payload = "on"}), Result::ok);
    EXPECT_EQ(server.requests().back().method, method);
    EXPECT_EQ(server.requests().back().target, "/relay?turn=on");
    EXPECT_EQ(server.requests().back().body, "");
  }
}

TEST(Webhook, NoMessageBreaksOutOfItsPlace) {
  const WebServer server;
  HandlerTester tester({{"url", server.url() + "/api/{topic.2}/set"},
                        {"headers.Title", "{payload}"},
                        {"format", "json"},
                        {"body", R"({{"title": "{payload}", "topic": "{topic}"}})"}});
  const auto says = [&](const TestMessage& message) {
    EXPECT_EQ(answer(tester, message), Result::reject);
    return tester.last_log();
  };
  EXPECT_THAT(says({.topic = "a"}), HasSubstr("the topic has no level 2: nothing is sent"));
  EXPECT_THAT(says({.topic = "a/.."}), HasSubstr("would leave its path"));
  EXPECT_THAT(says({.topic = "a/."}), HasSubstr("would leave its path"));
  EXPECT_THAT(says({.topic = "a/" + std::string(20'000, 'x')}), HasSubstr("the URL would have 20"));
  EXPECT_THAT(says({.topic = "a/b", .payload = "x\r\nX-Admin: yes"}),
              HasSubstr("the header Title would hold a line break"));
  EXPECT_THAT(says({.topic = "a/b", .payload = std::string("x\0y", 3)}), HasSubstr("header Title"));
  EXPECT_THAT(says({.topic = "a/b", .payload = std::string(20'000, 'x')}),
              HasSubstr("the header Title would have 20000 bytes"));
  EXPECT_THAT(server.requests(), IsEmpty());
  EXPECT_EQ(answer(tester, {.topic = "a/../c/%2e%2e", .payload = "\"}\xff"}), Result::reject);
  EXPECT_EQ(answer(tester, {.topic = "a/%2e%2e", .payload = "\"}"}), Result::ok);
  EXPECT_EQ(server.requests().at(0).target, "/api/%252e%252e/set");
  EXPECT_EQ(server.requests().at(0).body, R"({"title": "\"}", "topic": "a/%2e%2e"})");
  EXPECT_EQ(server.requests().at(0).headers.at("content-type"), "application/json");
}

TEST(Webhook, TheStatusIsTheAnswer) {
  const WebServer server(
      [](const WebRequest& request) { return WebAnswer{.status = std::stoi(request.body)}; });
  HandlerTester tester({{"url", server.url()},
                        {"status.ok", "409"},
                        {"status.retry.0", "404"},
                        {"status.reject.0", "501"},
                        {"status.reject.1", "204"}});
  for (const auto& [status, result] :
       {std::pair("200", Result::ok), std::pair("201", Result::ok), std::pair("299", Result::ok),
        std::pair("400", Result::reject), std::pair("401", Result::reject),
        std::pair("301", Result::reject), std::pair("304", Result::reject),
        std::pair("408", Result::retry), std::pair("425", Result::retry),
        std::pair("429", Result::retry), std::pair("500", Result::retry),
        std::pair("503", Result::retry), std::pair("599", Result::retry),
        std::pair("409", Result::ok), std::pair("404", Result::retry),
        std::pair("501", Result::reject), std::pair("204", Result::reject)})
    EXPECT_EQ(answer(tester, {.topic = "a", .payload = status}), result) << status;
}

TEST(Webhook, LogsTheBeginningOfWhatARefusalSays) {
  const WebServer server([](const WebRequest& request) {
    if (request.body == "much")
      return WebAnswer{.status = 400, .body = std::string(5'000'000, 'x')};
    if (request.body == "fine")
      return WebAnswer{.status = 200, .body = std::string(5'000'000, 'x')};
    return WebAnswer{.status = 422, .body = "no\n\tsuch \x1b[31m\xff field"};
  });
  HandlerTester tester({{"url", server.url()}});
  EXPECT_EQ(answer(tester, {.topic = "a"}), Result::reject);
  EXPECT_EQ(tester.last_log(), "HTTP 422: no such [31m? field");
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = "much"}), Result::reject);
  EXPECT_EQ(tester.last_log(), "HTTP 400: " + std::string(300, 'x') + "...");
  EXPECT_EQ(answer(tester, {.topic = "a", .payload = "fine"}), Result::ok);
}

TEST(Webhook, FollowsRedirectsOnlyWhenToldTo) {
  const WebServer server([](const WebRequest& request) {
    if (request.target == "/new") return WebAnswer{};
    const std::string to = request.target == "/file" ? "file:///etc/passwd" : "/new";
    return WebAnswer{.status = request.target == "/301" ? 301 : 303, .headers = {{"Location", to}}};
  });
  HandlerTester usual({{"url", server.url() + "/301"}});
  EXPECT_EQ(answer(usual, {.topic = "a"}), Result::reject);
  EXPECT_EQ(usual.last_log(), "HTTP 301, which points to " + server.url());
  for (const char* path : {"/301", "/303"}) {
    HandlerTester told({{"url", server.url() + path}, {"redirects", "2"}, {"method", "PUT"}});
    EXPECT_EQ(answer(told, {.topic = "a", .payload = "body"}), Result::ok);
    EXPECT_EQ(server.requests().back().target, "/new");
    EXPECT_EQ(server.requests().back().method, "PUT");
    EXPECT_EQ(server.requests().back().body, "body");
  }
  HandlerTester lured({{"url", server.url() + "/file"}, {"redirects", "2"}});
  EXPECT_EQ(answer(lured, {.topic = "a"}), Result::reject);
  EXPECT_THAT(lured.last_log(), HasSubstr("not supported"));
}

TEST(Webhook, SaysWhoItIs) {
  const WebServer server;
  HandlerTester basic({{"url", server.url()}, {"user", "me"}, {"password", "s:cret"}});
  EXPECT_EQ(answer(basic, {.topic = "a"}), Result::ok);
  EXPECT_EQ(server.requests()[0].headers.at("authorization"), "Basic bWU6czpjcmV0");
  HandlerTester bearer({{"url", server.url()}, {"headers.Authorization", "Bearer abc"}});
  EXPECT_EQ(answer(bearer, {.topic = "a"}), Result::ok);
  EXPECT_EQ(server.requests()[1].headers.at("authorization"), "Bearer abc");
}

TEST(Webhook, TakesTheProxyThatItIsGivenAndNoOther) {
  const WebServer server;
  const WebServer proxy;
  ::setenv("http_proxy", proxy.url().c_str(), 1);
  HandlerTester direct({{"url", server.url() + "/x"}});
  EXPECT_EQ(answer(direct, {.topic = "a"}), Result::ok);
  ::unsetenv("http_proxy");
  EXPECT_THAT(proxy.requests(), IsEmpty());
  HandlerTester through({{"url", "http://nowhere.invalid/x"}, {"proxy", proxy.url()}});
  EXPECT_EQ(answer(through, {.topic = "a"}), Result::ok);
  EXPECT_EQ(proxy.requests().at(0).target, "http://nowhere.invalid/x");
}

TEST(Webhook, SendsSeveralAtOnceAndNoMore) {
  std::atomic<int> at_once{0};
  std::atomic<bool> go{false};
  const WebServer server([&](const WebRequest&) {
    ++at_once;
    go.wait(false);
    return WebAnswer{};
  });
  HandlerTester tester({{"url", server.url()}, {"parallel", "2"}});
  EXPECT_EQ(tester.deliver("a", ""), Result::pending);
  EXPECT_EQ(tester.deliver("b", ""), Result::pending);
  EXPECT_TRUE(eventually([&] { return at_once == 2; }));
  std::thread third([&] { EXPECT_EQ(tester.deliver("c", ""), Result::pending); });
  EXPECT_FALSE(eventually(50ms, [&] { return at_once == 3; }));
  go = true;
  go.notify_all();
  third.join();
  EXPECT_EQ(tester.answer_to(tester.last_id()), Result::ok);
  EXPECT_EQ(server.requests().size(), 3u);
}

TEST(Webhook, TwoInstancesDoNotMeet) {
  const WebServer first, second;
  HandlerTester one({{"url", first.url()}}, "one");
  {
    HandlerTester two({{"url", second.url()}}, "two");
    EXPECT_EQ(answer(two, {.topic = "a"}), Result::ok);
    EXPECT_EQ(answer(one, {.topic = "a"}), Result::ok);
  }
  EXPECT_EQ(answer(one, {.topic = "a"}), Result::ok);
  EXPECT_THAT(first.requests(), SizeIs(2));
  EXPECT_THAT(second.requests(), SizeIs(1));
}

}  // namespace
}  // namespace fastmqtt::webhook::testing
