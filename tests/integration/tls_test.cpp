// TLS: who is believed, what is shown to the broker, and what the operator reads when it fails.
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/integration/integration_test.hpp"
#include "tests/support/wire.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Tls : public IntegrationTest {
 protected:
  const Certificate& local() {
    if (!local_) local_ = ca_.issue({.name = "localhost", .alternatives = "DNS:localhost"});
    return *local_;
  }
  // Keys of `ssl`, besides ca_file.
  std::string ssl(const std::string& more = "") const {
    return "  host: localhost\n  ssl: {ca_file: " + ca_.file().string() +
           (more.empty() ? "" : ", " + more) + "}\n";
  }
  void start_secured(const std::string& mqtt) { start(recorder("all", "a/#"), {"a/#"}, mqtt); }
  // The broker is up; the daemon cannot connect and says why.
  void expect_refused(const std::string& mqtt, const std::string& pattern) {
    broker_.start();
    configure(recorder("all", "a/#"), mqtt);
    daemon_.start();
    await_log(pattern);
    EXPECT_EQ(broker_.count_in_log("New client connected"), 0);
    EXPECT_FALSE(daemon_.logged("connected to .*, MQTT"));
    EXPECT_EQ(daemon_.stop(), Exit{});
  }
  // A message arrives, by way of TLS too.
  void expect_delivery() {
    publish(broker_, "a/b", "hello", {.arguments = {"--cafile", ca_.file(), "-h", "localhost"}});
    await_payload("all", "hello");
  }

  const CertificateAuthority ca_{"The test's authority"};
  std::optional<Certificate> local_;
};

TEST_F(Tls, AuthorityFromAFile) {
  broker_.use_tls(local());
  start_secured(ssl());
  expect_delivery();
}

TEST_F(Tls, AuthorityFromADirectory) {
  broker_.use_tls(local());
  start_secured("  host: localhost\n  ssl: {ca_path: " + ca_.hashed_directory().string() + "}\n");
  expect_delivery();
}

// OpenSSL's own: its variable names another place for it.
TEST_F(Tls, AuthorityOfTheSystem) {
  broker_.use_tls(local());
  daemon_.set_environment("SSL_CERT_FILE=" + ca_.file().string());
  start_secured("  host: localhost\n  ssl: true\n");
  expect_delivery();
}

TEST_F(Tls, AddressOfTheCertificate) {
  broker_.use_tls(ca_.issue({.name = "by-address", .alternatives = "IP:127.0.0.1"}));
  start_secured("  host: 127.0.0.1\n  ssl: {ca_file: " + ca_.file().string() + "}\n");
}

TEST_F(Tls, UnknownAuthority) {
  const CertificateAuthority other("Another authority");
  broker_.use_tls(local());
  expect_refused(
      "  host: localhost\n  ssl: {ca_file: " + other.file().string() + "}\n",
      "TLS: unable to get local issuer certificate: CN = localhost.*set mqtt.ssl.ca_file");
}

TEST_F(Tls, UnknownToTheSystem) {
  broker_.use_tls(local());
  expect_refused("  host: localhost\n  ssl: true\n", "TLS: unable to get local issuer certificate");
}

TEST_F(Tls, Expired) {
  broker_.use_tls(ca_.issue({.name = "localhost",
                             .alternatives = "DNS:localhost",
                             .valid_from = -7200,
                             .valid_to = -3600}));
  expect_refused(ssl(),
                 "TLS: certificate has expired: CN = localhost, valid from .* to .* GMT: renew it");
}

TEST_F(Tls, NotYetValid) {
  broker_.use_tls(ca_.issue({.name = "localhost",
                             .alternatives = "DNS:localhost",
                             .valid_from = 3600,
                             .valid_to = 7200}));
  expect_refused(ssl(), "TLS: certificate is not yet valid");
}

TEST_F(Tls, OfAnotherHost) {
  broker_.use_tls(ca_.issue({.name = "other.example", .alternatives = "DNS:other.example"}));
  expect_refused(ssl(), "TLS: hostname mismatch: CN = other.example, .*, for DNS:other.example");
}

TEST_F(Tls, OfAnotherAddress) {
  broker_.use_tls(ca_.issue({.name = "other", .alternatives = "IP:127.0.0.9"}));
  expect_refused("  host: 127.0.0.1\n  ssl: {ca_file: " + ca_.file().string() + "}\n",
                 "TLS: IP address mismatch: .*, for IP Address:127.0.0.9");
}

TEST_F(Tls, BrokerWithoutTls) {
  expect_refused(ssl(), "TLS: (wrong version number|the broker .*is it a TLS port)");
}

TEST_F(Tls, WithoutVerification) {
  const CertificateAuthority other("Another authority");
  broker_.use_tls(other.issue({.name = "wrong", .alternatives = "DNS:wrong.example"}));
  start_secured("  host: localhost\n  ssl: {verify: false}\n");
  await_log("warning .*mqtt.ssl.verify is false");
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  EXPECT_TRUE(eventually([&] {
    const std::string log = daemon_.log();
    const std::size_t first = log.find("verify is false");
    return log.find("verify is false", first + 1) != std::string::npos;
  }));
}

TEST_F(Tls, CertificateOfTheClient) {
  broker_.use_tls(local(), ca_.file());
  broker_.add_setting("use_identity_as_username true");
  const Certificate own = ca_.issue({.name = "edge-7", .key_password = "open sesame"});
  start_secured(ssl("cert_file: " + own.cert.string() + ", key_file: " + own.key.string() +
                    ", key_password: open sesame"));
  EXPECT_TRUE(broker_.wait_for_log("u'edge-7'"));
  EXPECT_THAT(daemon_.log(), Not(HasSubstr("sesame")));
}

TEST_F(Tls, CertificateOfTheClientIsMissing) {
  broker_.use_tls(local(), ca_.file());
  expect_refused(ssl(), "TLS: tlsv13 alert certificate required: .*mqtt.ssl.cert_file");
  EXPECT_FALSE(daemon_.logged("MQTT 3.1.1")) << "taken for a broker that cannot do MQTT 5";
}

TEST_F(Tls, CertificateOfTheClientIsUnknownToTheBroker) {
  const CertificateAuthority other("Another authority");
  broker_.use_tls(local(), ca_.file());
  const Certificate own = other.issue({.name = "edge-7"});
  expect_refused(ssl("cert_file: " + own.cert.string() + ", key_file: " + own.key.string()),
                 "TLS: tlsv1 alert unknown ca");
}

// Whoever renews it on disk is done: the next connection shows the new one.
TEST_F(Tls, CertificateOfTheClientIsRenewed) {
  broker_.use_tls(local(), ca_.file());
  broker_.add_setting("use_identity_as_username true");
  const Certificate old = ca_.issue({.name = "old-name"});
  const auto cert = daemon_.file("client.pem"), key = daemon_.file("client.key");
  const auto put = [&](const Certificate& certificate) {
    write_file(cert, read_file(certificate.cert));
    write_file(key, read_file(certificate.key));
  };
  put(old);
  start_secured(ssl("cert_file: " + cert.string() + ", key_file: " + key.string()));
  ASSERT_TRUE(broker_.wait_for_log("u'old-name'"));
  put(ca_.issue({.name = "new-name"}));
  broker_.stop();
  broker_.start();
  EXPECT_TRUE(broker_.wait_for_log("u'new-name'"));
}

// And so is that of the authority: from one that the broker's is not of, to the right one.
TEST_F(Tls, AuthorityIsRenewed) {
  const CertificateAuthority other("Another authority");
  broker_.use_tls(local());
  broker_.start();
  const auto file = daemon_.file("ca.pem");
  write_file(file, read_file(other.file()));
  configure(recorder("all", "a/#"), "  host: localhost\n  ssl: {ca_file: " + file.string() + "}\n");
  daemon_.start();
  await_log("unable to get local issuer certificate");
  write_file(file, read_file(ca_.file()));
  await_subscriptions({"a/#"});
}

TEST_F(Tls, BadFilesAreFoundAtTheStart) {
  const Certificate own = ca_.issue({.name = "one", .key_password = "right"});
  const Certificate two = ca_.issue({.name = "two"});
  const auto refused = [&](const std::string& keys) {
    configure(recorder("all", "a/#"), "  ssl: {" + keys + "}\n");
    const Finished checked = daemon_.run({"--check"});
    EXPECT_EQ(checked.exit, Exit{.status = 78}) << keys;
    return checked.errors;
  };
  EXPECT_THAT(refused("ca_file: /nowhere/ca.pem"),
              HasSubstr("mqtt.ssl.ca_file: /nowhere/ca.pem: No such file or directory"));
  EXPECT_THAT(refused("ca_file: " + own.key.string()), HasSubstr("mqtt.ssl.ca_file: "));
  const std::string cert = "cert_file: " + own.cert.string();
  EXPECT_THAT(refused(cert), HasSubstr("mqtt.ssl.cert_file: " + own.cert.string() +
                                       ": unsupported: it has no key "
                                       "for the certificate: give "
                                       "key_file"));
  EXPECT_THAT(refused(cert + ", key_file: " + two.key.string()),
              HasSubstr("mqtt.ssl.key_file: " + two.key.string() +
                        ": key values mismatch: expected the key of cert_file"));
  EXPECT_THAT(refused(cert + ", key_file: " + own.key.string() + ", key_password: wrong"),
              // One wrong password in 256 decrypts to something, and OpenSSL stumbles later.
              AllOf(HasSubstr("mqtt.ssl.key_file: " + own.key.string() + ": "),
                    HasSubstr(": key_password does not open it")));
  EXPECT_THAT(refused(cert + ", key_file: " + own.key.string()),
              HasSubstr("it is encrypted: give key_password"));
  EXPECT_THAT(refused("ca_path: /nowhere"), HasSubstr("mqtt.ssl.ca_path: /nowhere: No such"));
  EXPECT_THAT(refused("ca_path: " + daemon_.file("state").string()),
              HasSubstr("has no certificate by its hash: run openssl rehash"));
  EXPECT_THAT(refused("ciphers: NONSENSE"), HasSubstr("mqtt.ssl.ciphers: no cipher match"));
}

TEST_F(Tls, StopsAtOnceWhileTheBrokerSaysNothing) {
  broker_.use_tls(local());
  broker_.start();
  broker_.pause();
  configure(recorder("all", "a/#"), ssl() + "  connect_timeout: 10m\n");
  daemon_.start();
  await_log("connecting to");
  EXPECT_EQ(daemon_.stop(10s), Exit{});
  broker_.resume();
}

// openssl's own server, for what mosquitto does not tell or cannot be told.
class TlsPeer : public Tls {
 protected:
  void serve(std::vector<std::string> options) {
    Command command{
        .argv = {"openssl", "s_server", "-accept", "127.0.0.1:" + std::to_string(port_.number()),
                 "-cert", local().cert, "-key", local().key},
        .input = input(),
        .output = daemon_.file("s_server"),
        .errors = daemon_.file("s_server")};
    command.argv.insert(command.argv.end(), options.begin(), options.end());
    peer_ = std::make_unique<Process>(command);
    ASSERT_TRUE(eventually([&] { return said("ACCEPT"); }));
  }
  // It ends when its input does.
  std::filesystem::path input() {
    const std::filesystem::path file = daemon_.file("input");
    if (::mkfifo(file.c_str(), 0600) == 0 || errno == EEXIST)
      input_ = UniqueFd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    return file;
  }
  bool said(const std::string& text) const {
    return read_file(daemon_.file("s_server")).find(text) != std::string::npos;
  }
  std::string key() const { return "  port: " + std::to_string(port_.number()) + "\n"; }

  Port port_;
  UniqueFd input_;
  std::unique_ptr<Process> peer_;
};

TEST_F(TlsPeer, ApplicationProtocolsAreOffered) {
  serve({"-alpn", "mqtt"});
  configure(recorder("all", "a/#"), key() + ssl("alpn: [x-amzn-mqtt-ca, mqtt]"));
  daemon_.start();
  EXPECT_TRUE(eventually([&] {
    return said("ALPN protocols advertised by the client: x-amzn-mqtt-ca, mqtt") &&
           said("ALPN protocols selected: mqtt");
  }));
}

TEST_F(TlsPeer, NameIsSaid) {
  serve({"-tlsextdebug"});
  configure(recorder("all", "a/#"), key() + ssl());
  daemon_.start();
  EXPECT_TRUE(eventually([&] { return said("localhost"); }));
}

TEST_F(TlsPeer, CiphersAreOffered) {
  serve({"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"});
  configure(recorder("all", "a/#"), key() + ssl("ciphers: ECDHE-ECDSA-CHACHA20-POLY1305"));
  daemon_.start();
  await_log("TLS: .*handshake failure");
  EXPECT_FALSE(said("CIPHER is"));
  ASSERT_EQ(daemon_.stop(), Exit{});
  configure(recorder("all", "a/#"), key() + ssl("ciphers: ECDHE-ECDSA-AES128-GCM-SHA256"));
  daemon_.start();
  EXPECT_TRUE(eventually([&] { return said("CIPHER is ECDHE-ECDSA-AES128-GCM-SHA256"); }));
}

TEST_F(TlsPeer, OldestVersionIsKept) {
  serve({"-tls1_2"});
  configure(recorder("all", "a/#"), key() + ssl("min_version: \"1.3\""));
  daemon_.start();
  await_log("TLS: .*(protocol version|unsupported protocol)");
  EXPECT_FALSE(said("CIPHER is"));  // no handshake came to its end
  ASSERT_EQ(daemon_.stop(), Exit{});
  configure(recorder("all", "a/#"), key() + ssl());
  daemon_.start();
  EXPECT_TRUE(eventually([&] { return said("CIPHER is"); }));
}

TEST_F(TlsPeer, Tls13IsSpokenWhenItIsTheOldest) {
  broker_.use_tls(local());
  start_secured(ssl("min_version: \"1.3\""));
}

}  // namespace
}  // namespace fastmqttd::testing
