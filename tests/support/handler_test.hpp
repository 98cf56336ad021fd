// What the unit tests of the shipped handlers have in common.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "fastmqtt/testing.hpp"
#include "tests/support/wait.hpp"

namespace fastmqttd::testing {

using fastmqtt::testing::HandlerTester;
using fastmqtt::testing::Option;
using fastmqtt::testing::TestMessage;

// The answer to a message, however it is given.
inline fastmqtt::Result answer(HandlerTester& tester, const TestMessage& message) {
  const fastmqtt::Result result = tester.deliver(message);
  return result == fastmqtt::Result::pending ? tester.answer_to(tester.last_id()) : result;
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

// With a directory of its own.
class HandlerTest : public ::testing::Test {
 protected:
  HandlerTest() { std::filesystem::create_directory(directory_); }
  ~HandlerTest() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name) const { return directory_ / name; }
  static std::string text(const std::string& file) {
    std::ostringstream out;
    out << std::ifstream(file).rdbuf();
    return out.str();
  }

  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / ("handler-test-" + unique_name());

 private:
  static std::string unique_name() {
    std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::replace(name, '/', '-');
    return std::to_string(::getpid()) + "-" + name;
  }
};

}  // namespace fastmqttd::testing
