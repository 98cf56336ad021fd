#include "handlers/republish/tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace fastmqtt::republish {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// After the handshake a broker of TLS 1.3 may still refuse our certificate.
constexpr milliseconds kLateAlert{300};

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, Free<SSL_free>>;

// The first reason on OpenSSL's error queue, which is empty afterwards.
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

int give_password(char* buffer, int size, int, void* given) {
  const std::string& password = *static_cast<const std::string*>(given);
  if (password.empty() || static_cast<int>(password.size()) > size) return -1;
  std::memcpy(buffer, password.data(), password.size());
  return static_cast<int>(password.size());
}

// Nothing when it cannot be made; `problem` says why.
Context make_context(const TlsOptions& options, TlsProblem& problem) {
  ::ERR_clear_error();
  Context context(::SSL_CTX_new(::TLS_client_method()));
  SSL_CTX* const c = context.get();
  const auto fails = [&problem](const char* option, const std::string& file,
                                const std::string& hint = "") {
    problem = {option, file + ": " + openssl_reason() + hint};
    return Context();
  };
  std::string password = options.key_password;
  ::SSL_CTX_set_default_passwd_cb(c, give_password);
  ::SSL_CTX_set_default_passwd_cb_userdata(c, &password);
  if (options.ca_file.empty())
    ::SSL_CTX_set_default_verify_paths(c);
  else if (::SSL_CTX_load_verify_file(c, options.ca_file.c_str()) != 1)
    return fails("ca_file", options.ca_file);
  if (!options.cert_file.empty()) {
    const bool separate = !options.key_file.empty();
    const std::string& key_file = separate ? options.key_file : options.cert_file;
    if (::SSL_CTX_use_certificate_chain_file(c, options.cert_file.c_str()) != 1)
      return fails("cert_file", options.cert_file);
    if (::SSL_CTX_use_PrivateKey_file(c, key_file.c_str(), SSL_FILETYPE_PEM) != 1)
      return fails(separate ? "key_file" : "cert_file", key_file,
                   ": expected the certificate's key, and key_password if it is encrypted");
  }
  ::SSL_CTX_set_default_passwd_cb_userdata(c, nullptr);
  return context;
}

std::string hint_for(long error) {
  switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return ": set broker.host to a name that it is for";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ": renew it, unless it is this machine's clock that is wrong";
    case X509_V_ERR_CERT_NOT_YET_VALID: return ": set this machine's clock, if that is wrong";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return ": if it is the right one, set broker.ssl.ca_file to the certificate of its authority";
    default: return {};
  }
}

// Takes `step` as far as the socket and the deadline let it; OpenSSL's verdict on the last one.
template <class Step>
int drive(SSL* ssl, int fd, Clock::time_point deadline, Step step) {
  for (;;) {
    ::ERR_clear_error();
    const int result = step();
    if (result > 0) return SSL_ERROR_NONE;
    const int error = ::SSL_get_error(ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return error;
    const short events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    pollfd event{fd, events, 0};
    if (left.count() <= 0 || ::poll(&event, 1, static_cast<int>(left.count())) != 1) return error;
  }
}

std::string cause_of(SSL* ssl, int error, const TlsOptions& options) {
  if (const long verdict = ::SSL_get_verify_result(ssl); options.verify && verdict != X509_V_OK)
    return std::string("the broker's certificate: ") + ::X509_verify_cert_error_string(verdict) +
           hint_for(verdict);
  if (error == SSL_ERROR_SSL)
    return openssl_reason() +
           (options.cert_file.empty() ? ": it may want a certificate: broker.ssl.cert_file" : "");
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
    return "the broker does not answer: is it a TLS port?";
  return "the broker ended the connection in the handshake: is it a TLS port?";
}

}  // namespace

std::optional<TlsProblem> tls_problem(const TlsOptions& options) {
  TlsProblem problem;
  if (make_context(options, problem)) return std::nullopt;
  return problem;
}

std::string tls_failure(const Address& address, const std::string& host, const TlsOptions& options,
                        milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  TlsProblem problem;
  const Context context = make_context(options, problem);
  if (!context) return "broker.ssl." + problem.option + ": " + problem.what;
  std::string why;
  const Socket socket = connect_to(address, timeout, why);
  if (!socket) return why;
  const Connection connection(::SSL_new(context.get()));
  SSL* const ssl = connection.get();
  ::SSL_set_fd(ssl, socket.fd());
  std::string name = host;  // SSL_set_tlsext_host_name() without its C cast
  ::SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  if (options.verify) {
    ::SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
    if (::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), host.c_str()) != 1)
      ::SSL_set1_host(ssl, host.c_str());
  }
  const int handshake = drive(ssl, socket.fd(), deadline, [ssl] { return ::SSL_connect(ssl); });
  if (handshake != SSL_ERROR_NONE) return cause_of(ssl, handshake, options);
  char byte = 0;
  const int late = drive(ssl, socket.fd(), std::min(deadline, Clock::now() + kLateAlert),
                         [&] { return ::SSL_read(ssl, &byte, 1); });
  return late == SSL_ERROR_SSL ? cause_of(ssl, late, options) : std::string();
}

}  // namespace fastmqtt::republish
