// Looks names up as libpq will, but not for ever: libpq itself waits for the resolver, however long
// that takes.
#pragma once

#include <chrono>
#include <memory>
#include <string>

namespace fastmqtt::postgres {

class Resolver {
 public:
  Resolver();
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // False when the resolver has not answered by then, or is in trouble itself.  A name that is not
  // known is left to libpq to say: one host of several may be gone.
  bool answers(const std::string& host, std::chrono::steady_clock::time_point deadline);

 private:
  struct Request;

  std::unique_ptr<Request> request_;  // one that was not answered in time
};

}  // namespace fastmqtt::postgres
