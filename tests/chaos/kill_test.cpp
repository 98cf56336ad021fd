// The daemon killed at random moments while messages flow.
#include "tests/chaos/chaos_test.hpp"

namespace fastmqttd::testing {
namespace {

const std::vector<std::string> kTopics{"k/1/a", "k/1/b", "k/2/a", "k/2/b"};

class KillRounds : public VersionedChaos {
 protected:
  static std::vector<Traffic::Stream> streams() {
    std::vector<Traffic::Stream> all;
    for (const std::string& topic : kTopics) all.push_back({topic, topic[2] - '0'});
    return all;
  }

  void kill_and_start() {
    daemon_.kill();
    daemon_.start();
    // One in four does not get ready.
    if (random(4) == 0)
      static_cast<void>(daemon_.process().wait(Milliseconds(random(100))));
    else
      ASSERT_TRUE(daemon_.wait_ready());
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, KillRounds, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(KillRounds, LoseNothing) {
  const int all = rounds(10);
  start(ledger("all", "{topic: k/#, qos: 2}", kTopics) +
            ledger("some", "{topic: k/+/a, qos: 2}, {topic: k/2/#, qos: 2}",
                   {"k/1/a", "k/2/a", "k/2/b"}),
        {"k/#"});
  Traffic traffic(broker_, streams(), options());
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    ASSERT_NO_FATAL_FAILURE(kill_and_start()) << "round " << round;
  }
  expect_all_handled(traffic);
  report(traffic, all);
  EXPECT_EQ(entered_twice(), 0);
}

// What a handler has published, in the same call in which it handled a message, comes out.
TEST_P(KillRounds, LoseNothingThatWasPublished) {
  const int all = rounds(10);
  start(ledger("all", "{topic: k/#, qos: 2}", kTopics, "publish: out"), {"k/#"});
  const Collector collector(broker_, "out/#");
  Traffic traffic(broker_, streams(), options());
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    ASSERT_NO_FATAL_FAILURE(kill_and_start()) << "round " << round;
  }
  expect_all_handled(traffic);
  expect_all_published(traffic, collector, kTopics, "out/");
  report(traffic, all);
}

}  // namespace
}  // namespace fastmqttd::testing
