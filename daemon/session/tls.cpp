#include "daemon/session/tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "daemon/session/fresh_text.hpp"

namespace fastmqttd {
namespace {

// Key exchange by a secret that we do not have: as good as no cipher of TLS 1.2, while those of
// TLS 1.3 are a list of their own.
constexpr const char* kNoneOfTls12 = "PSK";
// After the handshake a broker of TLS 1.3 may still refuse our certificate.
constexpr Duration kLateAlert = std::chrono::milliseconds(300);

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, Free<SSL_free>>;

// The innermost reason on OpenSSL's error queue, which is empty afterwards.
std::string openssl_reason() {
  std::string text;
  while (const unsigned long code = ::ERR_get_error()) {
    if (!text.empty()) continue;
    if (ERR_SYSTEM_ERROR(code))
      text = std::strerror(ERR_GET_REASON(code));
    else if (const char* reason = ::ERR_reason_error_string(code))
      text = reason;
  }
  return text.empty() ? "unknown error" : text;
}

struct KeyPassword {
  const std::string& password;
  bool asked = false;
};

int give_password(char* buffer, int size, int, void* given) {
  auto& key_password = *static_cast<KeyPassword*>(given);
  key_password.asked = true;
  const std::string& password = key_password.password;
  if (password.empty() || static_cast<int>(password.size()) > size) return -1;
  std::memcpy(buffer, password.data(), password.size());
  return static_cast<int>(password.size());
}

std::string in_file(const std::string& file) { return file + ": " + openssl_reason(); }

// Of a key that cannot be used, what to do about it.
std::string key_hint(const TlsSettings& settings, bool asked_for_password) {
  if (asked_for_password)
    return settings.key_password.empty() ? "it is encrypted: give key_password"
                                         : "key_password does not open it";
  return settings.key_file.empty() ? "it has no key for the certificate: give key_file"
                                   : "expected the key of cert_file";
}

// A directory in which OpenSSL would find nothing is accepted by it without a word.
std::string directory_problem(const std::string& path) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error))
    if (const std::string name = entry.path().filename(); name.size() > 9 && name[8] == '.')
      return {};
  return path + ": " +
         (error ? error.message() : "has no certificate by its hash: run openssl rehash");
}

// Nothing when it cannot be made; `problem` says why.  `settings` must outlive it.
Context make_context(const TlsSettings& settings, TlsProblem& problem) {
  ::ERR_clear_error();
  Context context(::SSL_CTX_new(::TLS_client_method()));
  const auto fails = [&problem](std::string key, std::string what) {
    problem = {std::move(key), std::move(what)};
    return Context();
  };
  if (!context) return fails("", openssl_reason());
  SSL_CTX* const c = context.get();
  ::SSL_CTX_set_min_proto_version(
      c, settings.min_version == TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  KeyPassword key_password{settings.key_password};
  ::SSL_CTX_set_default_passwd_cb(c, give_password);
  ::SSL_CTX_set_default_passwd_cb_userdata(c, &key_password);
  if (settings.ca_file.empty() && settings.ca_path.empty()) ::SSL_CTX_set_default_verify_paths(c);
  if (!settings.ca_file.empty() && ::SSL_CTX_load_verify_file(c, settings.ca_file.c_str()) != 1)
    return fails("ca_file", in_file(settings.ca_file));
  if (!settings.ca_path.empty()) {
    if (const std::string what = directory_problem(settings.ca_path); !what.empty())
      return fails("ca_path", what);
    if (::SSL_CTX_load_verify_dir(c, settings.ca_path.c_str()) != 1)
      return fails("ca_path", in_file(settings.ca_path));
  }
  if (!settings.cert_file.empty()) {
    if (::SSL_CTX_use_certificate_chain_file(c, settings.cert_file.c_str()) != 1)
      return fails("cert_file", in_file(settings.cert_file));
    const bool separate = !settings.key_file.empty();
    const std::string& key_file = separate ? settings.key_file : settings.cert_file;
    if (::SSL_CTX_use_PrivateKey_file(c, key_file.c_str(), SSL_FILETYPE_PEM) != 1)
      return fails(separate ? "key_file" : "cert_file",
                   in_file(key_file) + ": " + key_hint(settings, key_password.asked));
  }
  if (!settings.ciphers.empty() && ::SSL_CTX_set_cipher_list(c, settings.ciphers.c_str()) != 1)
    return fails("ciphers", openssl_reason());
  std::string protocols;  // each with its length before it
  for (const std::string& name : settings.alpn) protocols += static_cast<char>(name.size()) + name;
  ::SSL_CTX_set_alpn_protos(c, reinterpret_cast<const unsigned char*>(protocols.data()),
                            static_cast<unsigned>(protocols.size()));
  ::SSL_CTX_set_default_passwd_cb_userdata(c, nullptr);
  return context;
}

std::string certificate_text(X509* certificate) {
  if (!certificate) return {};
  const std::unique_ptr<BIO, Free<BIO_free_all>> out(::BIO_new(::BIO_s_mem()));
  ::X509_NAME_print_ex(out.get(), ::X509_get_subject_name(certificate), 0,
                       XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  ::BIO_puts(out.get(), ", valid from ");
  ::ASN1_TIME_print(out.get(), ::X509_get0_notBefore(certificate));
  ::BIO_puts(out.get(), " to ");
  ::ASN1_TIME_print(out.get(), ::X509_get0_notAfter(certificate));
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// "DNS:localhost, IP Address:127.0.0.1"
std::string names_of(X509* certificate) {
  const int at = ::X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
  if (at < 0) return "no other name";
  const std::unique_ptr<BIO, Free<BIO_free_all>> out(::BIO_new(::BIO_s_mem()));
  ::X509V3_EXT_print(out.get(), ::X509_get_ext(certificate, at), 0, 0);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// Where verify() below leaves what it found: with the SSL object.
int verdict_index() {
  static const int index = ::SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int verify(int good, X509_STORE_CTX* store) {
  if (good) return 1;
  auto* const ssl = static_cast<SSL*>(
      ::X509_STORE_CTX_get_ex_data(store, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const verdict = static_cast<std::string*>(::SSL_get_ex_data(ssl, verdict_index()));
  const int error = ::X509_STORE_CTX_get_error(store);
  *verdict = ::X509_verify_cert_error_string(error);
  X509* const certificate = ::X509_STORE_CTX_get_current_cert(store);
  if (const std::string which = certificate_text(certificate); !which.empty())
    *verdict += ": " + which;
  if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH)
    *verdict += ", for " + names_of(certificate) + ": set mqtt.host to a name that it is for";
  if (error == X509_V_ERR_CERT_HAS_EXPIRED)
    *verdict += ": renew it, unless it is this machine's clock that is wrong";
  if (error == X509_V_ERR_CERT_NOT_YET_VALID)
    *verdict += ": set this machine's clock, if that is wrong";
  if (error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
      error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
      error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT)
    *verdict +=
        ": if it is the right one, set mqtt.ssl.ca_file to the certificate of its authority";
  return 0;
}

bool wait_for(int fd, short events, TimePoint deadline) {
  const auto left = std::chrono::duration_cast<Duration>(deadline - Clock::now());
  pollfd poll{fd, events, 0};
  return left.count() > 0 && ::poll(&poll, 1, static_cast<int>(left.count())) == 1;
}

// With what to do about it, where that is known.
std::string handshake_reason(const TlsSettings& settings) {
  const int reason = ERR_GET_REASON(::ERR_peek_error());
  const std::string text = openssl_reason();
  if (settings.cert_file.empty() && (reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED ||
                                     reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE))
    return text + ": it may want a certificate of ours: mqtt.ssl.cert_file";
  return text;
}

// Takes `step` as far as the socket and the deadline let it; OpenSSL's verdict on the last one.
template <class Step>
int drive(SSL* ssl, int fd, TimePoint deadline, Step step) {
  for (;;) {
    ::ERR_clear_error();
    const int result = step();
    if (result > 0) return SSL_ERROR_NONE;
    const int error = ::SSL_get_error(ssl, result);
    const bool reading = error == SSL_ERROR_WANT_READ;
    if (!reading && error != SSL_ERROR_WANT_WRITE) return error;
    if (!wait_for(fd, reading ? POLLIN : POLLOUT, deadline)) return error;
  }
}

}  // namespace

std::string TlsSettings::effective_ciphers() const {
  return min_version == TlsVersion::v1_3 ? kNoneOfTls12 : ciphers;
}

TlsSettings expand(const TlsConfig& config) {
  TlsSettings settings;
  const auto text = [](std::string_view key, const std::optional<Text>& value) {
    return fresh_text("mqtt.ssl." + std::string(key), value).value_or("");
  };
  settings.ca_file = text("ca_file", config.ca_file);
  settings.ca_path = text("ca_path", config.ca_path);
  settings.cert_file = text("cert_file", config.cert_file);
  settings.key_file = text("key_file", config.key_file);
  settings.key_password = text("key_password", config.key_password);
  settings.ciphers = text("ciphers", config.ciphers);
  for (const Text& protocol : config.alpn)
    settings.alpn.push_back(*fresh_text("mqtt.ssl.alpn", protocol));
  settings.min_version = config.min_version;
  settings.verify = config.verify;
  return settings;
}

std::optional<TlsProblem> problem_of(const TlsSettings& settings) {
  TlsProblem problem;
  if (make_context(settings, problem)) return std::nullopt;
  return problem;
}

std::string tls_probe(const Endpoint& endpoint, const std::string& host,
                      const TlsSettings& settings, Duration timeout) {
  const TimePoint deadline = Clock::now() + timeout;
  TlsProblem problem;
  const Context context = make_context(settings, problem);
  if (!context) return problem.what;
  std::string why;
  const UniqueFd fd = connect_to(endpoint, timeout, why);
  if (!fd) return {};
  std::string verdict;
  const Connection connection(::SSL_new(context.get()));
  SSL* const ssl = connection.get();
  ::SSL_set_fd(ssl, fd.get());
  ::SSL_set_ex_data(ssl, verdict_index(), &verdict);
  std::string name = host;  // SSL_set_tlsext_host_name() without its C cast
  ::SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  if (settings.verify) {
    ::SSL_set_verify(ssl, SSL_VERIFY_PEER, verify);
    if (::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), host.c_str()) != 1)
      ::SSL_set1_host(ssl, host.c_str());
  }
  const auto cause = [&](int error) -> std::string {
    if (!verdict.empty()) return verdict;
    if (error == SSL_ERROR_SSL) return handshake_reason(settings);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
      return "the broker does not answer: is it a TLS port?";
    return "the broker ended the connection in the handshake: is it a TLS port?";
  };
  const int handshake = drive(ssl, fd.get(), deadline, [ssl] { return ::SSL_connect(ssl); });
  if (handshake != SSL_ERROR_NONE) return cause(handshake);
  char byte = 0;
  const int late = drive(ssl, fd.get(), std::min(deadline, Clock::now() + kLateAlert),
                         [&] { return ::SSL_read(ssl, &byte, 1); });
  return late == SSL_ERROR_SSL ? handshake_reason(settings) : std::string();
}

}  // namespace fastmqttd
