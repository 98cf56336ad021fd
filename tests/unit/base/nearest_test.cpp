#include "daemon/base/nearest.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace fastmqttd {
namespace {

const std::vector<std::string> kKeys{"host", "port", "keepalive", "password", "client_id"};

TEST(Nearest, FindsTheLikelyWord) {
  EXPECT_EQ(nearest("prot", kKeys), "port");
  EXPECT_EQ(nearest("keep_alive", kKeys), "keepalive");
  EXPECT_EQ(nearest("clientid", kKeys), "client_id");
  EXPECT_EQ(nearest("passwrod", kKeys), "password");
}

TEST(Nearest, SuggestsNothingFarAway) {
  EXPECT_EQ(nearest("tls_certificate", kKeys), "");
  EXPECT_EQ(nearest("x", kKeys), "");
  EXPECT_EQ(nearest("port", {}), "");
}

}  // namespace
}  // namespace fastmqttd
