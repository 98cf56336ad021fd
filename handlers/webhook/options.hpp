// What an instance of webhook is told by its options.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/template.hpp"
#include "handlers/webhook/body.hpp"

namespace fastmqtt::webhook {

inline constexpr const char* kOptions[] = {"url",      "method",  "headers",   "body",   "format",
                                           "batch",    "user",    "password",  "tls",    "proxy",
                                           "parallel", "timeout", "redirects", "status", "missing"};

struct Tls {
  bool verify = true;
  std::string ca_file;  // "" for the system's certificates
  std::string cert_file;
  std::string key_file;
  std::string key_password;
  long min_version = 0;  // of CURLOPT_SSLVERSION
};

struct Batch {
  std::size_t size = 1;  // messages in a request
  std::chrono::milliseconds delay{0};
  std::optional<std::string> separator = {};  // nothing: an array of JSON
};

struct Options {
  explicit Options(const Host& host);  // throws OptionError

  common::Template url;
  std::string server;  // scheme, name and port of the URL, for the log
  std::string method;
  bool has_body;
  std::vector<std::pair<std::string, common::Template>> headers;
  std::optional<Body> body;
  Batch batch;
  std::string user;  // "" for none
  std::string password;
  Tls tls;
  std::string proxy;
  std::size_t parallel;
  std::chrono::milliseconds timeout;
  long redirects;
  std::map<int, Result> status;  // what these mean, whatever they usually do
};

}  // namespace fastmqtt::webhook
