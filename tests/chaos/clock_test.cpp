// The time of day set forward and back under the daemon while messages flow.
#include <fcntl.h>
#include <unistd.h>

#include "tests/chaos/chaos_test.hpp"

namespace fastmqttd::testing {
namespace {

const std::vector<std::string> kTopics{"c/1", "c/2"};
const std::vector<Traffic::Stream> kStreams{{"c/1", 1}, {"c/2", 2}};

class ClockMoved : public VersionedChaos {
 protected:
  ClockMoved() {
    move(0s);
    daemon_.set_environment("LD_PRELOAD=" FASTMQTTD_TESTS_MOVED_CLOCK);
    daemon_.set_environment("ASAN_OPTIONS=verify_asan_link_order=0");
    daemon_.set_environment("MOVED_CLOCK_FILE=" + offset_file().string());
  }

  // By that much against the true one.  In place: the daemon has the file mapped.
  void move(std::chrono::nanoseconds by) const {
    const std::int64_t offset = by.count();
    const UniqueFd fd(::open(offset_file().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (::pwrite(fd.get(), &offset, sizeof offset, 0) != sizeof offset)
      throw std::runtime_error("cannot move the clock");
  }
  // Up to a year forward or back, or a second.
  void move_at_random() {
    constexpr std::chrono::seconds kSteps[] = {1s, 60s, 3600s, 86400s, 365 * 86400s};
    move(kSteps[random(5)] * (random(2) == 0 ? 1 : -1));
  }

 private:
  std::filesystem::path offset_file() const { return daemon_.file("offset"); }
};
INSTANTIATE_TEST_SUITE_P(Versions, ClockMoved, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(ClockMoved, LosesNothing) {
  const int all = rounds(8);
  start(ledger("all", "{topic: c/#, qos: 2}", kTopics) +
            ledger("failing", "{topic: c/#, qos: 2}", kTopics, "fail_percent: 10"),
        {"c/#"});
  Traffic traffic(broker_, kStreams, options());
  for (int round = 1; round <= all; ++round) {
    let_run(traffic);
    move_at_random();
    if (round % 2 != 0) continue;
    let_run(traffic);
    daemon_.kill();
    move_at_random();
    daemon_.start_ready();
  }
  expect_all_handled(traffic);
  report(traffic, all);
  for (const char* name : {"all", "failing"}) EXPECT_EQ(book(name).shared_ids(), 0) << name;
}

// What waits over a kill comes first, whatever the clock says when the rest arrives.
TEST_P(ClockMoved, BackKeepsTheOrder) {
  start(ledger("all", "{topic: c/#, qos: 2}", kTopics), {"c/#"});
  hold("all");
  Traffic traffic(broker_, kStreams, options());
  ASSERT_TRUE(traffic.wait_for(20));
  await_held("all");
  for (const std::chrono::seconds by : {-86400s, 86400s, -2 * 86400s}) {
    daemon_.kill();
    move(by);
    daemon_.start_ready();
    ASSERT_TRUE(traffic.wait_for(traffic.acknowledged("c/1") + 20));
  }
  release("all");
  expect_all_handled(traffic);
  EXPECT_EQ(book("all").shared_ids(), 0);
  // It did see that clock: its log says so.
  const std::vector<std::string> log = lines_of(daemon_.log());
  constexpr std::size_t kDate = 10;
  EXPECT_LT(log.back().substr(0, kDate), log.front().substr(0, kDate));
}

}  // namespace
}  // namespace fastmqttd::testing
