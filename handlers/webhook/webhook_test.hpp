// What the tests of webhook have in common.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "fastmqtt/testing.hpp"
#include "tests/support/web_server.hpp"

namespace fastmqtt::webhook::testing {

using fastmqtt::testing::HandlerTester;
using fastmqtt::testing::Option;
using fastmqtt::testing::TestMessage;
using fastmqttd::testing::CertificateAuthority;
using fastmqttd::testing::eventually;
using fastmqttd::testing::RawServer;
using fastmqttd::testing::read_request_head;
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

// The answer to a message, however it is given.
inline Result answer(HandlerTester& tester, const TestMessage& message) {
  const Result result = tester.deliver(message);
  return result == Result::pending ? tester.answer_to(tester.last_id()) : result;
}

// What a handler with these options says when it does not start; "none" when it does.
inline std::string refusal(std::initializer_list<Option> options) {
  try {
    HandlerTester tester(options);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

inline std::size_t count_of(const std::vector<std::string>& lines, const std::string& part) {
  return static_cast<std::size_t>(std::ranges::count_if(
      lines, [&](const std::string& line) { return line.find(part) != std::string::npos; }));
}

}  // namespace fastmqtt::webhook::testing
