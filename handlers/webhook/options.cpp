#include "handlers/webhook/options.hpp"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

namespace fastmqtt::webhook {
namespace {

using common::Template;
using std::chrono::milliseconds;

bool is_given(const Host& host, const std::string& path) {
  return host.raw()->config_kind(host.raw(), path.c_str(), nullptr) != FASTMQTT_ABSENT;
}

void refuse(const Host& host, std::initializer_list<const char*> paths, const std::string& why) {
  for (const char* path : paths)
    if (is_given(host, path)) throw OptionError(path, "has no effect " + why);
}

// Of a map: no other names than these.
void check_names(const Host& host, const std::string& path,
                 std::initializer_list<std::string_view> known) {
  const std::int32_t kind = host.raw()->config_kind(host.raw(), path.c_str(), nullptr);
  std::string expected;
  for (const std::string_view name : known)
    expected += (expected.empty() ? "" : ", ") + std::string(name);
  if (kind != FASTMQTT_ABSENT && kind != FASTMQTT_MAP)
    throw OptionError(path, "expected a map of " + expected);
  for (const std::string& name : host.members(path))
    if (std::ranges::find(known, name) == known.end())
      throw OptionError(path + "." + name, "unknown: expected one of " + expected);
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// ---- the URL -----------------------------------------------------------------------------------

constexpr const char* kExpectedUrl =
    "expected http:// or https:// and a server, all of it without placeholders: what comes with a "
    "message must not choose where it goes";

struct UrlParts {
  std::string scheme, user, host;
};

std::optional<UrlParts> parse_url(const std::string& text, unsigned flags = 0) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), curl_url_cleanup);
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), flags) != CURLUE_OK)
    return std::nullopt;
  const auto part = [&](CURLUPart which) {
    char* found = nullptr;
    curl_url_get(url.get(), which, &found, 0);
    const std::string copy = found ? found : "";
    curl_free(found);
    return copy;
  };
  return UrlParts{part(CURLUPART_SCHEME), part(CURLUPART_USER), part(CURLUPART_HOST)};
}

// Scheme and server of the URL, which are the same for every message.
std::string read_server(const Host& host) {
  const auto pieces = pieces_of(host.required<std::string>("url"));
  const std::string start = pieces.empty() || pieces[0].is_placeholder ? "" : pieces[0].text;
  const std::size_t name = start.find("://");
  const std::size_t end = name == std::string::npos ? name : start.find_first_of("/?#", name + 3);
  const bool known = start.starts_with("http://") || start.starts_with("https://");
  if (!known || (end == std::string::npos && pieces.size() > 1))
    throw OptionError("url", kExpectedUrl);
  const std::string sample = sample_of(pieces, "x");
  const auto url = parse_url(sample);
  // libcurl would look for a name that is missing in what follows.
  const auto alone = parse_url(start.substr(0, end));
  if (!url || !alone || url->host != alone->host)
    throw OptionError("url",
                      "is no URL, whatever is filled in: expected such as https://host:8443/in");
  if (!url->user.empty()) throw OptionError("url", "give the user as user and password");
  for (const Piece& piece : pieces)
    if (!piece.is_placeholder && piece.text.find('#') != std::string::npos)
      throw OptionError("url", "what follows a '#' is never sent: write %23 for one");
  return start.substr(0, end);
}

// ---- headers and body --------------------------------------------------------------------------

bool is_header_name(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";  // RFC 9110 section 5.6.2
  return !name.empty() && std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

std::vector<std::pair<std::string, Template>> read_headers(const Host& host) {
  constexpr std::array kOurs = {
      "Connection", "Content-Length",    "Expect",  "Host",   "Keep-Alive",
      "TE",         "Transfer-Encoding", "Trailer", "Upgrade"};
  std::vector<std::pair<std::string, Template>> headers;
  for (const auto& header : host.map("headers")) {
    const std::string& name = header.first;
    const std::string path = "headers." + name;
    if (!is_header_name(name)) throw OptionError(path, "is no name of a header");
    if (std::ranges::any_of(kOurs, [&](const char* ours) { return same_name(name, ours); }))
      throw OptionError(path, "is made by webhook itself");
    for (const auto& [other, value] : headers)
      if (same_name(name, other)) throw OptionError(path, "stands there twice");
    headers.emplace_back(name, common::template_option(host, path, nullptr));
  }
  return headers;
}

const Template* find_header(const Options& options, std::string_view name) {
  for (const auto& [other, value] : options.headers)
    if (same_name(name, other)) return &value;
  return nullptr;
}

// What the header Content-Type says about the body, when it is there and always the same.
Format format_of_content(const Options& options, const Host& host) {
  const Template* type = find_header(options, "Content-Type");
  if (!type || !type->is_constant()) return Format::raw;
  for (const auto& [name, text] : host.map("headers")) {
    if (!same_name(name, "Content-Type")) continue;
    if (text.find("json") != std::string::npos) return Format::json;
    if (text.find("x-www-form-urlencoded") != std::string::npos) return Format::form;
  }
  return Format::raw;
}

Batch read_batch(const Host& host) {
  check_names(host, "batch", {"size", "delay", "separator"});
  Batch batch;
  if (!is_given(host, "batch")) return batch;
  batch.size = host.required<std::size_t>("batch.size", 2, 10'000);
  batch.delay =
      host.option("batch.delay", milliseconds(100), milliseconds(0), milliseconds(10'000));
  if (is_given(host, "batch.separator")) batch.separator = host.option("batch.separator", "");
  return batch;
}

Format read_format(const Host& host, const Options& options) {
  const bool array = options.batch.size > 1 && !options.batch.separator;
  const Format usual = array ? Format::json : format_of_content(options, host);
  const Format format = host.option("format", usual,
                                    {{"raw", Format::raw},
                                     {"json", Format::json},
                                     {"form", Format::form},
                                     {"line_protocol", Format::line_protocol}});
  if (array && format != Format::json)
    throw OptionError("batch.separator",
                      "expected what is to stand between the messages: without it they make an "
                      "array of JSON, which goes with format: json only");
  return format;
}

Body read_body(const Host& host, Format format) {
  const std::string text = host.option("body", "{payload}");
  try {
    Body body(text, format);
    const auto pieces = pieces_of(text);
    const std::string start = pieces.empty() || pieces[0].is_placeholder ? "" : pieces[0].text;
    const std::size_t first = std::min(start.find_first_not_of(" \t\n"), start.size());
    if ((start[first] == '{' || start[first] == '[') && pieces.size() > 1 &&
        !is_given(host, "format") && format == Format::raw)
      throw OptionError("format",
                        "expected json, since the body looks like it: then placeholders are made "
                        "fit for JSON; or raw, if it is none");
    return body;
  } catch (const std::invalid_argument& error) {
    throw OptionError("body", error.what());
  }
}

// One request serves many messages.
void check_batch(const Options& options) {
  if (options.batch.size == 1) return;
  const auto check = [](const std::string& path, const Template& text) {
    if (!text.is_constant())
      throw OptionError(path, "no placeholders with batch: a request is for many messages");
  };
  check("url", options.url);
  for (const auto& [name, value] : options.headers) check("headers." + name, value);
}

void add_content_type(Options& options, Format format) {
  if (find_header(options, "Content-Type")) return;
  const char* type = format == Format::json            ? "application/json"
                     : format == Format::form          ? "application/x-www-form-urlencoded"
                     : format == Format::line_protocol ? "text/plain; charset=utf-8"
                                                       : nullptr;
  if (type) options.headers.emplace_back("Content-Type", Template(type));
}

// ---- the connection ----------------------------------------------------------------------------

std::string read_file_name(const Host& host, const std::string& path) {
  const std::string file = host.option(path, "");
  if (!file.empty() && ::access(file.c_str(), R_OK) != 0)
    throw OptionError(path, "'" + file + "': there is no such file, or it may not be read");
  return file;
}

Tls read_tls(const Host& host, const std::string& server) {
  check_names(host, "tls",
              {"ca_file", "cert_file", "key_file", "key_password", "verify", "min_version"});
  if (server.starts_with("http:")) refuse(host, {"tls"}, "with a URL of http://");
  Tls tls;
  tls.verify = host.option("tls.verify", true);
  tls.ca_file = read_file_name(host, "tls.ca_file");
  tls.cert_file = read_file_name(host, "tls.cert_file");
  tls.key_file = read_file_name(host, "tls.key_file");
  tls.key_password = host.option("tls.key_password", "");
  tls.min_version =
      host.option<long>("tls.min_version", CURL_SSLVERSION_TLSv1_2,
                        {{"1.2", CURL_SSLVERSION_TLSv1_2}, {"1.3", CURL_SSLVERSION_TLSv1_3}});
  if (tls.cert_file.empty())
    refuse(host, {"tls.key_file", "tls.key_password"}, "without tls.cert_file");
  if (!tls.verify) {
    refuse(host, {"tls.ca_file"}, "with verify: false");
    host.log(Level::warning,
             "tls.verify is false: whoever answers at " + server + " is believed, and reads all");
  }
  return tls;
}

std::string read_proxy(const Host& host) {
  if (!is_given(host, "proxy")) return {};
  const std::string proxy = host.option("proxy", "");
  constexpr std::array kSchemes = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
  const auto url = parse_url(proxy, CURLU_NON_SUPPORT_SCHEME);
  if (!url || std::ranges::find(kSchemes, url->scheme) == kSchemes.end())
    throw OptionError("proxy", "expected a URL such as http://proxy:3128 or socks5h://proxy:1080");
  return proxy;
}

void read_user(const Host& host, Options& options) {
  options.user = host.option("user", "");
  options.password = host.option("password", "");
  if (options.user.find(':') != std::string::npos)
    throw OptionError("user", "expected a name without ':'");
  if (options.user.empty()) return refuse(host, {"password"}, "without user");
  if (find_header(options, "Authorization"))
    throw OptionError("user", "has no effect with a header Authorization");
}

std::map<int, Result> read_status(const Host& host) {
  check_names(host, "status", {"ok", "retry", "reject"});
  std::map<int, Result> all;
  for (const auto& [word, result] : {std::pair("ok", Result::ok), std::pair("retry", Result::retry),
                                     std::pair("reject", Result::reject)}) {
    const std::string path = std::string("status.") + word;
    for (const std::string& text : host.list(path)) {
      const auto number = detail::OptionType<int>::read(text);
      if (!number || *number < 200 || *number > 599)
        throw OptionError(path, "expected status codes, from 200 to 599");
      if (!all.emplace(*number, result).second)
        throw OptionError(path, text + " stands there twice");
    }
  }
  return all;
}

}  // namespace

Options::Options(const Host& host)
    : url(common::template_option(host, "url", nullptr)),
      server(read_server(host)),
      method(host.option<const char*>("method", "POST",
                                      {{"POST", "POST"},
                                       {"PUT", "PUT"},
                                       {"PATCH", "PATCH"},
                                       {"GET", "GET"},
                                       {"DELETE", "DELETE"}})),
      has_body(method != "GET" && method != "DELETE"),
      headers(read_headers(host)),
      batch(read_batch(host)),
      tls(read_tls(host, server)),
      proxy(read_proxy(host)),
      parallel(host.option<std::size_t>("parallel", 4, 1, 64)),
      timeout(
          host.option("timeout", milliseconds(10'000), milliseconds(1), milliseconds(3'600'000))),
      redirects(host.option<long>("redirects", 0, 0, 20)),
      status(read_status(host)) {
  read_user(host, *this);
  if (!has_body) {
    refuse(host, {"body", "format", "batch"}, "with method: " + method);
    return;
  }
  const Format format = read_format(host, *this);
  body.emplace(read_body(host, format));
  add_content_type(*this, format);
  check_batch(*this);
}

}  // namespace fastmqtt::webhook
