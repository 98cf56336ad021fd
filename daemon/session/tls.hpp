// TLS as the broker's connection needs it, seen with OpenSSL's own eyes: Paho says that a handshake
// failed, not why.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/base/units.hpp"
#include "daemon/config/config.hpp"
#include "daemon/session/socket.hpp"

namespace fastmqttd {

// TlsConfig for one attempt to connect: its references replaced by what they stand for just now.
// An empty text is one that was not given.
struct TlsSettings {
  std::string ca_file;
  std::string ca_path;
  std::string cert_file;
  std::string key_file;
  std::string key_password;
  std::string ciphers;
  TlsVersion min_version = TlsVersion::v1_2;
  std::vector<std::string> alpn;
  bool verify = true;

  // For a client that can only be given ciphers: such that no handshake of a version before
  // min_version succeeds.  Empty for those of the system.
  std::string effective_ciphers() const;
};

// Throws std::runtime_error that names the key.
TlsSettings expand(const TlsConfig& config);

// What is wrong with the files and the ciphers, as OpenSSL says it.
struct TlsProblem {
  std::string key;  // "ca_file"
  std::string what;
};
std::optional<TlsProblem> problem_of(const TlsSettings& settings);

// What a handshake with a broker of that name meets, as OpenSSL says it ("certificate has expired:
// CN=broker"); empty when it succeeds, and also when the broker cannot be reached.  Blocks, for
// `timeout` at most.
std::string tls_probe(const Endpoint& endpoint, const std::string& host,
                      const TlsSettings& settings, Duration timeout);

}  // namespace fastmqttd
