// Certificates of a connection, and what is wrong with them: Paho says of TLS only that it failed.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "handlers/republish/address.hpp"

namespace fastmqtt::republish {

// PEM files; they are read again at each connection.
struct TlsOptions {
  std::string ca_file = {};    // empty: the system's
  std::string cert_file = {};  // ours, with its chain
  std::string key_file = {};   // its key; empty: it is in cert_file
  std::string key_password = {};
  bool verify = true;
};

struct TlsProblem {
  std::string option;
  std::string what;
};

// Of the files alone.
std::optional<TlsProblem> tls_problem(const TlsOptions& options);

// What a handshake of our own meets there, and what to do about it; empty when it succeeds.
std::string tls_failure(const Address& address, const std::string& host, const TlsOptions& options,
                        std::chrono::milliseconds timeout);

}  // namespace fastmqtt::republish
