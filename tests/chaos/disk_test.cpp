// No room for the spool.
#include "tests/chaos/chaos_test.hpp"
#include "tests/chaos/small_disk.hpp"

namespace fastmqttd::testing {
namespace {

const std::vector<std::string> kTopics{"d/1", "d/2"};
const std::vector<Traffic::Stream> kStreams{{"d/1", 1}, {"d/2", 2}};

class DiskFull : public VersionedChaos {
 protected:
  bool takes_nothing() {
    return any_line_matches(daemon_.notify().last("STATUS=") + "\n", "not taking messages");
  }

  Traffic::Options large() const { return {.version = version(), .size = 8000, .pace = 0ms}; }

  // The handler stands still until there is no room, and for a while after that.
  void expect_to_come_back(const std::string& spool, const Traffic::Options& traffic_options) {
    start(ledger("all", "{topic: d/#, qos: 2}", kTopics), {"d/#"}, "", spool);
    hold("all");
    Traffic traffic(broker_, kStreams, traffic_options);
    await_held("all");
    ASSERT_TRUE(eventually([&] { return takes_nothing(); })) << daemon_.notify().text();
    await_log("not taking messages");
    // The broker queues these.
    ASSERT_TRUE(traffic.wait_for(traffic.acknowledged("d/1") + 200));
    traffic.stop();
    release("all");
    expect_all_handled(traffic);
    EXPECT_TRUE(eventually([&] { return connected(); })) << daemon_.notify().text();
    report(traffic, 1);
    EXPECT_EQ(entered_twice(), 0);
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, DiskFull, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(DiskFull, LosesNothing) {
  const SmallDisk disk(daemon_.file("state"), "8m");
  if (!disk.why_not().empty()) GTEST_SKIP() << "cannot mount a file system: " << disk.why_not();
  expect_to_come_back("", large());
}

// The log alone takes most of it.
TEST_P(DiskFull, ASmallDiskLosesNothing) {
  const SmallDisk disk(daemon_.file("state"), "2500k");
  if (!disk.why_not().empty()) GTEST_SKIP() << "cannot mount a file system: " << disk.why_not();
  expect_to_come_back("", {.version = version(), .size = 800, .pace = 10ms});
}

TEST_P(DiskFull, KillsInBetweenLoseNothing) {
  const SmallDisk disk(daemon_.file("state"), "8m");
  if (!disk.why_not().empty()) GTEST_SKIP() << "cannot mount a file system: " << disk.why_not();
  start(ledger("all", "{topic: d/#, qos: 2}", kTopics), {"d/#"});
  hold("all");
  Traffic traffic(broker_, kStreams, {.version = version(), .size = 8000, .pace = 5ms});
  await_held("all");
  ASSERT_TRUE(eventually([&] { return takes_nothing(); })) << daemon_.notify().text();
  // It starts from what is there, full as it is.
  daemon_.kill();
  daemon_.start_ready();
  ASSERT_TRUE(eventually([&] { return takes_nothing(); })) << daemon_.notify().text();
  traffic.stop();
  release("all");
  expect_all_handled(traffic);
}

TEST_P(DiskFull, MaxSizeLosesNothing) { expect_to_come_back("max_size: 2MiB", large()); }

}  // namespace
}  // namespace fastmqttd::testing
