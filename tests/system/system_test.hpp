// A Debian with the packages installed, in a box of its own: see `box`.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/files.hpp"
#include "tests/support/process.hpp"

namespace fastmqttd::testing {

// Commands are lines of bash, run as root in the box.
class Box {
 public:
  // On top of these directories.  Throws when it does not boot.
  explicit Box(const std::string& lower);
  ~Box();
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;

  Finished run(const std::string& command, Milliseconds within = kPatience) const;
  // The output of what must succeed; throws when it does not.
  std::string sh(const std::string& command, Milliseconds within = kPatience) const;
  // Whether it succeeds in the end.
  bool becomes(const std::string& command, Milliseconds within = kPatience) const;

  void write(const std::string& path, const std::string& text) const;
  // As root's, mode 0755.
  void push(const std::filesystem::path& file, const std::string& path) const;
  // All its processes end at once, as in a power cut; its disk stays.
  void crash();
  void boot();

 private:
  const std::string name_;
};

// A test with a box; skipped, with the reason, where the machine cannot have one.
class SystemTest : public ::testing::Test {
 protected:
  // "installed", or "bare": without the packages, whose dependencies are there.
  explicit SystemTest(const char* kind = "installed") : kind_(kind) {}
  void SetUp() override;
  void TearDown() override;

  Box& box() { return *box_; }
  std::string sh(const std::string& command) { return box_->sh(command); }
  bool becomes(const std::string& command, Milliseconds within = kPatience) {
    return box_->becomes(command, within);
  }

  // mosquitto.service on port 1883, which logs every packet in the journal.
  void start_broker(const std::string& settings = "");
  // The plugins of the tests of these names, at /usr/local/lib/fastmqttd/handlers.
  void add_plugins(const std::vector<std::string>& names);
  // conf.d/50-test.yaml, and a restart of the service unless it is to stay as it is.
  void configure(const std::string& yaml, bool restart = true);
  // Directives of [Service] in a drop-in.
  void drop_in(const std::string& directives, const std::string& unit = "fastmqttd");
  bool connected() { return becomes("fastmqttctl status | grep -q 'connected to localhost'"); }
  // A property of the service.
  std::string show(const std::string& property, const std::string& unit = "fastmqttd");
  // Lines of the service since the box booted.
  std::string journal(const std::string& arguments = "");
  void publish(const std::string& topic, const std::string& payload);

 private:
  const char* const kind_;
  std::unique_ptr<Box> box_;
};

}  // namespace fastmqttd::testing
