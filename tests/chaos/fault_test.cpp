// The daemon killed by itself at each of the points where something has just begun to be, or to be
// no more, on disk or with the broker: FASTMQTTD_FAULT=POINT:N is the Nth time that it passes
// there.
#include <signal.h>

#include <cctype>

#include "tests/chaos/chaos_test.hpp"

namespace fastmqttd::testing {
namespace {

// All pass each of these.
constexpr const char* kPoints[] = {
    "append.begin",      "append.written", "append.committed", "settle.begin",    "settle.written",
    "settle.committed",  "retry.written",  "dead.written",     "publish.written", "publish.sent",
    "published.written", "packet.written", "packet.removed"};

const std::vector<std::string> kTopics{"f/1", "f/2"};
// The last one is rejected each time.
const std::vector<Traffic::Stream> kStreams{{"f/1", 1}, {"f/2", 2}, {"f/bad", 1, "poison"}};

// What is passed often is to be passed for a while before.
int pass_of(std::string_view point) {
  return point == "retry.written" || point == "dead.written" ? 2 : 5;
}

class Faults : public Chaos,
               public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {
 protected:
  std::string version() const override { return std::get<0>(GetParam()); }
  static std::string fault() {
    const std::string point = std::get<1>(GetParam());
    return point + ":" + std::to_string(pass_of(point));
  }

  std::string handlers() {
    return ledger("all", "{topic: f/#, qos: 2}", kTopics,
                  "publish: out, fail_percent: 20, poison: poison") +
           ledger("other", "{topic: f/#, qos: 2}", kTopics);
  }
};

// "5" and "append.begin" to "Mqtt5AppendBegin".
std::string fault_name(const ::testing::TestParamInfo<Faults::ParamType>& info) {
  std::string name;
  bool capital = true;
  for (const char c :
       std::string("mqtt") + std::get<0>(info.param) + "." + std::get<1>(info.param)) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      name += capital ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    capital = c == '.';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Points, Faults,
                         ::testing::Combine(::testing::Values("5", "3.1.1"),
                                            ::testing::ValuesIn(kPoints)),
                         fault_name);

TEST_P(Faults, LoseNothing) {
  daemon_.set_environment("FASTMQTTD_FAULT=" + fault());
  start(handlers(), {"f/#"});
  const Collector collector(broker_, "out/#");
  Traffic traffic(broker_, kStreams, options());
  ASSERT_EQ(daemon_.process().wait(), Exit{.signal = SIGKILL}) << "it never passes " << fault();
  daemon_.set_environment("FASTMQTTD_FAULT");
  daemon_.start_ready();
  ASSERT_TRUE(traffic.wait_for(traffic.acknowledged("f/1") + 20));
  expect_all_handled(traffic);
  expect_all_published(traffic, collector, kTopics, "out/");
  EXPECT_EQ(entered_twice(), 0);
}

}  // namespace
}  // namespace fastmqttd::testing
