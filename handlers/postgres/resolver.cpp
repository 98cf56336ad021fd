#include "handlers/postgres/resolver.hpp"

#include <netdb.h>

#include <algorithm>

namespace fastmqtt::postgres {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// A thread of the C library writes into it until it is answered.
struct Resolver::Request {
  explicit Request(std::string name) : host(std::move(name)) {
    hints.ai_socktype = SOCK_STREAM;
    block.ar_name = host.c_str();
    block.ar_request = &hints;
    gaicb* list[] = {&block};
    started = ::getaddrinfo_a(GAI_NOWAIT, list, 1, nullptr) == 0;
  }
  ~Request() {
    if (block.ar_result) ::freeaddrinfo(block.ar_result);
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  bool is_running() { return started && ::gai_error(&block) == EAI_INPROGRESS; }
  void wait(nanoseconds time) {
    const auto whole = std::chrono::floor<seconds>(time);
    const timespec timeout{whole.count(), (time - whole).count()};
    const gaicb* list[] = {&block};
    ::gai_suspend(list, 1, &timeout);
  }

  const std::string host;
  addrinfo hints{};
  gaicb block{};
  bool started = false;
};

Resolver::Resolver() = default;

Resolver::~Resolver() {
  if (!request_ || !request_->is_running()) return;
  // What cannot be called off is left to that thread, for good.
  if (::gai_cancel(&request_->block) == EAI_NOTCANCELED) static_cast<void>(request_.release());
}

bool Resolver::answers(const std::string& host, std::chrono::steady_clock::time_point deadline) {
  if (!request_ || !request_->is_running()) request_ = std::make_unique<Request>(host);
  while (request_->is_running()) {
    const nanoseconds left = deadline - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    request_->wait(left);
  }
  const std::unique_ptr<Request> done = std::move(request_);
  if (done->host != host) return answers(host, deadline);
  return !done->started || ::gai_error(&done->block) != EAI_AGAIN;
}

}  // namespace fastmqtt::postgres
