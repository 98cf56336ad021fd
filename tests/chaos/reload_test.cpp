// Reloads under traffic, in which handlers, options and filters change.
#include "tests/chaos/chaos_test.hpp"

namespace fastmqttd::testing {
namespace {

const std::vector<std::string> kTopics{"r/1", "r/2", "r/3"};
const std::vector<Traffic::Stream> kStreams{{"r/1", 1}, {"r/2", 2}, {"r/3", 1}};

class Reloads : public VersionedChaos {
 protected:
  std::string entries(int round) {
    // Each change of them is from filters that bring all to others that do.
    static const std::vector<std::string> filters{
        "{topic: r/#, qos: 2}",
        "{topic: r/+, qos: 2}",
        "{topic: r/1, qos: 2}, {topic: r/2, qos: 2}, {topic: r/3, qos: 2}",
        "{topic: r/#, qos: 2}, {topic: r/2, qos: 2}",
        "{topic: r/+, qos: 1}",
        "{topic: r/+, qos: 2}, {topic: +/3, qos: 2}",
        "{topic: r/#, qos: 2, retain_as_published: true}",
        "{topic: r/#, qos: 1}, {topic: r/1, qos: 2}"};
    const std::string mark = "hang_ms: " + std::to_string(round);
    const auto of = [&](int i) { return filters[static_cast<std::size_t>(i) % filters.size()]; };
    std::string all = ledger("same", filters.front(), kTopics) +
                      ledger("options", filters.front(), kTopics, mark) +
                      ledger("filters", of(wanders() ? round : 0), kTopics, mark) +
                      ledger("moody", filters.front(), kTopics, "fail_percent: 10, " + mark);
    if (round % 2 == 1) all += ledger("guest", "{topic: r/1, qos: 1}", {}, mark);
    return all;
  }
  // Without identifiers copies for filters that overlap for a moment cannot be told apart.
  bool wanders() const { return version() == "5"; }
};
INSTANTIATE_TEST_SUITE_P(Versions, Reloads, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(Reloads, LoseNothingAndRepeatNothing) {
  const int all = rounds(50);
  start(entries(0), {"r/#"});
  Traffic traffic(broker_, kStreams, options());
  // The last one brings the guest back, which has what it left behind in the spool.
  for (int round = 1; round <= all || round % 2 == 1; ++round) {
    let_run(traffic);
    configure(entries(round));
    const Finished done = daemon_.ctl({"reload"});
    ASSERT_EQ(done.exit, Exit{}) << done.errors;
  }
  expect_all_handled(traffic);
  for (const char* name : {"same", "options", "filters", "moody"})
    for (const int qos : {1, 2}) EXPECT_EQ(book(name).repeats(qos), 0) << name << ", QoS " << qos;
  report(traffic, all);
  EXPECT_EQ(broker_.count_in_log(" as " + daemon_.client_id() + " (p"), 1);
}

}  // namespace
}  // namespace fastmqttd::testing
