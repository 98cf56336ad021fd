#include "handlers/postgres/postgres.cpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/chaos/small_disk.hpp"
#include "tests/support/handler_test.hpp"
#include "tests/support/postgres.hpp"

namespace {

using fastmqttd::testing::eventually;
using fastmqttd::testing::HandlerTester;
using fastmqttd::testing::Option;
using fastmqttd::testing::refusal;
using fastmqttd::testing::TestMessage;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// One server for all; each test has a schema of its own, "s", while it runs.
class PostgresHandler : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!fastmqttd::testing::Postgres::is_installed()) return;
    server_ = std::make_unique<fastmqttd::testing::Postgres>();
    server_->start();
  }
  static void TearDownTestSuite() { server_.reset(); }
  void SetUp() override {
    if (!server_) GTEST_SKIP() << "PostgreSQL is not installed (initdb)";
    query("CREATE SCHEMA s");
  }
  void TearDown() override {
    if (server_) query("SET client_min_messages = warning; DROP SCHEMA s CASCADE");
  }

  static std::vector<std::string> query(const std::string& sql) { return server_->query(sql); }
  static Option target() { return {"connection", server_->target()}; }

  static std::unique_ptr<fastmqttd::testing::Postgres> server_;
};
std::unique_ptr<fastmqttd::testing::Postgres> PostgresHandler::server_;

TEST_F(PostgresHandler, WritesTheColumnsThatMostWant) {
  HandlerTester tester({target(), {"table", "s.messages"}});
  EXPECT_EQ(tester.deliver({.topic = "a/b", .payload = "21.5", .retain = true}), Result::ok);
  EXPECT_THAT(query("SET timezone = UTC; SELECT *, pg_typeof(time) FROM s.messages"),
              ElementsAre("1970-01-01 00:00:00+00|a/b|21.5|1|t|timestamp with time zone"));
  EXPECT_THAT(query("SELECT application_name FROM pg_stat_activity "
                    "WHERE query LIKE 'INSERT%' AND pid <> pg_backend_pid()"),
              ElementsAre("fastmqttd"));
  EXPECT_EQ(tester.deliver("a", "\xff"), Result::reject);
  EXPECT_EQ(tester.deliver("a", std::string("a\0b", 3)), Result::reject);
  EXPECT_THAT(tester.logs(),
              Each("column 'payload': it is no text: not UTF-8, or with a zero byte"));
}

TEST_F(PostgresHandler, KeepsTypes) {
  HandlerTester tester({target(),
                        {"table", "s.t"},
                        {"columns.v", "{json:/v}"},
                        {"columns.small.value", "{json:/n}"},
                        {"columns.small.type", "smallint"},
                        {"columns.small.optional", "true"},
                        {"columns.d.value", "{json:/n}"},
                        {"columns.d.type", "double precision"},
                        {"columns.d.optional", "true"},
                        {"columns.raw.value", "{payload}"},
                        {"columns.raw.type", "bytea"},
                        {"columns.at.value", "{json:/at}"},
                        {"columns.at.type", "timestamptz"},
                        {"columns.at.optional", "true"},
                        {"columns.number", "{topic.-1|0}"},
                        {"columns.id", "{message_id}"}});
  for (const char* value : {"7", "7.5", "\"7\"", "null", "true", R"({"a": [1]})"})
    EXPECT_EQ(tester.deliver("t", R"({"v": )" + std::string(value) + "}"), Result::ok) << value;
  EXPECT_THAT(query("SELECT jsonb_typeof(v), v FROM s.t ORDER BY id"),
              ElementsAre("number|7", "number|7.5", "string|\"7\"", "|", "boolean|true",
                          "object|{\"a\": [1]}"));
  EXPECT_EQ(tester.deliver("t", R"({"v": 1, "n": 1e300})"), Result::reject);
  EXPECT_EQ(tester.deliver("t", R"({"v": 1, "n": 40000})"), Result::reject);
  EXPECT_THAT(tester.last_log(), HasSubstr("column 'small': the number does not fit in smallint"));
  EXPECT_EQ(tester.deliver("t", R"({"v": 1, "n": -3, "at": "2026-01-02T03:04:05Z"})"), Result::ok);
  EXPECT_THAT(query("SET timezone = UTC; SELECT small, d, at, encode(raw, 'escape') FROM s.t "
                    "WHERE small IS NOT NULL"),
              ElementsAre("-3|-3|2026-01-02 03:04:05+00|"
                          R"({"v": 1, "n": -3, "at": "2026-01-02T03:04:05Z"})"));
  EXPECT_EQ(tester.deliver("t", R"({"v": 1, "at": "yesterday or so"})"), Result::reject);
  EXPECT_THAT(tester.last_log(), HasSubstr("invalid input syntax for type timestamp"));
  EXPECT_EQ(tester.deliver("t", R"({"v": "\u0000"})"), Result::reject) << "not in a jsonb";
}

TEST_F(PostgresHandler, WritesHostileMessagesAsTheyAre) {
  HandlerTester tester({target(),
                        {"table", "s.x\"; DROP TABLE y; --"},
                        {"columns.a'\"b", "{topic}"},
                        {"columns.raw.value", "{payload}"},
                        {"columns.raw.type", "bytea"}});
  const std::string topic = "../'); DROP TABLE \"t\";-- \\ \xc3\xa9";
  for (const std::string& payload : std::vector<std::string>{
           "", std::string("a\0b", 3), "\xff\xfe", "'\"\\;--", std::string(1 << 20, '\'')})
    EXPECT_EQ(tester.deliver(topic, payload), Result::ok);
  EXPECT_THAT(query(R"(SELECT DISTINCT "a'""b" FROM s."x""; DROP TABLE y; --")"),
              ElementsAre(topic));
  EXPECT_THAT(query(R"(SELECT left(encode(raw, 'hex'), 12), length(raw)
                       FROM s."x""; DROP TABLE y; --")"),
              ElementsAre("|0", "610062|3", "fffe|2", "27225c3b2d2d|6", "272727272727|1048576"));
}

TEST_F(PostgresHandler, KeepsTheLatestOfAKey) {
  HandlerTester tester({target(),
                        {"table", "s.latest"},
                        {"columns.topic", "{topic}"},
                        {"columns.value", "{number}"},
                        {"upsert.0", "topic"}});
  EXPECT_THAT(tester.deliver_batch({{"a", "1"}, {"b", "2"}, {"a", "3"}}), Each(Result::ok));
  EXPECT_EQ(tester.deliver("b", "0.1"), Result::ok);
  EXPECT_THAT(query("SELECT * FROM s.latest ORDER BY topic"), ElementsAre("a|3", "b|0.1"));
}

TEST_F(PostgresHandler, RejectsWhatAnIndexCannotHold) {
  HandlerTester tester({target(), {"table", "s.t"}, {"columns.k", "{payload}"}, {"upsert", "k"}});
  std::mt19937 random(1);
  std::string noise(20'000, ' ');
  for (char& c : noise) c = static_cast<char>('!' + random() % 90);
  EXPECT_THAT(tester.deliver_batch({{"a", "1"}, {"a", noise}, {"a", "1"}}),
              ElementsAre(Result::ok, Result::reject, Result::ok));
  EXPECT_THAT(tester.last_log(), HasSubstr("maximum size"));
  EXPECT_THAT(query("SELECT * FROM s.t"), ElementsAre("1"));
}

// Only those rows: whatever is wrong with them, and whenever the server notices.
TEST_F(PostgresHandler, RejectsOnlyTheRowsThatTheTableRefuses) {
  query(
      "CREATE TABLE s.sites (topic text PRIMARY KEY); INSERT INTO s.sites VALUES ('a'), ('b');"
      "CREATE TABLE s.t (topic text REFERENCES s.sites DEFERRABLE INITIALLY DEFERRED,"
      "  payload text CHECK (payload <> 'bad'));"
      "CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
      "  IF NEW.payload = 'raise' THEN RAISE EXCEPTION 'not that one'; END IF; RETURN NEW; END$$;"
      "CREATE TRIGGER g BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()");
  HandlerTester tester(
      {target(), {"table", "s.t"}, {"columns.topic", "{topic}"}, {"columns.payload", "{payload}"}});
  std::vector<TestMessage> messages;
  std::vector<Result> expected;
  for (int i = 0; i < 256; ++i) {
    messages.push_back({.topic = i % 2 == 0 ? "a" : "b", .payload = std::to_string(i)});
    if (i % 50 == 3) messages.back().payload = i == 53 ? "raise" : "bad";
    if (i % 100 == 77) messages.back().topic = "elsewhere";  // noticed at the end only
    expected.push_back(i % 50 == 3 || i % 100 == 77 ? Result::reject : Result::ok);
  }
  EXPECT_EQ(tester.deliver_batch(messages), expected);
  EXPECT_THAT(query("SELECT count(*), count(DISTINCT payload) FROM s.t"), ElementsAre("248|248"));
  EXPECT_EQ(tester.logs().size(), 8u);
  EXPECT_THAT(tester.logs()[1], HasSubstr("not that one"));
  EXPECT_THAT(tester.logs()[2], AllOf(HasSubstr("violates foreign key constraint"),
                                      HasSubstr("Key (topic)=(elsewhere) is not present")));

  EXPECT_EQ(tester.deliver("else\x1b[1m\nwhere", "x"), Result::reject);
  EXPECT_THAT(tester.last_log(), HasSubstr("(topic)=(else [1m where)")) << "no control characters";
  const std::vector<TestMessage> bad(256, {.topic = "a", .payload = "bad"});
  EXPECT_THAT(tester.deliver_batch(bad), Each(Result::reject));
}

TEST_F(PostgresHandler, SaysWhyATableDoesNotFit) {
  HandlerTester none({target(), {"table", "s.none"}, {"create_table", "false"}});
  EXPECT_TRUE(none.wake());
  EXPECT_THAT(none.last_log(), HasSubstr("there is no table \"s\".\"none\""));
  EXPECT_EQ(none.deliver("a", "1"), Result::retry);
  EXPECT_EQ(none.logs().size(), 1u) << "said once";

  query("CREATE TABLE s.t (topic text, site text NOT NULL, id int GENERATED ALWAYS AS IDENTITY)");
  HandlerTester tester({target(),
                        {"table", "s.t"},
                        {"columns.topic", "{topic}"},
                        {"columns.unit", "C"},
                        {"upsert", "topic"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("NOT NULL and not among `columns`: \"site\":"));
  query("ALTER TABLE s.t DROP site");
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("column \"unit\" of relation \"t\" does not exist"));
  query("ALTER TABLE s.t ADD unit text");
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  const std::string advice = tester.last_log();
  const std::size_t command = advice.find("CREATE UNIQUE INDEX");
  EXPECT_THAT(advice, HasSubstr("has no unique index on the columns of `upsert`: "));
  ASSERT_NE(command, std::string::npos) << advice;
  query(advice.substr(command));
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  EXPECT_THAT(tester.last_log(), HasSubstr("the server takes rows again"));
  query("DROP TABLE s.t");  // while it is in use
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("relation \"s.t\" does not exist"));
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
}

TEST_F(PostgresHandler, TriesAgainWhenItIsNotLetIn) {
  query(
      "CREATE USER strict_user PASSWORD 'right'; GRANT USAGE ON SCHEMA s TO strict_user;"
      "CREATE TABLE s.t (topic text)");
  const auto deliver = [](HandlerTester& tester) { return tester.deliver("a", "1"); };
  HandlerTester wrong({{"connection", server_->target("strict_user") + " password=secret1"},
                       {"table", "s.t"},
                       {"columns.topic", "{topic}"}});
  EXPECT_EQ(deliver(wrong), Result::retry);
  EXPECT_THAT(wrong.last_log(), HasSubstr("password authentication failed"));
  EXPECT_THAT(wrong.logs(), Each(Not(HasSubstr("secret1"))));

  HandlerTester tester({{"connection", server_->target("strict_user") + " password=right"},
                        {"table", "s.t"},
                        {"columns.topic", "{topic}"}});
  EXPECT_EQ(deliver(tester), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("permission denied for table t"));
  query("GRANT INSERT ON s.t TO strict_user");
  EXPECT_EQ(deliver(tester), Result::ok) << "it needs no more than that";
  query("DROP OWNED BY strict_user; DROP USER strict_user");
}

TEST_F(PostgresHandler, LivesThroughRestarts) {
  query("CREATE TABLE s.t (topic text, payload text)");
  server_->stop();
  HandlerTester tester(
      {target(), {"table", "s.t"}, {"columns.topic", "{topic}"}, {"columns.payload", "{payload}"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("Connection refused"));
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_EQ(tester.logs().size(), 1u) << "said once";
  server_->start();
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  EXPECT_THAT(tester.last_log(), HasSubstr("the server takes rows again"));
  server_->kill();
  server_->start();
  EXPECT_EQ(tester.deliver("a", "2"), Result::ok) << "it has noticed";
  EXPECT_THAT(tester.last_log(), HasSubstr("the server has closed the connection"));
  query("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'INSERT%'");
  EXPECT_EQ(tester.deliver("a", "3"), Result::ok);
  EXPECT_THAT(query("SELECT payload FROM s.t"), ElementsAre("1", "2", "3"));
}

// The kernel still takes what is sent.
TEST_F(PostgresHandler, WaitsForAServerThatHangsButNotForEver) {
  struct Bare {
    explicit Bare(fastmqtt::Host host) : host_(host) {
      const auto soon = [](int ms) { return Clock::now() + milliseconds(ms); };
      auto first = std::make_unique<Connection>(host, server_->target(), soon(10'000));
      first->query("CREATE TABLE s.t (a text)", {}, soon(10'000));
      first->prepare("INSERT INTO s.t VALUES ($1)", soon(10'000));
      const Row row{std::string(1 << 20, 'x')};
      const std::vector<const Row*> rows(16, &row);  // more than the kernel takes
      server_->pause();
      const auto began = Clock::now();
      EXPECT_THROW(Connection(host, server_->target(), soon(100)), Failure);
      EXPECT_THROW(first->insert(rows, soon(100)), Failure);
      first.reset();
      EXPECT_LT(Clock::now() - began, seconds(15));
      server_->resume();

      Connection second(host, server_->target(), soon(10'000));
      second.prepare("INSERT INTO s.t VALUES ($1)", soon(10'000));
      Connection locking(host, server_->target(), soon(10'000));
      locking.query("BEGIN", {}, soon(10'000));
      locking.query("LOCK TABLE s.t", {}, soon(10'000));
      second.limit_statements(milliseconds(100), soon(10'000));
      const auto refusal = second.insert(std::span(rows).first(1), soon(10'000));
      EXPECT_TRUE(refusal && refusal->state == "57014" && !is_fault_of_row(refusal->state));
    }
    Result on_message(const fastmqtt::Message&) { return Result::ok; }
    const fastmqtt::Host host_;
  };
  static constexpr const char* const kNoTopics[] = {nullptr};
  static constexpr fastmqtt_handler kBare =
      fastmqtt::detail::describe<Bare>("bare", "1", 0, kNoTopics);
  const HandlerTester tester({}, "", kBare);
}

// With a name server that takes questions and gives no answers.
TEST_F(PostgresHandler, WaitsForTheResolverButNotForEver) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer does not know the threads of getaddrinfo_a(3), and crashes";
#endif
  const fastmqttd::testing::TempDir directory;
  const int server = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(53);
  address.sin_addr.s_addr = htonl(0x7F350000u | (static_cast<unsigned>(::getpid()) & 0xFFFFu));
  char name[INET_ADDRSTRLEN];
  ::inet_ntop(AF_INET, &address.sin_addr, name, sizeof name);
  fastmqttd::testing::write_file(directory / "resolv.conf", "nameserver " + std::string(name) +
                                                                "\noptions timeout:1 attempts:2\n");
  if (::bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount((directory / "resolv.conf").c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) !=
          0)
    GTEST_SKIP() << "the resolver cannot be led astray: " << std::strerror(errno);
  {
    HandlerTester tester({{"connection", "host=db.example.org connect_timeout=1"}, {"table", "t"}});
    const auto began = Clock::now();
    EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
    EXPECT_EQ(tester.deliver("a", "1"), Result::retry) << "while the first question waits";
    EXPECT_LT(Clock::now() - began, milliseconds(2900));
    EXPECT_THAT(tester.logs(),
                ElementsAre("the name db.example.org is not resolved in time, or not for now"));
  }
  ::umount2("/etc/resolv.conf", MNT_DETACH);
  ::close(server);
}

TEST_F(PostgresHandler, TriesAgainWhenTheDiskIsFull) {
  const fastmqttd::testing::TempDir directory;
  const fastmqttd::testing::SmallDisk disk(directory.path(), "1m");
  if (!disk.why_not().empty()) GTEST_SKIP() << "no small disk can be mounted: " << disk.why_not();
  server_->give(directory.path());
  server_->stop();
  server_->start();  // so that it sees the disk
  const std::string path = directory.path();
  query("CREATE TABLESPACE small LOCATION '" + path + "'");
  query(
      "CREATE TABLE s.t (payload text) TABLESPACE small;"
      "ALTER TABLE s.t ALTER payload SET STORAGE EXTERNAL");
  HandlerTester tester({target(), {"table", "s.t"}, {"columns.payload", "{payload}"}});
  std::ofstream(directory / "filler") << std::string(4 << 20, 'x') << std::flush;
  int kept = 0;
  Result answer = Result::ok;
  for (; kept < 1000 && answer == Result::ok; ++kept)
    answer = tester.deliver("a", std::string(10'000, 'x'));
  EXPECT_EQ(answer, Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("No space left on device"));
  std::filesystem::remove(directory / "filler");
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  EXPECT_THAT(query("SELECT count(*) FROM s.t"), ElementsAre(std::to_string(kept)));
  query("DROP TABLE s.t");
  query("DROP TABLESPACE small");
}

TEST_F(PostgresHandler, LooksAtThePasswordFile) {
  const fastmqttd::testing::TempDir directory;
  const std::string file = directory / "pgpass";
  const auto refused = [&] {
    return refusal({{"connection", "host=h passfile=" + file}, {"table", "t"}});
  };
  EXPECT_THAT(refused(), AllOf(StartsWith("connection: passfile: " + file + ": No such file"),
                               HasSubstr("that the daemon's user can read")));
  fastmqttd::testing::write_file(file, "*:*:*:*:secret\n");
  ::chmod(file.c_str(), 0644);
  EXPECT_THAT(refused(), HasSubstr("others have access to it, so libpq does not use it"));
  ::chmod(file.c_str(), 0600);
  EXPECT_EQ(refused(), "none");
  EXPECT_THAT(
      refusal({{"connection", "passfile=" + std::string(directory.path())}, {"table", "t"}}),
      HasSubstr("it is no regular file"));
}

TEST_F(PostgresHandler, NamesMistakes) {
  EXPECT_THAT(refusal({{"table", "t"}}), StartsWith("connection: expected"));
  EXPECT_THAT(refusal({{"connection", ""}, {"table", "t"}}), StartsWith("connection: expected"));
  EXPECT_THAT(refusal({target()}), StartsWith("table: expected"));
  EXPECT_THAT(refusal({target(), {"table", "a.b.c"}}), HasSubstr("a name without dots"));
  EXPECT_THAT(refusal({target(), {"table", ".b"}}), HasSubstr("a name that is not empty"));
  EXPECT_THAT(refusal({target(), {"table", std::string(64, 'x')}}), HasSubstr("at most 63 bytes"));
  EXPECT_THAT(refusal({target(), {"table", "t"}, {"create_table", "maybe"}}),
              StartsWith("create_table: "));
  for (const char* text :
       {"host=x password=one secret", "host=x password=one secret=y", "postgresql://u:secret@[h/d"})
    EXPECT_THAT(refusal({{"connection", text}, {"table", "t"}}),
                AllOf(StartsWith("connection: it is no connection string of libpq: "),
                      Not(HasSubstr("secret")), Not(HasSubstr("cret@"))))
        << text;
  for (const char* text : {"postgresql://u:a@secret@h/d", "postgresql://u:secret/@h/d"})
    EXPECT_THAT(refusal({{"connection", text}, {"table", "t"}}),
                AllOf(HasSubstr("write them as %40 or %2F"), Not(HasSubstr("secret"))));
  EXPECT_THAT(refusal({{"connection", "pasword=secret hots=db"}, {"table", "t"}}),
              AllOf(HasSubstr("does not know 'pasword': expected host"), Not(HasSubstr("secret"))));
  EXPECT_THAT(refusal({{"connection", "hots=secret password=x"}, {"table", "t"}}),
              AllOf(HasSubstr("does not know 'hots': "), Not(HasSubstr("secret"))));
  EXPECT_THAT(refusal({{"connection", "host=x password=one secret"}, {"table", "t"}}),
              HasSubstr("a password with spaces is written as password='...'"));
  EXPECT_EQ(refusal({{"connection", "host=h port=abc"}, {"table", "t"}}),
            "connection: port: expected a number, such as 5432");
  EXPECT_EQ(refusal({{"connection", "host=h port=5432,5433 dbname=a@b"}, {"table", "t"}}), "none");
  EXPECT_THAT(refusal({{"connection", "host=h connect_timeout=0"}, {"table", "t"}}),
              HasSubstr("connect_timeout: expected seconds from 1 to 60"));
}

}  // namespace
