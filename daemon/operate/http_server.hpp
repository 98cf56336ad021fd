// A small HTTP server on a socket that listens, local or TCP: one request a connection, by
// cpp-httplib, which is seen in its .cpp only.
//
// A request is bounded in bytes and in time, and a few threads take one at a time each: whoever may
// connect can hold up others who do, and nothing else.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/base/unique_fd.hpp"

namespace fastmqttd {

// What cannot be had; `status` is that of HTTP.
class Refusal : public std::runtime_error {
 public:
  Refusal(int status, const std::string& text) : std::runtime_error(text), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

struct HttpRequest {
  std::string path;
  std::multimap<std::string, std::string> parameters;
  std::string body;
  std::string peer;  // of a local socket: the number of the user

  std::optional<std::string> parameter(const std::string& name) const {
    const auto found = parameters.find(name);
    return found == parameters.end() ? std::nullopt : std::optional(found->second);
  }
};

struct HttpAnswer {
  std::string body;
  std::string type = "application/json";
  int status = 200;
  std::map<std::string, std::string> headers = {};
};

class HttpServer {
 public:
  // Throws Refusal, or whatever comes to it.
  using Handler = std::function<HttpAnswer(const HttpRequest&)>;
  // By method and path: {"GET", "/status"}.
  using Routes = std::map<std::pair<std::string, std::string>, Handler>;

  struct Settings {
    std::string name;     // of the threads and in the journal
    std::string unknown;  // what is said of a path that there is not
    // Of TCP: a name that it may be asked for by, beside addresses and localhost.  A page from
    // elsewhere that a browser shows could make a name of its own lead here.
    std::optional<std::string> host = {};
    int threads = 4;
  };

  // Serves from now on.  `socket` must listen without blocking, and outlive it.
  HttpServer(int socket, Routes routes, Settings settings);
  ~HttpServer();  // waits for the answers at hand
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  class Http;
  void serve();
  void answer_next();

  const int socket_;
  const Settings settings_;
  std::unique_ptr<Http> http_;
  UniqueFd stop_;
  std::vector<std::thread> threads_;
};

}  // namespace fastmqttd
