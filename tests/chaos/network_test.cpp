// A cable that is pulled and plugged in at random moments while messages flow: nobody is told that
// the connection is gone.
#include "tests/chaos/cable.hpp"
#include "tests/chaos/chaos_test.hpp"

namespace fastmqttd::testing {
namespace {

const std::vector<std::string> kTopics{"n/1", "n/2"};
const std::vector<Traffic::Stream> kStreams{{"n/1", 1}, {"n/2", 2}};

class NetworkCut : public VersionedChaos {
 protected:
  int losses() const {
    int count = 0;
    for (const std::string& line : lines_of(daemon_.log()))
      count += any_line_matches(line + "\n", "connection to .* lost") ? 1 : 0;
    return count;
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, NetworkCut, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(NetworkCut, LosesNothing) {
  Cable cable;
  if (!cable.why_not().empty()) GTEST_SKIP() << "no network of its own: " << cable.why_not();
  const int all = rounds(4);
  broker_.add_setting("listener " + std::to_string(broker_.port()) + " " + Cable::kNearAddress);
  broker_.start();
  configure(ledger("all", "{topic: n/#, qos: 2}", kTopics),
            std::string("  host: ") + Cable::kNearAddress + "\n  keepalive: 1\n");
  cable.at_far_end([this] { daemon_.start_ready(); });
  await_subscriptions({"n/#"});
  Traffic traffic(broker_, kStreams, {.version = version(), .pace = 5ms});
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    ASSERT_TRUE(eventually([&] { return connected(); })) << "round " << round;
    cable.pull();
    // For a moment, or until it is noticed.
    const Milliseconds moment = round % 2 == 0 ? kPatience : Milliseconds(random(500));
    const bool noticed = eventually(moment, [&] { return !connected(); });
    cable.plug();
    EXPECT_TRUE(noticed || moment < kPatience);
  }
  expect_all_handled(traffic);
  report(traffic, all, ", connections lost " + std::to_string(losses()));
  EXPECT_EQ(entered_twice(), 0);
}

}  // namespace
}  // namespace fastmqttd::testing
