#include "daemon/operate/web.hpp"

#include <netdb.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/base/error.hpp"
#include "daemon/base/log.hpp"
#include "daemon/operate/dead_letter_json.hpp"
#include "daemon/operate/status_json.hpp"
#include "daemon/operate/status_page.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLetters = 10;
constexpr int kUnavailable = 503;
constexpr const char* kNonce = "NONCE";  // in the page
constexpr const char* kPlain = "text/plain; charset=utf-8";

std::string random_hex() {
  unsigned char bytes[16];
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
    throw std::system_error(errno, std::generic_category(), "getrandom");
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += with.size())
    text.replace(at, what.size(), with);
}

// Of one of the addresses that the name has; why not, when it cannot be.
UniqueFd bound_to(const addrinfo& address, std::string& why) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    why = std::strerror(errno);
    return {};
  }
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) == 0 &&
      ::listen(fd.get(), SOMAXCONN) == 0)
    return fd;
  why = std::strerror(errno);
  return {};
}

}  // namespace

UniqueFd Web::listen(const HttpConfig& config) {
  if (!config.listen) return {};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(config.listen->port);
  std::string why;
  if (const int error = ::getaddrinfo(config.listen->host.c_str(), port.c_str(), &hints, &found);
      error != 0)
    why = ::gai_strerror(error);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  for (const addrinfo* one = found; one; one = one->ai_next)
    if (UniqueFd fd = bound_to(*one, why)) return fd;
  throw Problem{config.place, "http.listen",
                config.listen->host + ":" + port + " cannot be listened on: " + why,
                "an address of this machine and a port that nobody else listens on", false};
}

void Web::serve(UniqueFd socket, const HttpConfig& config) {
  server_.reset();
  host_ = config.listen ? config.listen->host : "";
  socket_ = std::move(socket);
  if (!socket_) return;
  server_ = std::make_unique<HttpServer>(
      socket_.get(), routes(),
      HttpServer::Settings{.name = "http",
                           .unknown = "there is no such page: see /, /metrics, /healthz, /readyz",
                           .host = host_});
  log::info("http: listening on {}:{}", config.listen->host, config.listen->port);
}

HttpServer::Routes Web::routes() const {
  return {
      {{"GET", "/"}, [this](const auto&) { return page(); }},
      {{"GET", "/v1/overview"}, [this](const auto&) { return overview(); }},
      {{"GET", "/healthz"}, [this](const auto&) { return health(); }},
      {{"GET", "/readyz"}, [this](const auto&) { return readiness(); }},
      {{"GET", "/metrics"},
       [this](const auto&) {
         return HttpAnswer{metrics_.text(), "text/plain; version=0.0.4; charset=utf-8"};
       }},
  };
}

// Its script and its style are the only ones that a browser is to take, and it speaks to us alone.
HttpAnswer Web::page() const {
  const std::string nonce = random_hex();
  std::string html = kStatusPage;
  replace_all(html, kNonce, nonce);
  return {html,
          "text/html; charset=utf-8",
          200,
          {{"Content-Security-Policy",
            fmt::format("default-src 'none'; script-src 'nonce-{}'; style-src 'nonce-{}'; "
                        "connect-src 'self'; base-uri 'none'; form-action 'none'; "
                        "frame-ancestors 'none'",
                        nonce, nonce)},
           {"X-Content-Type-Options", "nosniff"},
           {"Referrer-Policy", "no-referrer"},
           {"Cache-Control", "no-store"}}};
}

HttpAnswer Web::overview() const {
  Json letters = Json::array();
  for (const DeadLetter& letter : spool_.latest_dead_letters(kLetters))
    letters.push_back(to_json(letter));
  const Json all{{"status", status_json(dispatcher_, session_, spool_)},
                 {"dead_letters", std::move(letters)}};
  return {all.dump(-1, ' ', false, Json::error_handler_t::replace),
          "application/json",
          200,
          {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}}};
}

// Alive: nothing hangs.
HttpAnswer Web::health() const {
  const TimePoint now = Clock::now();
  std::string stuck;
  if (const auto what = session_.stuck(now)) stuck += *what + "\n";
  for (const LanePtr& lane : dispatcher_.all_lanes())
    if (lane->stuck(now)) stuck += "the handler " + lane->name() + " is stuck\n";
  if (stuck.empty()) return {"ok\n", kPlain};
  return {stuck, kPlain, kUnavailable};
}

// Of use: messages come.
HttpAnswer Web::readiness() const {
  const SessionState session = session_.state();
  const bool ready = session.phase == SessionState::Phase::connected;
  return {describe(session) + "\n", kPlain, ready ? 200 : kUnavailable};
}

}  // namespace fastmqttd
