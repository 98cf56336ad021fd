// Tests my_handler with neither daemon nor broker.
#include "my_handler.cpp"

#undef NDEBUG  // asserts are the test
#include <cassert>
#include <cstring>

#include "fastmqtt/testing.hpp"

using fastmqtt::testing::HandlerTester;

int main() {
  {
    HandlerTester tester({{"limit", "25"}});
    assert(tester.deliver("example/a/reading", "20") == Result::ok);
    assert(tester.published().empty());

    assert(tester.deliver("example/a/reading", "26.5") == Result::ok);
    assert(tester.deliver("example/a/reading", "27") == Result::ok);
    assert(tester.published().size() == 1);
    assert(tester.published()[0].topic == "alarm/example/a/reading");
    assert(tester.published()[0].payload == "on");
    assert(tester.published()[0].retain);

    assert(tester.deliver("example/a/reading", "24") == Result::ok);
    assert(tester.published()[1].payload == "off");
    assert(tester.counts()["alarms"] == 1);
  }
  {
    HandlerTester tester;
    assert(tester.deliver("example/a/reading", "warm") == Result::reject);
    assert(tester.last_log() == "not a number");

    tester.set_publish_answer(Result::retry);  // the way out is full
    assert(tester.deliver("example/a/reading", "99") == Result::retry);
    tester.set_publish_answer(Result::ok);
    assert(tester.deliver("example/a/reading", "99") == Result::ok);
    assert(tester.published().size() == 1);
  }
  try {
    HandlerTester tester({{"limit", "high"}});
    assert(!"it must not start");
  } catch (const std::runtime_error& error) {
    assert(std::strcmp(error.what(), "limit: expected a number, at least -273.15") == 0);
  }
}
