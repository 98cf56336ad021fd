// What is acknowledged is safe: on disk before the acknowledgement leaves, and handled after a
// kill.
#include <sqlite3.h>

#include <algorithm>
#include <memory>

#include "tests/integration/integration_test.hpp"
#include "tests/support/wire.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::Ge;
using ::testing::SizeIs;

// Another connection to the spool of a running daemon.
class SpoolFile {
 public:
  explicit SpoolFile(const std::filesystem::path& file) {
    sqlite3* database = nullptr;
    sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr);
    database_.reset(database);
    sqlite3_busy_timeout(database, 5000);
  }
  void run(const char* sql) const {
    if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
      throw std::runtime_error(sqlite3_errmsg(database_.get()));
  }
  int messages() const { return count("messages"); }
  // Rows of a table; -1 when it cannot be read.
  int count(const std::string& table) const {
    const std::string query = "SELECT count(*) FROM " + table;
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(database_.get(), query.c_str(), -1, &statement, nullptr);
    const int count = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int(statement, 0) : -1;
    sqlite3_finalize(statement);
    return count;
  }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
  };
  std::unique_ptr<sqlite3, Close> database_;
};

// Looks into the spool at the moment in which an acknowledgement of the daemon's passes.
class Witness {
 public:
  Witness(std::uint16_t broker_port, std::filesystem::path spool)
      : spool_(std::move(spool)),
        relay_(broker_port, [this](const WirePacket& packet) { look(packet); }) {}

  std::string key() const { return relay_.key(); }
  // How many messages were in the spool at each, PUBACK or PUBREC.
  std::vector<int> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void look(const WirePacket& packet) {
    if (!packet.from_client || (packet.type() != kPuback && packet.type() != kPubrec)) return;
    const std::lock_guard lock(mutex_);
    seen_.push_back(SpoolFile(spool_).messages());
  }

  const std::filesystem::path spool_;
  mutable std::mutex mutex_;
  std::vector<int> seen_;
  Relay relay_;  // last: it calls the above
};

class SpoolIntegration : public VersionedTest {
 protected:
  std::filesystem::path spool() const { return daemon_.file("state") / "spool.db"; }
  static constexpr const char* kOptimistic = "  optimistic_acknowledgement: true\n";

  // With a handler that hangs; returns once `count` messages are acknowledged, a third of them of
  // each QoS but 0.
  void acknowledge_while_held(const std::vector<std::string>& sent, const std::string& mqtt = "") {
    start(recorder("all", "{topic: n/#, qos: 2}"), {"n/#"}, version() + mqtt);
    hold("all");
    for (const int qos : {1, 2})
      publish_all(broker_, "n/" + std::to_string(qos), sent, {.qos = qos});
    await_held("all");
    ASSERT_TRUE(
        broker_.wait_for_acknowledgements(daemon_.client_id(), static_cast<int>(2 * sent.size())));
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, SpoolIntegration, ::testing::Values("5", "3.1.1"), version_name);

TEST_P(SpoolIntegration, HasAMessageBeforeItsAcknowledgementLeaves) {
  broker_.start();
  Witness witness(broker_.port(), spool());
  configure(recorder("all", "{topic: n/#, qos: 2}"), witness.key() + version());
  daemon_.start_ready();
  await_subscriptions({"n/#"});
  hold("all");
  publish_all(broker_, "n/1", numbers(10), {.qos = 1});
  publish_all(broker_, "n/2", numbers(10), {.qos = 2});
  ASSERT_TRUE(eventually([&] { return witness.seen().size() == 20; }));
  // None is handled: at the nth acknowledgement n at least are there.
  const std::vector<int> seen = witness.seen();
  for (int n = 0; n < 20; ++n) EXPECT_GE(seen[static_cast<std::size_t>(n)], n + 1);
  release("all");
  await_records("all", 20);
  EXPECT_TRUE(eventually([&] { return SpoolFile(spool()).messages() == 0; }));
}

TEST_P(SpoolIntegration, IsLeftOutByOptimisticAcknowledgement) {
  broker_.start();
  Witness witness(broker_.port(), spool());
  configure(recorder("all", "{topic: n/#, qos: 2}"), witness.key() + version() + kOptimistic);
  daemon_.start_ready();
  await_subscriptions({"n/#"});
  hold("all");
  publish_all(broker_, "n/1", numbers(10), {.qos = 1});
  publish_all(broker_, "n/2", numbers(10), {.qos = 2});
  ASSERT_TRUE(eventually([&] { return witness.seen().size() == 20; }));
  EXPECT_THAT(witness.seen(), Each(0));
}

TEST_P(SpoolIntegration, GivesBackWhatAKilledDaemonHadAcknowledged) {
  const std::vector<std::string> sent = numbers(50);
  ASSERT_NO_FATAL_FAILURE(acknowledge_while_held(sent));
  daemon_.kill();
  broker_.stop();  // it has nothing to send again
  release("all");
  daemon_.start_ready();
  await_log("to be handled first: 100 messages of an earlier run");
  const Records got = await_records("all", 100);
  for (const char* topic : {"n/1", "n/2"}) {
    Records of_topic;
    std::ranges::copy_if(got, std::back_inserter(of_topic),
                         [&](const Record& r) { return r.topic == topic; });
    EXPECT_THAT(payloads(of_topic), ElementsAreArray(sent)) << topic;
  }
  EXPECT_TRUE(eventually([&] { return SpoolFile(spool()).messages() == 0; }));
}

TEST_P(SpoolIntegration, HasNothingToGiveBackAfterOptimisticAcknowledgement) {
  ASSERT_NO_FATAL_FAILURE(acknowledge_while_held(numbers(10), kOptimistic));
  daemon_.kill();
  release("all");
  daemon_.start_ready();
  await_subscriptions({"n/#"}, 2);
  publish(broker_, "n/end", "end");
  EXPECT_THAT(payloads(await_payload("all", "end")), ElementsAre("end"));
}

TEST_P(SpoolIntegration, KeepsOldMessagesBeforeNewOnes) {
  const std::vector<std::string> sent = numbers(20);
  ASSERT_NO_FATAL_FAILURE(acknowledge_while_held(sent));
  daemon_.kill();
  publish_all(broker_, "n/1", {"21", "22"});
  release("all");
  daemon_.start_ready();
  Records of_topic;
  for (const Record& record : await_payload("all", "22"))
    if (record.topic == "n/1") of_topic.push_back(record);
  EXPECT_THAT(payloads(of_topic), ElementsAreArray(numbers(22)));
}

TEST_P(SpoolIntegration, KeepsWhatAStopLeavesOver) {
  start(recorder("all", "n"), {"n"}, version());
  daemon_.configure(daemon_.mqtt_section(broker_, version()) +
                    "shutdown_timeout: 100ms\nhandlers:\n" + recorder("all", "n"));
  ASSERT_EQ(daemon_.stop(), Exit{});
  daemon_.start_ready();
  await_subscriptions({"n"}, 2);
  hold("all");
  publish_all(broker_, "n", numbers(5));
  await_held("all");
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 5));
  ASSERT_TRUE(daemon_.stop());
  release("all");
  daemon_.start_ready();
  EXPECT_THAT(distinct(payloads(await_payload("all", "5"))), ElementsAreArray(numbers(5)));
}

TEST_P(SpoolIntegration, KeepsTheMessagesOfAHandlerThatIsTakenOut) {
  ASSERT_NO_FATAL_FAILURE(acknowledge_while_held(numbers(3)));
  daemon_.kill();
  release("all");
  configure(recorder("other", "x"), version());
  daemon_.start_ready();
  await_log("6 messages wait in the spool for the handler all, which is not configured");
  ASSERT_EQ(daemon_.stop(), Exit{});
  configure(recorder("all", "{topic: n/#, qos: 2}"), version());
  daemon_.start_ready();
  EXPECT_THAT(await_records("all", 6), SizeIs(6));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kSome = 1 << 30;  // a sanitizer has its own ways with memory
#else
constexpr std::size_t kSome = 12'000;
#endif

// The memory of a process.
std::size_t resident_kib(pid_t pid) {
  const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
  return std::stoul(status.substr(status.find("VmRSS:") + 6));
}

TEST_P(SpoolIntegration, ABacklogIsOnDiskAndNotInMemory) {
  start(recorder("all", "n", "", "queue: {messages: 100}"), {"n"}, version());
  hold("all");
  publish(broker_, "n", "0");
  await_held("all");
  const std::size_t before = resident_kib(daemon_.process().pid());
  constexpr int kMessages = 1500;
  const std::string filling(20'000, 'x');
  std::vector<std::string> sent;
  for (const std::string& number : numbers(kMessages)) sent.push_back(number + " " + filling);
  publish_all(broker_, "n", sent);
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), kMessages + 1));
  // 30 MB of them.
  EXPECT_LT(resident_kib(daemon_.process().pid()), before + kSome);
  daemon_.kill();
  release("all");
  daemon_.start_ready();
  const Records all = await_records("all", kMessages + 1);
  EXPECT_EQ(losses(sent, payloads(Records(all.begin() + 1, all.end()))), "");
  EXPECT_LT(resident_kib(daemon_.process().pid()), before + kSome);
}

// What is given back after a kill has not forgotten its attempts.
TEST_P(SpoolIntegration, CountsAttemptsAcrossAKill) {
  const std::string handlers =
      recorder("flaky", "n", "answer: 'retry:2'", "retry: {attempts: 3, delay: 1s, delay_max: 1s}");
  start(handlers, {"n"}, version());
  publish(broker_, "n", "x");
  await_records("flaky", 1);
  ASSERT_TRUE(eventually([&] { return SpoolFile(spool()).count("retries") == 1; }));
  daemon_.kill();
  daemon_.start_ready();
  const Records all = await_records("flaky", 3);
  EXPECT_EQ(all[1].attempt, 2);
  EXPECT_TRUE(all[1].dup);
  EXPECT_EQ(all[2].attempt, 3);
}

TEST_P(SpoolIntegration, KeepsWhatIsGivenUp) {
  start(recorder("picky", "n", "answer: reject"), {"n"}, version());
  publish(broker_, "n", "x");
  ASSERT_TRUE(eventually([&] { return SpoolFile(spool()).count("dead_letters") == 1; }));
  EXPECT_EQ(SpoolFile(spool()).messages(), 0);
}

TEST_P(SpoolIntegration, AtItsLimitLeavesTheRestToTheBrokerUntilItHasDrained) {
  broker_.start();
  daemon_.add_plugin("recorder");
  daemon_.configure(daemon_.mqtt_section(broker_, version()) +
                    "spool: {max_size: 1MiB}\nhandlers:\n" + recorder("all", "{topic: n, qos: 2}"));
  daemon_.start_ready();
  await_subscriptions({"n"});
  hold("all");
  const std::string filling(10'000, 'x');
  std::vector<std::string> sent;
  for (const std::string& number : numbers(300)) sent.push_back(number + " " + filling);
  publish_all(broker_, "n", sent, {.qos = 2});
  await_log("the spool has reached its spool.max_size of 1MiB: not taking messages until");
  EXPECT_TRUE(eventually([&] {
    return daemon_.notify().text().find("the spool has reached its spool.max_size of 1MiB") !=
           std::string::npos;
  }));
  release("all");
  await_log("messages can be stored again: connecting");
  EXPECT_EQ(losses(sent, payloads(await_records("all", 300))), "");
}

TEST_P(SpoolIntegration, RefusesWhatItCannotStore) {
  start(recorder("all", "{topic: n, qos: 2}"), {"n"}, version());
  publish(broker_, "n", "first");
  await_payload("all", "first");
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 1));
  ASSERT_TRUE(eventually([&] { return SpoolFile(spool()).messages() == 0; }));
  {
    // Whoever holds the database stands for a disk that takes nothing.
    const SpoolFile other(spool());
    other.run("BEGIN IMMEDIATE");
    publish(broker_, "n", "second", {.qos = 2});
    await_log("a message cannot be stored: .*spool.db: database is locked: not taking messages");
    EXPECT_TRUE(eventually([&] {
      return daemon_.notify().text().find("(a message cannot be stored: ") != std::string::npos;
    }));
    EXPECT_EQ(broker_.count_in_log("Received PUBREC from " + daemon_.client_id()), 0);
    other.run("ROLLBACK");
  }
  EXPECT_THAT(payloads(await_payload("all", "second")), ElementsAre("first", "second"));
}

// Nothing waits for room that memory does not have: `when_full` decides, whatever the QoS.
TEST_P(SpoolIntegration, LeftOutDropsWhatFindsNoRoom) {
  start(recorder("all", "n", "", "queue: {messages: 5, when_full: drop_newest}"), {"n"},
        version() + kOptimistic);
  hold("all");
  publish_all(broker_, "n", numbers(20));
  await_held("all");
  ASSERT_TRUE(broker_.wait_for_acknowledgements(daemon_.client_id(), 20));
  await_log("all: [0-9]+ messages dropped: its queue is full");
  release("all");
  EXPECT_THAT(payloads(await_records("all", 5)), ElementsAre("1", "2", "3", "4", "5"));
}

TEST_F(IntegrationTest, QoS0IsNotSpooled) {
  start(recorder("all", "n"), {"n"});
  hold("all");
  publish_all(broker_, "n", numbers(10), {.qos = 0});
  await_held("all");
  EXPECT_EQ(SpoolFile(daemon_.file("state") / "spool.db").messages(), 0);
  release("all");
  await_records("all", 10);
}

// MQTT 5.0 section 3.3.2.3.3.
TEST_F(IntegrationTest, WhatExpiresWhileItWaitsIsNotDelivered) {
  start(recorder("all", "n"), {"n"});
  hold("all");
  publish(broker_, "n", "first");
  await_held("all");
  publish(broker_, "n", "short",
          {.arguments = {"-V", "mqttv5", "-D", "publish", "message-expiry-interval", "1"}});
  publish(broker_, "n", "long",
          {.arguments = {"-V", "mqttv5", "-D", "publish", "message-expiry-interval", "100"}});
  const auto expired = std::chrono::steady_clock::now() + 2s;
  ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > expired; }));
  release("all");
  EXPECT_THAT(payloads(await_records("all", 2)), ElementsAre("first", "long"));
  await_log("all: 1 message expired while they waited");
  EXPECT_TRUE(
      eventually([&] { return SpoolFile(daemon_.file("state") / "spool.db").messages() == 0; }));
}

TEST_F(IntegrationTest, AHandlerThatFailsAndFailsIsSuspendedUntilItWorks) {
  start(recorder("all", "n/#", "answer: 'retry:2'",
                 "retry: {attempts: 2, delay: 20ms, delay_max: 50ms}"),
        {"n/#"});
  for (const std::string& number : numbers(8)) publish(broker_, "n/" + number, number);
  await_log("all: suspended: it fails again and again");
  await_log("all: works again: going on");
  // Two attempts were allowed, and failed; but none while it was suspended counted.
  EXPECT_TRUE(eventually([&] { return distinct(payloads(records("all"))).size() == 8; }));
}

TEST_F(IntegrationTest, SpoolThatCannotBeUsedEndsTheStart) {
  broker_.start();
  write_file(daemon_.file("state") / "spool.db", std::string(5000, 'x'));
  configure(recorder("all", "n"));
  daemon_.start();
  EXPECT_EQ(daemon_.process().wait(), Exit{.status = 74});
  await_log("spool.db: file is not a database: expected a spool; nothing was deleted");
}

TEST_F(IntegrationTest, SpoolHasItsDirectory) {
  broker_.start();
  const std::filesystem::path directory = daemon_.file("elsewhere");
  daemon_.configure(daemon_.mqtt_section(broker_) + "spool: {directory: " + directory.string() +
                    ", durability: power}\nhandlers:\n" + recorder("all", "n"));
  daemon_.add_plugin("recorder");
  daemon_.start_ready();
  await_subscriptions({"n"});
  publish(broker_, "n", "x");
  await_payload("all", "x");
  EXPECT_TRUE(std::filesystem::exists(directory / "spool.db"));
  EXPECT_TRUE(std::filesystem::exists(directory / "session.json"));
  EXPECT_FALSE(std::filesystem::exists(daemon_.file("state") / "spool.db"));
}

TEST_F(IntegrationTest, SpoolIsOfOneDaemon) {
  start(recorder("all", "n"), {"n"});
  const Finished second = daemon_.run({});
  EXPECT_EQ(second.exit, Exit{.status = 74});
  EXPECT_THAT(second.errors, ::testing::HasSubstr("another fastmqttd uses it"));
}

}  // namespace
}  // namespace fastmqttd::testing
