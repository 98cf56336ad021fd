// A real mosquitto, on a loopback port of its own.
#pragma once

#include <signal.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/certificates.hpp"
#include "tests/support/files.hpp"
#include "tests/support/port.hpp"
#include "tests/support/process.hpp"

namespace fastmqttd::testing {

// Keeps sessions on disk, queues without limit, logs everything.  Not started by the constructor.
class Broker {
 public:
  // Lets in whoever comes, until a user is added.
  Broker();

  void add_user(const std::string& name, const std::string& password);
  // Speaks TLS with this certificate from the next start on; with `client_ca`, a file, only to
  // clients that show a certificate of that authority.
  void use_tls(const Certificate& certificate, const std::filesystem::path& client_ca = {});
  // A line of mosquitto.conf(5), before the start.
  void add_setting(const std::string& line) { settings_ += line + "\n"; }
  // A file in the broker's own directory.
  std::filesystem::path file(std::string_view name) const { return directory_ / name; }

  // Returns once clients are accepted.  The first start moves to another port when that of the
  // constructor was taken meanwhile; later ones never move.
  void start();
  void stop();  // SIGTERM: sessions are saved
  void kill();  // SIGKILL: what was not saved is lost
  // It goes on accepting connections, as the kernel does that, but answers nothing.
  void pause() { process_->signal(SIGSTOP); }
  void resume() { process_->signal(SIGCONT); }

  std::uint16_t port() const { return port_->number(); }

  // Of all its runs, without time stamps.
  std::string log() const;
  int count_in_log(std::string_view text) const;
  // For `text` to stand `times` times in the log.
  [[nodiscard]] bool wait_for_log(std::string_view text, int times = 1) const;
  // For `client` to have subscribed each of the filters that many times, at whatever QoS.
  [[nodiscard]] bool wait_for_subscriptions(std::string_view client,
                                            const std::vector<std::string>& filters,
                                            int times = 1) const;
  // For `client` to have acknowledged that many messages of QoS 1 and 2, over all runs.
  [[nodiscard]] bool wait_for_acknowledgements(std::string_view client, int messages) const;

 private:
  void write_config() const;
  bool try_start();

  TempDir directory_;
  std::unique_ptr<Port> port_ = std::make_unique<Port>();
  bool port_is_known_ = false;
  bool has_users_ = false;
  std::string settings_;
  std::string tls_;
  std::unique_ptr<Process> process_;
};

}  // namespace fastmqttd::testing
