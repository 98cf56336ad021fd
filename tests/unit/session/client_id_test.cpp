#include "daemon/session/client_id.hpp"

#include <gtest/gtest.h>
#include <systemd/sd-id128.h>

namespace fastmqttd {
namespace {

TEST(ClientId, IsStableAndDiffersByInstance) {
  sd_id128_t machine;
  if (sd_id128_get_machine(&machine) < 0) {  // a container, or an image that was never booted
    EXPECT_EQ(default_client_id("fastmqttd"), std::nullopt);
    return;
  }
  const auto id = default_client_id("fastmqttd");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->find("fastmqttd-"), 0u);
  EXPECT_EQ(id->find_first_not_of("0123456789abcdef", 10), std::string::npos);
  EXPECT_EQ(id->size(), 22u) << "short enough for MQTT 3.1 (23)";
  EXPECT_EQ(default_client_id("fastmqttd"), id);
  EXPECT_NE(default_client_id("plant"), id);
}

}  // namespace
}  // namespace fastmqttd
