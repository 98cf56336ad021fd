// A real PostgreSQL server with a database of its own, on a loopback port of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/files.hpp"
#include "tests/support/port.hpp"
#include "tests/support/process.hpp"

namespace fastmqttd::testing {

// Lets in whoever comes, but strict_user, who needs a password.  Not
// started by the constructor.  It runs as another user when the test is root's, as it does not run
// as root.
class Postgres {
 public:
  Postgres();
  ~Postgres();
  // Whether there is one on this system.
  static bool is_installed();

  void start();  // returns once it answers
  void stop();   // SIGINT: sessions are ended
  void kill();   // SIGKILL, to all of its processes
  // It accepts connections, as the kernel does that, but answers nothing.
  void pause() const { signal_all(19); }
  void resume() const { signal_all(18); }

  // A connection string.
  std::string target(const std::string& user = "postgres") const;
  // Each row as "a|b"; throws with what psql says when it fails.
  std::vector<std::string> query(const std::string& sql) const;
  // For the server to be able to use it.
  void give(const std::filesystem::path& directory) const;
  std::string log() const { return read_file(directory_ / "log"); }

 private:
  std::vector<std::string> as_its_user(std::vector<std::string> command) const;
  std::vector<pid_t> processes() const;
  void signal_all(int number) const;
  bool answers() const;

  TempDir directory_;
  Port port_;
  std::unique_ptr<Process> process_;
};

}  // namespace fastmqttd::testing
