// A real web server, on a loopback port of its own, that keeps what it is asked.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/unique_fd.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/port.hpp"
#include "tests/support/wait.hpp"

namespace fastmqttd::testing {

struct WebRequest {
  std::string method;
  std::string target;                          // path and query, as they came
  std::map<std::string, std::string> headers;  // their names in small letters
  std::string body;
  int client_port = 0;  // one for each connection
  std::chrono::steady_clock::time_point arrived = {};
};

struct WebAnswer {
  int status = 200;
  std::string body = {};
  std::map<std::string, std::string> headers = {};
};

class WebServer {
 public:
  // Called by several threads at once.
  using React = std::function<WebAnswer(const WebRequest&)>;

  // Of HTTP, or of HTTPS with that certificate; with `client_ca`, a file, only for clients that
  // show a certificate of that authority.
  explicit WebServer(React react = {});
  explicit WebServer(const Certificate& certificate, const std::filesystem::path& client_ca = {},
                     React react = {});
  ~WebServer();

  // By the constructors too: that one moves to another port when its own was taken meanwhile.
  void start();
  void stop();  // whoever connects is refused

  std::uint16_t port() const { return port_->number(); }
  std::string url() const;  // without a slash at the end

  std::vector<WebRequest> requests() const;
  // For so many of them; throws when they do not come.
  std::vector<WebRequest> await_requests(std::size_t count) const;

 private:
  struct State;

  const std::unique_ptr<State> state_;
  std::unique_ptr<Port> port_ = std::make_unique<Port>();
  bool port_is_known_ = false;
};

// Accepts connections and does with each what it is told to, one after the other.
class RawServer {
 public:
  explicit RawServer(std::function<void(int connection)> serve);
  ~RawServer();
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_.number()); }
  int connections() const;

 private:
  struct State;

  const Port port_;
  const std::unique_ptr<State> state_;
};

// What comes up to the end of a request's headers, or of the connection.
std::string read_request_head(int connection);
void write_all(int connection, std::string_view bytes);

}  // namespace fastmqttd::testing
