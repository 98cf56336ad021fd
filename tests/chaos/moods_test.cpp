// Handlers that fail and hang at random.
#include "tests/chaos/chaos_test.hpp"

namespace fastmqttd::testing {
namespace {

const std::vector<std::string> kTopics{"m/1", "m/2", "m/3"};
const std::vector<Traffic::Stream> kStreams{{"m/1", 1}, {"m/2", 2}, {"m/3", 1}};
constexpr const char* kFilter = "{topic: m/#, qos: 2}";
// Some calls take more than their time.
constexpr const char* kMoods = "fail_percent: 30, hang_percent: 2, hang_ms: 150";
constexpr const char* kTimeout = "timeout: 100ms";

using HandlerMoods = Chaos;

TEST_F(HandlerMoods, LoseNothing) {
  const int last = 40 * rounds(5);
  start(ledger("moody", kFilter, kTopics, kMoods, kTimeout) + ledger("healthy", kFilter, kTopics),
        {"m/#"});
  Traffic traffic(broker_, kStreams, {.last = last});
  ASSERT_TRUE(traffic.wait_for(last));
  // At once, while the other one is far behind.
  EXPECT_TRUE(eventually([&] { return book("healthy").has_handled("m/3", last); }));
  const std::size_t behind = book("healthy").entries().size() - book("moody").handled_count();
  expect_all_handled(traffic);
  std::size_t failed = book("moody").entries().size() - book("moody").handled_count();
  report(traffic, 1,
         ", " + std::to_string(failed) + " failures; the moody handler was " +
             std::to_string(behind) + " messages behind the healthy one");
  EXPECT_GT(failed, 0u);
}

// The same with kills in between.
TEST_F(HandlerMoods, LoseNothingOverKills) {
  const int all = rounds(5);
  start(ledger("moody", kFilter, kTopics, kMoods, kTimeout) + ledger("healthy", kFilter, kTopics),
        {"m/#"});
  Traffic traffic(broker_, kStreams, {.pace = 10ms});
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    daemon_.kill();
    daemon_.start_ready();
  }
  expect_all_handled(traffic);
  report(traffic, all);
}

TEST_F(HandlerMoods, OneThatHangsDelaysNoOther) {
  start(ledger("hanging", kFilter, kTopics, "", kTimeout) + ledger("healthy", kFilter, kTopics),
        {"m/#"});
  hold("hanging");
  Traffic traffic(broker_, kStreams, {.last = 100});
  await_held("hanging");
  ASSERT_TRUE(traffic.wait_for(100));
  for (const std::string& topic : kTopics)
    EXPECT_TRUE(eventually([&] { return book("healthy").has_handled(topic, 100); }));
  EXPECT_EQ(book("hanging").entries().size(), 0u);
  release("hanging");
  expect_all_handled(traffic);
}

}  // namespace
}  // namespace fastmqttd::testing
