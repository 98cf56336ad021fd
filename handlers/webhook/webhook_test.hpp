// What the tests of webhook have in common.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/support/handler_test.hpp"
#include "tests/support/web_server.hpp"

namespace fastmqtt::webhook::testing {

using fastmqttd::testing::answer;
using fastmqttd::testing::CertificateAuthority;
using fastmqttd::testing::eventually;
using fastmqttd::testing::HandlerTester;
using fastmqttd::testing::Option;
using fastmqttd::testing::RawServer;
using fastmqttd::testing::read_request_head;
using fastmqttd::testing::refusal;
using fastmqttd::testing::TestMessage;
using fastmqttd::testing::WebAnswer;
using fastmqttd::testing::WebRequest;
using fastmqttd::testing::WebServer;
using fastmqttd::testing::write_all;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using namespace std::chrono_literals;

using SteadyClock = std::chrono::steady_clock;

inline std::size_t count_of(const std::vector<std::string>& lines, const std::string& part) {
  return static_cast<std::size_t>(std::ranges::count_if(
      lines, [&](const std::string& line) { return line.find(part) != std::string::npos; }));
}

}  // namespace fastmqtt::webhook::testing
