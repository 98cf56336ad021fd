// postgres, in the daemon, with a real broker and a real server.
#include "tests/support/postgres.hpp"

#include <signal.h>

#include "tests/integration/handlers_test.hpp"

namespace fastmqttd::testing {
namespace {

class PostgresInDaemon : public HandlersTest {
 protected:
  void SetUp() override {
    if (!Postgres::is_installed()) GTEST_SKIP() << "PostgreSQL is not installed (initdb)";
    server_ = std::make_unique<Postgres>();
    install("postgres");
  }
  std::string handler(const std::string& keys) const {
    return "  all:\n    plugin: postgres\n    subscribe: n/#\n    retry: {delay: 1ms, delay_max: "
           "10ms}\n" +
           keys + "    options:\n      {connection: '" + server_->target() +
           "', table: t, upsert: id,\n"
           "       columns: {id: '{message_id}', n: {value: '{payload}', type: integer}}}\n";
  }
  // 0 while there is no such table.
  int number(const std::string& sql) const {
    try {
      return std::stoi(server_->query(sql).at(0));
    } catch (const std::exception&) {
      return 0;
    }
  }

  std::unique_ptr<Postgres> server_;
};

// Every message is a row, though the daemon and the server are killed between them; none of them
// twice, as their numbers are a key.
TEST_F(PostgresInDaemon, LosesNothingOverKills) {
  start(handler(""), {"n/#"});
  await_log("all: .*Connection refused");  // and starts all the same
  server_->start();
  constexpr int kMessages = 3000;
  for (int kill = 0; kill < 3; ++kill) {
    std::vector<std::string> payloads;
    for (int i = 0; i < kMessages / 3; ++i)
      payloads.push_back(std::to_string(kill * kMessages / 3 + i));
    publish_all(broker_, "n/" + std::to_string(kill), payloads);
    if (kill == 1) server_->kill();
    daemon_.kill();
    if (kill == 1) server_->start();
    daemon_.start_ready();
  }
  EXPECT_TRUE(eventually([&] { return number("SELECT count(DISTINCT n) FROM t") == kMessages; }))
      << number("SELECT count(DISTINCT n) FROM t");
  await_idle();
  EXPECT_EQ(number("SELECT count(*) - count(DISTINCT id) FROM t"), 0);
}

// Nobody waits for a server that hangs, or for a lock in it, longer than the handler's timeout.
TEST_F(PostgresInDaemon, LivesThroughAServerThatHangs) {
  server_->start();
  start(handler("    timeout: 2s\n"), {"n/#"});
  publish(broker_, "n/1", "1");
  ASSERT_TRUE(eventually([&] { return number("SELECT count(*) FROM t") == 1; }));
  server_->pause();
  publish_all(broker_, "n/1", {"2", "3"});
  await_log("all: the server does not answer in time");
  server_->resume();
  await_log("all: the server takes rows again");
  EXPECT_FALSE(daemon_.logged("all: .*(timeout|took)"));

  Process lock({.argv = {"sh", "-c",
                         "exec psql -X -d '" + server_->target() +
                             "' -c \"BEGIN; LOCK TABLE t; SELECT pg_sleep(1000)\""}});
  ASSERT_TRUE(eventually([&] {
    return number(
               "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass "
               "AND mode = 'AccessExclusiveLock' AND granted") == 1;
  }));
  publish(broker_, "n/1", "4");
  await_log("all: canceling statement due to statement timeout");
  lock.signal(SIGKILL);
  server_->query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LOCK "
      "TABLE%' AND pid <> pg_backend_pid()");
  EXPECT_TRUE(eventually([&] { return number("SELECT count(*) FROM t") == 4; }));
  EXPECT_EQ(server_->query("SELECT n FROM t ORDER BY id"),
            (std::vector<std::string>{"1", "2", "3", "4"}));
}

using PostgresOptions = HandlersTest;

// The daemon shows an option that will not do, and here that would show the password.
TEST_F(PostgresOptions, AreReportedWithoutThePassword) {
  install("postgres");
  daemon_.configure(daemon_.mqtt_section(broker_) +
                    "handlers:\n  all:\n    plugin: postgres\n    subscribe: n\n    options:\n"
                    "      connection: hots=db pasword=secret\n      table: t\n");
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_TRUE(any_line_matches(
      done.errors, "fastmqttd.yaml:[0-9]+:[0-9]+: handlers.all: .*connection: .*'hots'"))
      << done.errors;
  EXPECT_EQ(done.errors.find("secret"), std::string::npos) << done.errors;
}

}  // namespace
}  // namespace fastmqttd::testing
