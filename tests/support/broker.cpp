#include "tests/support/broker.hpp"

#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace fastmqttd::testing {
namespace {

// Debian keeps the broker where the PATH of a user does not look.
const char* program() {
  return access("/usr/sbin/mosquitto", X_OK) == 0 ? "/usr/sbin/mosquitto" : "mosquitto";
}

int count(std::string_view text, std::string_view part) {
  int times = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size())
    ++times;
  return times;
}

}  // namespace

Broker::Broker() = default;

void Broker::add_user(const std::string& name, const std::string& password) {
  std::vector<std::string> argv{"mosquitto_passwd", "-b"};
  if (!has_users_) argv.push_back("-c");
  const std::string file = directory_ / "passwords";
  argv.insert(argv.end(), {file, name, password});
  if (const Finished made = run({.argv = argv}); made.exit != Exit{})
    throw std::runtime_error("mosquitto_passwd: " + made.errors);
  has_users_ = true;
}

void Broker::use_tls(const Certificate& certificate, const std::filesystem::path& client_ca) {
  tls_ = "certfile " + certificate.cert.string() + "\nkeyfile " + certificate.key.string() + "\n";
  if (!client_ca.empty()) tls_ += "cafile " + client_ca.string() + "\nrequire_certificate true\n";
}

void Broker::write_config() const {
  std::string text = "listener " + std::to_string(port()) + " 127.0.0.1\n" + tls_;
  text += "persistence true\npersistence_location " + directory_.path().string() + "/\n";
  text += "max_queued_messages 0\nset_tcp_nodelay true\nlog_dest stderr\nlog_type all\n";
  text += has_users_ ? "allow_anonymous false\npassword_file " + (directory_ / "passwords").string()
                     : "allow_anonymous true";
  text += "\n";
  if (geteuid() == 0) text += "user root\n";
  text += settings_;
  write_file(directory_ / "mosquitto.conf", text);
}

bool Broker::try_start() {
  write_config();
  const int runs = count_in_log(" running\n");
  process_ = std::make_unique<Process>(Command{
      .argv = {program(), "-c", directory_ / "mosquitto.conf"}, .errors = directory_ / "log"});
  const auto started_or_ended = [&] {
    return count_in_log(" running\n") > runs || !process_->running();
  };
  return eventually(started_or_ended) && process_->running();
}

void Broker::start() {
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    if (try_start()) {
      port_is_known_ = true;
      return;
    }
    if (!port_is_known_) port_ = std::make_unique<Port>();
  }
  throw std::runtime_error("mosquitto does not start:\n" + tail(log()));
}

void Broker::stop() {
  process_->signal(SIGTERM);
  if (!process_->wait()) throw std::runtime_error("mosquitto does not stop:\n" + tail(log()));
}

void Broker::kill() {
  process_->signal(SIGKILL);
  process_->wait();
}

std::string Broker::log() const {
  std::string text;
  for (const std::string& line : lines_of(read_file(directory_ / "log"))) {
    const std::size_t stamp_end = line.find(": ");
    text += stamp_end == std::string::npos ? line : line.substr(stamp_end + 2);
    text += '\n';
  }
  return text;
}

int Broker::count_in_log(std::string_view text) const { return count(log(), text); }

bool Broker::wait_for_log(std::string_view text, int times) const {
  return eventually([&] { return count_in_log(text) >= times; });
}

bool Broker::wait_for_subscriptions(std::string_view client,
                                    const std::vector<std::string>& filters, int times) const {
  const auto subscribed = [&](const std::vector<std::string>& lines, const std::string& filter) {
    return std::ranges::count_if(lines, [&](const std::string& line) {
             const std::vector<std::string> words = split(line, ' ');
             return words.size() == 3 && words[0] == client && words[2] == filter;
           }) >= times;
  };
  return eventually([&] {
    const std::vector<std::string> lines = lines_of(log());
    return std::ranges::all_of(
        filters, [&](const std::string& filter) { return subscribed(lines, filter); });
  });
}

bool Broker::wait_for_acknowledgements(std::string_view client, int messages) const {
  const std::string sender = " from " + std::string(client) + " ";
  return eventually([&] {
    const std::string text = log();
    return count(text, "Received PUBACK" + sender) + count(text, "Received PUBCOMP" + sender) >=
           messages;
  });
}

}  // namespace fastmqttd::testing
