#include "daemon/operate/http_server.hpp"

#include <arpa/inet.h>
#include <httplib.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <system_error>

#include "daemon/base/log.hpp"
#include "daemon/base/units.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kMostBody = 64 << 10;
constexpr std::size_t kMostRequest = 2 * kMostBody;  // with what goes before the body
constexpr Duration kRequestLimit = std::chrono::seconds(5);
constexpr Duration kAnswerLimit = std::chrono::seconds(60);
constexpr int kPauseMs = 100;
constexpr int kMisdirected = 421;  // RFC 9110

constexpr const char* kOdd =
    "the request is none that is answered here: GET, or POST with a Content-Length, of 64 KiB at "
    "most, whole";

bool is_set(const UniqueFd& event) {
  pollfd one{event.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

// A connection as cpp-httplib reads and writes it: not for longer, and no more, than is allowed,
// and no longer than the server lives.
class Connection : public httplib::Stream {
 public:
  Connection(UniqueFd fd, const UniqueFd& stop)
      : fd_(std::move(fd)), stop_(stop), deadline_(Clock::now() + kRequestLimit) {}

  bool is_readable() const override { return wait(POLLIN); }
  bool is_writable() const override { return wait(POLLOUT); }

  ssize_t read(char* to, std::size_t size) override {
    while (read_ < kMostRequest) {
      const ssize_t got = ::recv(fd_.get(), to, size, 0);
      if (got > 0) read_ += static_cast<std::size_t>(got);
      if (got >= 0 || (errno != EAGAIN && errno != EINTR)) return got;
      if (!wait(POLLIN)) break;
    }
    return -1;
  }

  // All of it, or it fails.
  ssize_t write(const char* from, std::size_t size) override {
    if (!std::exchange(answering_, true)) deadline_ = Clock::now() + kAnswerLimit;
    for (std::size_t done = 0; done < size;) {
      if (!wait(POLLOUT)) return -1;
      const ssize_t sent = ::send(fd_.get(), from + done, size - done, MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return -1;
      if (sent > 0) done += static_cast<std::size_t>(sent);
    }
    return static_cast<ssize_t>(size);
  }

  // For the journal: there is no address, but a user.
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ucred peer{};
    socklen_t size = sizeof peer;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    ip = std::to_string(peer.uid);
    port = 0;
  }
  void get_local_ip_and_port(std::string&, int&) const override {}
  // Only asked for to see whether select(2) could take it, which is not used.
  socket_t socket() const override { return INVALID_SOCKET; }

 private:
  bool wait(short events) const {
    for (;;) {
      const auto left = std::chrono::ceil<Duration>(deadline_ - Clock::now());
      if (left <= Duration(0)) return false;
      pollfd both[] = {{fd_.get(), events, 0}, {stop_.get(), POLLIN, 0}};
      const int ready = ::poll(both, 2, static_cast<int>(left.count()));
      if (both[0].revents != 0 && ready > 0) return true;
      if (ready > 0 || (ready < 0 && errno != EINTR)) return false;
    }
  }

  const UniqueFd fd_;
  const UniqueFd& stop_;
  TimePoint deadline_;
  std::size_t read_ = 0;
  bool answering_ = false;
};

// A name with the port cut off.
std::string host_of(const std::string& header) {
  if (header.starts_with('[')) return header.substr(1, header.find(']') - 1);
  return header.substr(0, header.find(':'));
}

bool is_address(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

void refuse(httplib::Response& response, int status, const std::string& error) {
  const nlohmann::ordered_json json{{"error", error}};
  response.status = status;
  response.set_content(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                       "application/json");
}

// What nobody needs here, and what could make a short request long.
bool is_odd(const httplib::Request& request) {
  if (request.method != "GET" && request.method != "HEAD" && request.method != "POST") return true;
  if (request.method == "POST" && !request.has_header("Content-Length")) return true;
  return request.has_header("Transfer-Encoding") || request.has_header("Content-Encoding") ||
         request.has_header("Range") || request.is_multipart_form_data();
}

}  // namespace

class HttpServer::Http : public httplib::Server {
 public:
  Http(Routes routes, const Settings& settings) : routes_(std::move(routes)), settings_(settings) {
    set_payload_max_length(kMostBody);
    set_exception_handler([this](const auto& request, auto& response, const auto& thrown) {
      report(request, response, thrown);
    });
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      const std::string host = host_of(request.get_header_value("Host"));
      if (settings_.host && host != *settings_.host && host != "localhost" && !is_address(host)) {
        refuse(response, kMisdirected,
               "the request is for another host: ask for it by its address");
      } else if (is_odd(request)) {
        refuse(response, 400, kOdd);
      } else {
        return HandlerResponse::Unhandled;
      }
      // Of what is refused no part can be had: cpp-httplib would cut the answer.
      const_cast<httplib::Request&>(request).ranges.clear();
      return HandlerResponse::Handled;
    });
    set_error_handler([this](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty())
        refuse(response, response.status, response.status == 404 ? settings_.unknown : kOdd);
    });
    const auto any = [this](const auto& request, auto& response) { answer(request, response); };
    Get(".*", any);
    Post(".*", any);
  }

  using Server::process_request;

 private:
  void answer(const httplib::Request& request, httplib::Response& response) {
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    const auto route = routes_.find({method, request.path});
    if (route == routes_.end()) {
      const bool other = routes_.contains({method == "GET" ? "POST" : "GET", request.path});
      return other ? refuse(response, 405, request.path + ": is not for " + request.method)
                   : refuse(response, 404, settings_.unknown);
    }
    const HttpAnswer answer =
        route->second({request.path, request.params, request.body, request.remote_addr});
    response.status = answer.status;
    for (const auto& [name, value] : answer.headers) response.set_header(name, value);
    response.set_content(answer.body, answer.type);
  }

  void report(const httplib::Request& request, httplib::Response& response,
              const std::exception_ptr& thrown) const {
    try {
      std::rethrow_exception(thrown);
    } catch (const Refusal& refusal) {
      refuse(response, refusal.status(), refusal.what());
    } catch (const nlohmann::json::exception& error) {
      refuse(response, 400,
             fmt::format("{}: the request is not understood: {}: use the fastmqttctl "
                         "that came with this fastmqttd",
                         request.path, error.what()));
    } catch (const std::exception& error) {
      log::error("{}: {}: {}", settings_.name, request.path, error.what());
      refuse(response, 500,
             fmt::format("{}: failed: {}: try again, and see the daemon's journal", request.path,
                         error.what()));
    }
  }

  const Routes routes_;
  const Settings& settings_;
};

HttpServer::HttpServer(int socket, Routes routes, Settings settings)
    : socket_(socket),
      settings_(std::move(settings)),
      http_(std::make_unique<Http>(std::move(routes), settings_)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  if (!stop_) throw std::system_error(errno, std::generic_category(), "eventfd");
  for (int i = 0; i < settings_.threads; ++i) threads_.emplace_back([this] { serve(); });
}

HttpServer::~HttpServer() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof one);
  for (std::thread& thread : threads_) thread.join();
}

void HttpServer::serve() {
  ::pthread_setname_np(::pthread_self(), settings_.name.substr(0, 15).c_str());
  while (!is_set(stop_)) {
    pollfd both[] = {{socket_, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(both, 2, -1) > 0 && both[0].revents != 0) answer_next();
  }
}

void HttpServer::answer_next() {
  UniqueFd client(::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client) {
    // Another thread was faster; or there is no descriptor left: then it is too early to try.
    pollfd stop{stop_.get(), POLLIN, 0};
    if (errno != EAGAIN) ::poll(&stop, 1, kPauseMs);
    return;
  }
  try {
    Connection connection(std::move(client), stop_);
    bool closed = false;
    http_->process_request(connection, true, closed, nullptr);
  } catch (const std::exception& error) {
    log::error("{}: a request failed: {}", settings_.name, error.what());
  }
}

}  // namespace fastmqttd
