// The handlers that come with the daemon, each in a file of its own here: in the daemon, with a
// real broker and what they work with.
#pragma once

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {

class HandlersTest : public IntegrationTest {
 protected:
  // Puts the built plugin where the daemon looks for it.
  void install(const std::string& handler) const {
    const auto to = daemon_.plugin_directory() / (handler + ".so");
    std::filesystem::copy_file(std::string(FASTMQTTD_HANDLERS "/") + handler + ".so", to);
    set_mode(to, 0755);
  }
  // For every message to be done with, or given up.
  void await_idle() {
    ASSERT_TRUE(eventually([&] {
      return daemon_.notify().last("STATUS=").find(" 0 messages waiting") != std::string::npos;
    })) << daemon_.notify().last("STATUS=");
  }
};

}  // namespace fastmqttd::testing
