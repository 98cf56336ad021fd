// A broker, a daemon, ledgers and traffic, for one test in which something goes wrong again and
// again, at random moments.
#pragma once

#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/chaos/ledger.hpp"
#include "tests/chaos/traffic.hpp"
#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {

// A short form runs with all tests; FASTMQTTD_CHAOS=200 ./check dev -L chaos makes it 200 rounds.
class Chaos : public IntegrationTest {
 protected:
  Chaos();

  // Of the daemon's connection, and of what sends the traffic.
  virtual std::string version() const { return "5"; }
  Traffic::Options options() const { return {.version = version()}; }

  static int rounds(int short_form);
  // 0 to `limit` - 1.
  int random(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }

  // An entry of `handlers`: the plugin `ledger`, tried again soon and for ever.  Of the traffic it
  // has to get all on `topics`.
  std::string ledger(const std::string& name, const std::string& filters,
                     const std::vector<std::string>& topics, const std::string& options = "",
                     const std::string& keys = "");
  // Like those of IntegrationTest, with little in the logs; `spool` are the keys of that section.
  void configure(const std::string& handlers, std::string_view mqtt = "",
                 const std::string& spool = "");
  void start(const std::string& handlers, const std::vector<std::string>& filters,
             std::string_view mqtt = "", const std::string& spool = "");

  Ledger& book(const std::string& name) { return ledgers_.at(name).book; }
  // Returns after some of the traffic, or when none of it comes through.  The traffic waits for
  // handlers that fall behind: a busy machine shall be slower, not drown.
  void let_run(Traffic& traffic);
  // Each topic's last acknowledged number is handled by whom it is for: with order kept, all are.
  bool drained(const Traffic& traffic);
  // Stops the traffic and waits for that, as long as there is progress; nothing may be missing,
  // out of order or left in the spool.
  void expect_all_handled(Traffic& traffic);
  void expect_in_order();
  // The same for what ledgers with `publish` have published below `prefix`.
  void expect_all_published(const Traffic& traffic, const Collector& collector,
                            const std::vector<std::string>& topics, const std::string& prefix);
  // One line about all that happened.
  void report(const Traffic& traffic, int rounds, const std::string& more = "");
  // Messages of QoS 2 that a handler got again as others.
  int entered_twice();

  // As the daemon says.
  bool connected() { return daemon_.notify().last("STATUS=").starts_with("STATUS=connected to "); }

  std::filesystem::path spool() const { return daemon_.file("state") / "spool.db"; }

 private:
  struct Wanted {
    Ledger book;
    std::vector<std::string> topics;
  };

  std::size_t entries();
  int slowest();

  const unsigned seed_;
  std::minstd_rand random_;
  std::map<std::string, Wanted> ledgers_;
};

// The same with both versions of the protocol.
class VersionedChaos : public Chaos, public ::testing::WithParamInterface<std::string> {
 protected:
  std::string version() const override { return GetParam(); }
};

}  // namespace fastmqttd::testing
