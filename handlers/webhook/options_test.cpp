#include <fstream>

#include "handlers/webhook/webhook_test.hpp"

namespace fastmqtt::webhook::testing {
namespace {

constexpr const char* kUrl = "http://localhost/";
constexpr const char* kSecureUrl = "https://localhost/";

TEST(WebhookOptions, NoMessageChoosesTheServer) {
  for (const char* url :
       {"{payload}", "{topic}://h/", "http://{topic}/", "http://{topic.1|h}/x", "http://h{topic}",
        "http://h:{topic}/", "http://{json:/host}/x", "http://a@{topic}/", "http:{topic}",
        "ftp://h/", "file:///etc/passwd", "h/x", "", "HTTP://h/"})
    EXPECT_THAT(refusal({{"url", url}}), HasSubstr("url: expected http:// or https://")) << url;
  for (const char* url : {"http://h", "https://h:8443/{topic}", "http://h?{topic}",
                          "http://[::1]:80/{topic|http://x/}"})
    EXPECT_EQ(refusal({{"url", url}}), "none") << url;
}

TEST(WebhookOptions, NamesBadUrls) {
  EXPECT_THAT(refusal({}), HasSubstr("url: expected text"));
  EXPECT_THAT(refusal({{"url", "http://h/{tpoic}"}}), HasSubstr("url: at character 10: '{tpoic}'"));
  EXPECT_THAT(refusal({{"url", "http://me:secret@h/"}}), HasSubstr("user and password"));
  EXPECT_THAT(refusal({{"url", "http://h/x#{topic}"}}), HasSubstr("%23"));
  for (const char* url :
       {"http://", "http:///x", "http:///{topic}", "http://?{topic}", "http:////{topic}",
        "http://@/{topic}", "http://h:99999/", "http://h/a b", "http://h{{x/"})
    EXPECT_THAT(refusal({{"url", url}}), HasSubstr("url: is no URL")) << url;
}

TEST(WebhookOptions, NamesBadRequests) {
  EXPECT_THAT(refusal({{"url", kUrl}, {"method", "SEND"}}),
              HasSubstr("method: expected one of POST, PUT, PATCH, GET, DELETE"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"method", "GET"}, {"body", "x"}}),
              HasSubstr("body: has no effect with method: GET"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"method", "DELETE"}, {"batch.size", "3"}}),
              HasSubstr("batch: has no effect"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"headers.a b", "x"}}), HasSubstr("headers.a b: is no name"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"headers.host", "{topic}"}}),
              HasSubstr("headers.host: is made by webhook itself"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"headers.X-a", "1"}, {"headers.x-A", "2"}}),
              HasSubstr("headers.x-A: stands there twice"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"headers.A", "{nothing}"}}),
              HasSubstr("headers.A: at character 1"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"body", "{nothing}"}}), HasSubstr("body: at character 1"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"format", "xml"}}),
              HasSubstr("format: expected one of raw, json, form, line_protocol"));
}

TEST(WebhookOptions, ABodyOfJsonSaysSo) {
  const std::string body = R"({{"text": "{payload}"}})";
  EXPECT_THAT(refusal({{"url", kUrl}, {"body", body}}), HasSubstr("format: expected json"));
  EXPECT_EQ(refusal({{"url", kUrl}, {"body", body}, {"format", "json"}}), "none");
  EXPECT_EQ(refusal({{"url", kUrl}, {"body", body}, {"format", "raw"}}), "none");
  EXPECT_THAT(refusal({{"url", kUrl}, {"body", "[{payload}"}, {"format", "json"}}),
              HasSubstr("body: is no JSON"));
  EXPECT_THAT(refusal({{"url", kUrl},
                       {"body", "{{\"a\": {topic}"},
                       {"headers.content-type", "application/json"}}),
              HasSubstr("body: is no JSON"))
      << "the header says that it is JSON";
}

TEST(WebhookOptions, NamesBadBatches) {
  EXPECT_THAT(refusal({{"url", kUrl}, {"batch", "10"}}),
              HasSubstr("batch: expected a map of size"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"batch.delay", "1s"}}), HasSubstr("batch.size: expected"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"batch.size", "1"}}), HasSubstr("batch.size: expected"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"batch.size", "2"}, {"batch.bytes", "1"}}),
              HasSubstr("batch.bytes: unknown: expected one of size, delay, separator"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"batch.size", "2"}, {"format", "form"}}),
              HasSubstr("batch.separator: expected"));
  EXPECT_THAT(refusal({{"url", "http://h/{topic}"}, {"batch.size", "2"}}),
              HasSubstr("url: no placeholders with batch"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"headers.A", "{topic}"}, {"batch.size", "2"}}),
              HasSubstr("headers.A: no placeholders with batch"));
}

TEST(WebhookOptions, NamesBadConnections) {
  EXPECT_THAT(refusal({{"url", kUrl}, {"tls.verify", "false"}}),
              HasSubstr("tls: has no effect with a URL of http://"));
  EXPECT_THAT(refusal({{"url", kSecureUrl}, {"tls", "true"}}), HasSubstr("tls: expected a map of"));
  EXPECT_THAT(refusal({{"url", kSecureUrl}, {"tls.ca", "x"}}),
              HasSubstr("tls.ca: unknown: expected one of ca_file"));
  EXPECT_THAT(refusal({{"url", kSecureUrl}, {"tls.ca_file", "/no/such"}}),
              HasSubstr("tls.ca_file: '/no/such': there is no such file"));
  EXPECT_THAT(
      refusal({{"url", kSecureUrl}, {"tls.verify", "false"}, {"tls.ca_file", "/etc/passwd"}}),
      HasSubstr("tls.ca_file: has no effect with verify: false"));
  EXPECT_THAT(refusal({{"url", kSecureUrl}, {"tls.key_password", "x"}}),
              HasSubstr("tls.key_password: has no effect without tls.cert_file"));
  EXPECT_THAT(refusal({{"url", kSecureUrl}, {"tls.min_version", "1.1"}}),
              HasSubstr("tls.min_version: expected one of 1.2, 1.3"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"proxy", "proxy"}}), HasSubstr("proxy: expected a URL"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"proxy", "ftp://proxy"}}), HasSubstr("proxy: expected"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"password", "x"}}),
              HasSubstr("password: has no effect without user"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"user", "a:b"}}), HasSubstr("user: expected a name"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"user", "a"}, {"headers.authorization", "x"}}),
              HasSubstr("user: has no effect with a header Authorization"));
}

TEST(WebhookOptions, NamesBadNumbers) {
  EXPECT_THAT(refusal({{"url", kUrl}, {"parallel", "0"}}), HasSubstr("parallel: expected"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"timeout", "soon"}}), HasSubstr("timeout: expected"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"redirects", "-1"}}), HasSubstr("redirects: expected"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"status.ok", "99"}}), HasSubstr("status.ok: expected"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"status.ok", "404"}, {"status.retry", "404"}}),
              HasSubstr("status.retry: 404 stands there twice"));
  EXPECT_THAT(refusal({{"url", kUrl}, {"status.fine", "200"}}), HasSubstr("status.fine: unknown"));
}

}  // namespace
}  // namespace fastmqtt::webhook::testing
