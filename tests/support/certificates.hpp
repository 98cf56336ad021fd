// Certificates for a test: an authority of its own, and what it has signed.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/files.hpp"

namespace fastmqttd::testing {

// PEM files.
struct Certificate {
  std::filesystem::path cert;
  std::filesystem::path key;
};

class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name);
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  std::filesystem::path file() const { return directory_ / "ca.pem"; }
  // A directory with it under its hash, for ca_path.
  std::filesystem::path hashed_directory() const;

  struct Request {
    std::string name;               // the common name
    std::string alternatives = {};  // "DNS:localhost,IP:127.0.0.1"; none for a client
    long valid_from = -3600;        // seconds from now
    long valid_to = 3600;
    std::string key_password = {};  // encrypts the key
  };
  // Under file names of its own in `directory`, or in one of the authority's.
  Certificate issue(const Request& request) const;
  Certificate issue(const Request& request, const std::filesystem::path& directory) const;

 private:
  struct Secret;
  TempDir directory_;
  std::unique_ptr<Secret> secret_;
};

}  // namespace fastmqttd::testing
