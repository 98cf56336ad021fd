// What the tests of lua have in common.
#pragma once

#include <fstream>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/handler_test.hpp"

namespace fastmqtt::lua::testing {

using fastmqttd::testing::HandlerTester;
using fastmqttd::testing::Option;
using fastmqttd::testing::TestMessage;

class LuaHandler : public fastmqttd::testing::HandlerTest {
 protected:
  ~LuaHandler() override { tester_.reset(); }

  std::string write(const std::string& text, const std::string& name = "x.lua") const {
    std::ofstream(file(name), std::ios::binary) << text;
    std::filesystem::permissions(file(name), std::filesystem::perms(0644));
    return file(name);
  }
  // A handler of that script, the test's own one.
  HandlerTester& start(const std::string& text, std::initializer_list<Option> more = {}) {
    return run_file(write(text), more);
  }
  HandlerTester& example(const std::string& name, std::initializer_list<Option> more = {}) {
    // A copy, for the sources may be somebody else's.
    return run_file(write(text(std::string(HANDLER_EXAMPLES "/") + name), name), more);
  }
  HandlerTester& run_file(const std::string& path, std::initializer_list<Option> more) {
    options_.assign(more);
    options_.push_back({"script", path});
    switch (options_.size()) {
      case 1: tester_.emplace(std::initializer_list<Option>{options_[0]}); break;
      case 2: tester_.emplace(std::initializer_list<Option>{options_[0], options_[1]}); break;
      default:
        tester_.emplace(std::initializer_list<Option>{options_[0], options_[1], options_[2]});
    }
    return *tester_;
  }
  // Why it does not start.
  std::string refusal(const std::string& text, std::initializer_list<Option> more = {}) {
    try {
      start(text, more);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "none";
  }
  // What `body` of on_message publishes, answers or logs.
  std::string log_of(const std::string& body, const TestMessage& message = {.topic = "a"}) {
    start("function on_message(msg) " + body + " end").deliver(message);
    return tester_->last_log();
  }

  std::vector<Option> options_;
  std::optional<HandlerTester> tester_;
};

}  // namespace fastmqtt::lua::testing
