#include "daemon/operate/control_server.hpp"

#include <httplib.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <charconv>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "daemon/base/log.hpp"
#include "daemon/base/units.hpp"
#include "daemon/config/words.hpp"

namespace fastmqttd {
namespace {

constexpr int kThreads = 4;
constexpr std::size_t kMostBody = 64 << 10;
constexpr std::size_t kMostRequest = 2 * kMostBody;  // with what goes before the body
constexpr Duration kRequestLimit = std::chrono::seconds(5);
constexpr Duration kAnswerLimit = std::chrono::seconds(60);
constexpr int kPauseMs = 100;
constexpr std::size_t kDefaultPage = 100;

constexpr const char* kType = "application/json";
constexpr const char* kOdd = "the request is not one of fastmqttctl's: use that";
constexpr const char* kUnknown =
    "the daemon does not know this request: use the fastmqttctl that came with it";

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

// ---- requests ----------------------------------------------------------------------------------

std::int64_t number(const httplib::Request& request, const char* name, std::int64_t otherwise) {
  if (!request.has_param(name)) return otherwise;
  const std::string text = request.get_param_value(name);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw Refusal(400, std::string(name) + ": '" + printable(text) +
                           "' will not do: give a whole number from 0 on");
  return value;
}

std::optional<std::string> handler(const httplib::Request& request) {
  if (!request.has_param("handler")) return std::nullopt;
  return request.get_param_value("handler");
}

void answer(httplib::Response& response, const Json& json) {
  response.set_content(json.dump(-1, ' ', false, Json::error_handler_t::replace), kType);
}

void refuse(httplib::Response& response, int status, const std::string& error) {
  response.status = status;
  answer(response, {{"error", error}});
}

void report(const httplib::Request& request, httplib::Response& response,
            const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Refusal& refusal) {
    refuse(response, refusal.status(), refusal.what());
  } catch (const Json::exception& error) {
    refuse(response, 400,
           fmt::format("{}: the request is not understood: {}: use the fastmqttctl "
                       "that came with this fastmqttd",
                       request.path, error.what()));
  } catch (const std::exception& error) {
    log::error("control socket: {}: {}", request.path, error.what());
    refuse(response, 500,
           fmt::format("{}: failed: {}: try again, and see the daemon's journal", request.path,
                       error.what()));
  }
}

// What nobody needs here, and what could make a short request long.
bool is_odd(const httplib::Request& request) {
  if (request.method != "GET" && request.method != "POST") return true;
  if (request.method == "POST" && !request.has_header("Content-Length")) return true;
  return request.has_header("Transfer-Encoding") || request.has_header("Content-Encoding") ||
         request.has_header("Range") || request.is_multipart_form_data();
}

}  // namespace

class ControlServer::Http : public httplib::Server {
 public:
  explicit Http(Control& control) {
    set_payload_max_length(kMostBody);
    set_exception_handler(report);
    set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!is_odd(request)) return HandlerResponse::Unhandled;
      refuse(response, 400, kOdd);
      return HandlerResponse::Handled;
    });
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty())
        refuse(response, response.status, response.status == 404 ? kUnknown : kOdd);
    });
    Get("/v1/status",
        [&control](const auto&, auto& response) { answer(response, control.status()); });
    Get("/v1/dead-letters", [&control](const auto& request, auto& response) {
      const auto limit = static_cast<std::size_t>(number(request, "limit", kDefaultPage));
      answer(response, control.dead_letters(number(request, "after", 0), limit, handler(request)));
    });
    Get("/v1/dead-letter", [&control](const auto& request, auto& response) {
      answer(response, control.dead_letter(number(request, "id", 0)));
    });
    post("/v1/dead-letters/replay", control, &Control::replay);
    post("/v1/dead-letters/drop", control, &Control::drop);
    post("/v1/forget", control, &Control::forget);
    Post("/v1/reload", [&control](const auto& request, auto& response) {
      log::info("fastmqttctl, by user {}: reload", request.remote_addr);
      answer(response, control.reload());
    });
  }

  using Server::process_request;

 private:
  // Changes something: whoever reads the journal should know who did.
  void post(const char* path, Control& control, Json (Control::*act)(const Json&)) {
    Post(path, [&control, act](const auto& request, auto& response) {
      const Json done = (control.*act)(Json::parse(request.body));
      log::info("fastmqttctl, by user {}: {} {}: {}", request.remote_addr, request.path,
                printable(request.body), printable(done.dump()));
      answer(response, done);
    });
  }
};

// ---- the server --------------------------------------------------------------------------------

ControlServer::ControlServer(std::unique_ptr<ControlSocket> socket, Control& control)
    : socket_(std::move(socket)),
      http_(std::make_unique<Http>(control)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  if (!stop_) throw std::system_error(errno, std::generic_category(), "eventfd");
  for (int i = 0; i < kThreads; ++i) threads_.emplace_back([this] { serve(); });
}

ControlServer::~ControlServer() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof one);
  for (std::thread& thread : threads_) thread.join();
}

void ControlServer::serve() {
  ::pthread_setname_np(::pthread_self(), "control");
  while (!is_set(stop_)) {
    pollfd both[] = {{socket_->fd(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(both, 2, -1) > 0 && both[0].revents != 0) answer_next();
  }
}

void ControlServer::answer_next() {
  UniqueFd client(::accept4(socket_->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client) {
    // The other thread was faster; or there is no descriptor left: then it is too early to try.
    pollfd stop{stop_.get(), POLLIN, 0};
    if (errno != EAGAIN) ::poll(&stop, 1, kPauseMs);
    return;
  }
  try {
    Connection connection(std::move(client), stop_);
    bool closed = false;
    http_->process_request(connection, true, closed, nullptr);
  } catch (const std::exception& error) {
    log::error("control socket: a request failed: {}", error.what());
  }
}

}  // namespace fastmqttd
