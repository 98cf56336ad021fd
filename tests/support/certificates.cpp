#include "tests/support/certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>

namespace fastmqttd::testing {
namespace {

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Free<X509_free>>;
using Out = std::unique_ptr<BIO, Free<BIO_free_all>>;

void check(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

Key new_key() { return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")); }

void add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  check(extension != nullptr && X509_add_ext(cert, extension, -1) == 1, "extension");
  X509_EXTENSION_free(extension);
}

X509Ptr unsigned_certificate(const std::string& name, EVP_PKEY* key, long from, long to) {
  static std::atomic<long> serial{1};
  X509Ptr cert(X509_new());
  X509_set_version(cert.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), from);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), to);
  X509_set_pubkey(cert.get(), key);
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_UTF8, text, -1, -1,
                             0);
  return cert;
}

Out open(const std::filesystem::path& file) {
  Out out(BIO_new_file(file.c_str(), "w"));
  check(out != nullptr, file.c_str());
  return out;
}

}  // namespace

struct CertificateAuthority::Secret {
  Key key;
  X509Ptr cert;
};

CertificateAuthority::CertificateAuthority(const std::string& name)
    : secret_(std::make_unique<Secret>()) {
  secret_->key = new_key();
  secret_->cert = unsigned_certificate(name, secret_->key.get(), -3600, 3600);
  X509* const cert = secret_->cert.get();
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
  check(X509_sign(cert, secret_->key.get(), EVP_sha256()) > 0, "sign");
  check(PEM_write_bio_X509(open(file()).get(), cert) == 1, "write");
}

CertificateAuthority::~CertificateAuthority() = default;

std::filesystem::path CertificateAuthority::hashed_directory() const {
  const std::filesystem::path directory = directory_ / "hashed";
  std::filesystem::create_directory(directory);
  char name[16];
  std::snprintf(name, sizeof name, "%08lx.0", X509_subject_name_hash(secret_->cert.get()));
  std::filesystem::copy_file(file(), directory / name,
                             std::filesystem::copy_options::overwrite_existing);
  return directory;
}

Certificate CertificateAuthority::issue(const Request& request) const {
  return issue(request, directory_.path());
}

Certificate CertificateAuthority::issue(const Request& request,
                                        const std::filesystem::path& directory) const {
  const Certificate files{directory / (request.name + ".pem"), directory / (request.name + ".key")};
  const Key key = new_key();
  const X509Ptr cert =
      unsigned_certificate(request.name, key.get(), request.valid_from, request.valid_to);
  X509_set_issuer_name(cert.get(), X509_get_subject_name(secret_->cert.get()));
  add_extension(cert.get(), secret_->cert.get(), NID_basic_constraints, "critical,CA:FALSE");
  if (!request.alternatives.empty())
    add_extension(cert.get(), secret_->cert.get(), NID_subject_alt_name, request.alternatives);
  check(X509_sign(cert.get(), secret_->key.get(), EVP_sha256()) > 0, "sign");
  check(PEM_write_bio_X509(open(files.cert).get(), cert.get()) == 1, "write");
  const std::string& password = request.key_password;
  check(PEM_write_bio_PKCS8PrivateKey(open(files.key).get(), key.get(),
                                      password.empty() ? nullptr : EVP_aes_256_cbc(),
                                      password.empty() ? nullptr : password.data(),
                                      static_cast<int>(password.size()), nullptr, nullptr) == 1,
        "write");
  return files;
}

}  // namespace fastmqttd::testing
