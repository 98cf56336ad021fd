#include "handlers/republish/broker_options.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include "handlers/republish/topic.hpp"

namespace fastmqtt::republish {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kLongest = 65'535;  // [MQTT-1.5.4], and binary data [MQTT-1.5.6]

// What is misspelt would else be passed over.
void check_names(const Host& host, const std::string& path, const std::vector<std::string>& known) {
  for (const std::string& name : host.members(path)) {
    if (std::ranges::find(known, name) != known.end()) continue;
    std::string expected = "unknown: expected";
    for (const std::string& one : known) expected += (one == known.front() ? " " : ", ") + one;
    throw OptionError(path + "." + name, expected);
  }
}

std::optional<std::string> optional_text(const Host& host, const std::string& path) {
  if (!is_given(host, path)) return std::nullopt;
  std::string text = host.required<std::string>(path);
  if (text.size() > kLongest) throw OptionError(path, "expected 65535 bytes at most");
  return text;
}

std::optional<TlsOptions> read_tls(const Host& host) {
  const std::string path = "broker.ssl";
  if (host.members(path).empty())
    return host.option(path, false) ? std::optional(TlsOptions()) : std::nullopt;
  check_names(host, path, {"ca_file", "cert_file", "key_file", "key_password", "verify"});
  TlsOptions tls{.ca_file = host.option(path + ".ca_file", ""),
                 .cert_file = host.option(path + ".cert_file", ""),
                 .key_file = host.option(path + ".key_file", ""),
                 .key_password = host.option(path + ".key_password", ""),
                 .verify = host.option(path + ".verify", true)};
  if (!tls.verify && !tls.ca_file.empty())
    throw OptionError(path + ".ca_file", "has no effect with verify: false");
  for (const char* name : {".key_file", ".key_password"})
    if (tls.cert_file.empty() && is_given(host, path + name))
      throw OptionError(path + name, "has no effect without cert_file");
  if (const auto problem = tls_problem(tls))
    throw OptionError(path + "." + problem->option, problem->what);
  return tls;
}

// Nothing is kept under it at the broker, so it may be another one at each start.
std::string made_client_id(const Host& host) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::random_device random;
  std::string id = "fastmqttd-" + std::string(host.name()) + "-";
  for (int i = 0; i < 8; ++i) id += kDigits[random() % 16];
  return id;
}

}  // namespace

bool is_given(const Host& host, const std::string& path) {
  return host.raw()->config_kind(host.raw(), path.c_str(), nullptr) != FASTMQTT_ABSENT;
}

std::string BrokerOptions::name() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

BrokerOptions read_broker_options(const Host& host) {
  if (host.config("broker") && host.members("broker").empty())
    throw OptionError("broker", "expected {host: ..., ...}; without it, it is the daemon's own");
  check_names(host, "broker",
              {"host", "port", "ssl", "username", "password", "client_id", "version", "keepalive",
               "connect_timeout", "reconnect_delay", "reconnect_delay_max", "max_inflight",
               "max_packet_size"});
  BrokerOptions options;
  options.host = host.required<std::string>("broker.host");
  if (options.host.empty() || options.host.find_first_of("/ \t\r\n") != std::string::npos)
    throw OptionError("broker.host", "expected a name or an address, without a scheme or port");
  options.tls = read_tls(host);
  options.port = host.option<std::uint16_t>("broker.port", options.tls ? 8883 : 1883, 1, 65'535);
  options.mqtt5 = host.option("broker.version", true, {{"5", true}, {"3.1.1", false}});
  options.username = optional_text(host, "broker.username");
  if (options.username && !is_text(*options.username))
    throw OptionError("broker.username", "expected text without control characters");
  options.password = optional_text(host, "broker.password");
  if (options.password && !options.username && !options.mqtt5)
    throw OptionError("broker.password", "needs a username with version 3.1.1 [MQTT-3.1.2-22]");
  options.client_id = optional_text(host, "broker.client_id").value_or(made_client_id(host));
  if (options.client_id.empty() || !is_text(options.client_id))
    throw OptionError("broker.client_id", "expected text without control characters");
  options.keepalive = host.option("broker.keepalive", seconds(60), seconds(0), seconds(65'535));
  options.connect_timeout = host.option("broker.connect_timeout", milliseconds(10'000),
                                        milliseconds(1'000), milliseconds(600'000));
  options.reconnect_delay = host.option("broker.reconnect_delay", milliseconds(1'000),
                                        milliseconds(1), milliseconds(3'600'000));
  options.reconnect_delay_max = host.option("broker.reconnect_delay_max",
                                            std::max(milliseconds(60'000), options.reconnect_delay),
                                            options.reconnect_delay, milliseconds(3'600'000));
  options.max_inflight = host.option<std::size_t>("broker.max_inflight", 16, 1, 1'000);
  if (is_given(host, "broker.max_packet_size"))
    options.max_packet_size =
        host.option("broker.max_packet_size", Bytes{}, Bytes{100}, Bytes{kLargestPacket}).count;
  return options;
}

}  // namespace fastmqtt::republish
