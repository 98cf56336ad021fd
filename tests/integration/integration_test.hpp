// A broker, a daemon and recorders, for one test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/broker.hpp"
#include "tests/support/daemon.hpp"
#include "tests/support/mqtt.hpp"
#include "tests/support/records.hpp"

namespace fastmqttd::testing {

// The await_ functions throw when what must come does not; then, and at any failure, the ends of
// the daemon's and the broker's log are shown.  With $FASTMQTTD_TEST_LOGS, a directory, the
// daemon's files and the whole of both logs are kept there.
class IntegrationTest : public ::testing::Test {
 protected:
  void TearDown() override;

  // An entry of `handlers`: the plugin `recorder` with the given list of filters.  `options` go
  // into its options ("answer: retry:2, ..."), `keys` are more lines of the entry.
  std::string recorder(const std::string& name, const std::string& filters,
                       const std::string& options = "", const std::string& keys = "") const;
  std::string recorder_of(const std::string& plugin, const std::string& name,
                          const std::string& filters, const std::string& options = "",
                          const std::string& keys = "") const;

  // Writes the configuration: the `mqtt` section with `mqtt` as further lines, and the entries.
  void configure(const std::string& handlers, std::string_view mqtt = "");
  // Starts the broker, then the daemon, and waits until it has subscribed `filters`.
  void start(const std::string& handlers, const std::vector<std::string>& filters,
             std::string_view mqtt = "");
  void await_subscriptions(const std::vector<std::string>& filters, int times = 1) const;

  // What a recorder has written.
  Records records(const std::string& name) const;
  Records await_records(const std::string& name, std::size_t count) const;
  // For a message with this payload.
  Records await_payload(const std::string& name, std::string_view payload) const;

  // Calls of a recorder hang, from the next one on, until released.
  void hold(const std::string& name) const { write_file(block_file(name), ""); }
  void release(const std::string& name) const { std::filesystem::remove(block_file(name)); }
  void await_held(const std::string& name) const;

  void await_log(const std::string& pattern) const;

  Broker broker_;
  Daemon daemon_;

 private:
  void keep_everything(const std::filesystem::path& directory) const;
  std::filesystem::path record_file(const std::string& name) const {
    return daemon_.file(name + ".records");
  }
  std::filesystem::path block_file(const std::string& name) const {
    return daemon_.file(name + ".block");
  }
};

// The same with both versions of the protocol; the parameter is the value of `mqtt.version`.
class VersionedTest : public IntegrationTest, public ::testing::WithParamInterface<std::string> {
 protected:
  std::string version() const { return "  version: " + GetParam() + "\n"; }
};
// "5" to "Mqtt5", "3.1.1" to "Mqtt311".
std::string version_name(const ::testing::TestParamInfo<std::string>& info);

}  // namespace fastmqttd::testing
