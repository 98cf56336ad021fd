#include "tests/support/web_server.hpp"

#include <arpa/inet.h>
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

namespace fastmqttd::testing {

struct WebServer::State {
  React react;
  std::optional<Certificate> certificate = {};
  std::filesystem::path client_ca = {};
  std::unique_ptr<httplib::Server> server = {};
  std::thread thread = {};
  std::mutex mutex = {};
  std::vector<WebRequest> requests = {};

  void serve(const httplib::Request& from, httplib::Response& to) {
    WebRequest request{
        .method = from.method, .target = from.target, .headers = {}, .body = from.body};
    for (const auto& [name, value] : from.headers) {
      std::string small = name;
      std::ranges::transform(small, small.begin(), [](unsigned char c) { return std::tolower(c); });
      request.headers[small] = value;
    }
    request.client_port = from.remote_port;
    request.arrived = std::chrono::steady_clock::now();
    {
      const std::lock_guard lock(mutex);
      requests.push_back(request);
    }
    const WebAnswer answer = react ? react(request) : WebAnswer{};
    to.status = answer.status;
    for (const auto& [name, value] : answer.headers) to.set_header(name, value);
    to.set_content(answer.body, "text/plain");
  }
};

WebServer::WebServer(React react) : state_(new State{.react = std::move(react)}) { start(); }

WebServer::WebServer(const Certificate& certificate, const std::filesystem::path& client_ca,
                     React react)
    : state_(new State{
          .react = std::move(react), .certificate = certificate, .client_ca = client_ca}) {
  start();
}

WebServer::~WebServer() { stop(); }

void WebServer::start() {
  if (state_->certificate)
    state_->server = std::make_unique<httplib::SSLServer>(
        state_->certificate->cert.c_str(), state_->certificate->key.c_str(),
        state_->client_ca.empty() ? nullptr : state_->client_ca.c_str());
  else
    state_->server = std::make_unique<httplib::Server>();
  httplib::Server& server = *state_->server;
  const auto serve = [state = state_.get()](const httplib::Request& from, httplib::Response& to) {
    state->serve(from, to);
  };
  constexpr const char* kAny = R"([\s\S]*)";
  server.Get(kAny, serve).Post(kAny, serve).Put(kAny, serve).Patch(kAny, serve);
  server.Delete(kAny, serve);
  server.set_keep_alive_max_count(1'000'000);
  server.set_keep_alive_timeout(1);  // stop() waits for it
  server.set_tcp_nodelay(true);
  while (!server.bind_to_port("127.0.0.1", port())) {
    if (port_is_known_) throw std::runtime_error("the port is taken");
    port_ = std::make_unique<Port>();
  }
  port_is_known_ = true;
  state_->thread = std::thread([&server] { server.listen_after_bind(); });
  if (!eventually([&] { return server.is_running(); }))
    throw std::runtime_error("the web server does not run");
}

void WebServer::stop() {
  if (!state_->server) return;
  state_->server->stop();
  state_->thread.join();
  state_->server.reset();
}

std::string WebServer::url() const {
  return (state_->certificate ? "https://localhost:" : "http://127.0.0.1:") +
         std::to_string(port());
}

std::vector<WebRequest> WebServer::requests() const {
  const std::lock_guard lock(state_->mutex);
  return state_->requests;
}

std::vector<WebRequest> WebServer::await_requests(std::size_t count) const {
  if (!eventually([&] { return requests().size() >= count; }))
    throw std::runtime_error("the web server got " + std::to_string(requests().size()) +
                             " requests, not " + std::to_string(count));
  return requests();
}

// ---- one that does as it is told ---------------------------------------------------------------

struct RawServer::State {
  UniqueFd listener = {};
  std::atomic<int> connections{0};
  std::atomic<bool> stopping{false};
  std::thread thread = {};
};

RawServer::RawServer(std::function<void(int connection)> serve) : state_(new State) {
  state_->listener = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int listener = state_->listener.get();
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_.number());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 16) != 0)
    throw std::runtime_error("the port is taken");
  state_->thread = std::thread([state = state_.get(), serve = std::move(serve)] {
    while (!state->stopping) {
      pollfd event{state->listener.get(), POLLIN, 0};
      if (::poll(&event, 1, 10) <= 0) continue;
      const UniqueFd connection(::accept4(state->listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      ++state->connections;
      serve(connection.get());
    }
  });
}

RawServer::~RawServer() {
  state_->stopping = true;
  state_->thread.join();
}

int RawServer::connections() const { return state_->connections; }

std::string read_request_head(int connection) {
  std::string head;
  for (char c; head.find("\r\n\r\n") == std::string::npos && ::read(connection, &c, 1) == 1;)
    head += c;
  return head;
}

void write_all(int connection, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace fastmqttd::testing
