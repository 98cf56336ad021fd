// The harness itself, without the daemon: when these fail, no other integration test tells much.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <set>

#include "tests/support/broker.hpp"
#include "tests/support/mqtt.hpp"
#include "tests/support/notify_socket.hpp"
#include "tests/support/records.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::ElementsAre;

TEST(Files, TailKeepsTheLastLines) {
  EXPECT_EQ(tail("a\nb\nc\n", 2), "b\nc\n");
  EXPECT_EQ(tail("a\nb\nc", 1), "c");
  EXPECT_EQ(tail("a\nb\n", 9), "a\nb\n");
  EXPECT_EQ(tail("", 2), "");
}

TEST(Files, AnUnfinishedLineIsNone) {
  EXPECT_THAT(lines_of("a\n\nb"), ElementsAre("a", ""));
  EXPECT_THAT(lines_of(""), ElementsAre());
}

TEST(Files, LinesAreMatched) {
  EXPECT_TRUE(any_line_matches("first\nSecond 7 lines\n", "second.*\\b7\\b.*(words|lines)"));
  EXPECT_FALSE(any_line_matches("first\nsecond\n", "first.*second"));
}

TEST(RunTest, CatchesOutputAndStatus) {
  const Finished done = run({.argv = {"sh", "-c", "echo $GREETING; echo bad >&2; exit 7"},
                             .environment = {"GREETING=hello"}});
  EXPECT_EQ(done.exit, Exit{.status = 7});
  EXPECT_EQ(done.output, "hello\n");
  EXPECT_EQ(done.errors, "bad\n");
}

TEST(ProcessTest, TellsASignalFromAStatus) {
  Process process({.argv = {"sleep", "100"}});
  EXPECT_FALSE(process.wait(0ms));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), Exit{.signal = SIGTERM});
}

TEST(ProcessTest, IsKilledByItsDestructor) {
  pid_t pid = 0;
  {
    const Process process({.argv = {"sleep", "100"}});
    pid = process.pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(PortTest, IsGivenOnce) {
  std::vector<Port> ports(100);
  std::set<int> numbers;
  for (const Port& port : ports) numbers.insert(port.number());
  EXPECT_EQ(numbers.size(), ports.size());
}

TEST(BrokerTest, CarriesMessages) {
  Broker broker;
  broker.start();
  const Subscriber subscriber(broker, "a/#");
  const std::string payload("\0x\n\xff", 4);
  publish(broker, "a/b", payload, {.qos = 2});
  publish(broker, "a/empty", "", {.qos = 0, .arguments = {"-V", "mqttv5"}});
  publish_all(broker, "a/many", {"1", "", "3"});
  EXPECT_EQ(subscriber.wait_for("a/b"), payload);
  EXPECT_EQ(subscriber.wait_for("a/empty"), "");
  ASSERT_TRUE(eventually([&] { return subscriber.received().size() == 5; }));
  EXPECT_EQ(subscriber.received()[4].payload, "3");
  EXPECT_EQ(subscriber.received()[0].qos, 2);
}

TEST(BrokerTest, KeepsItsPortAndItsRetainedMessages) {
  Broker broker;
  broker.start();
  const auto port = broker.port();
  publish(broker, "kept", "yes", {.retain = true});
  broker.stop();
  broker.start();
  EXPECT_EQ(broker.port(), port);
  EXPECT_EQ(Subscriber(broker, "kept").wait_for("kept"), "yes");
  broker.kill();
  broker.start();
  EXPECT_EQ(broker.port(), port);
}

TEST(BrokerTest, LetsInUsersOnly) {
  Broker broker;
  broker.add_user("joe", "secret");
  broker.add_user("ann", "other");
  broker.start();
  EXPECT_THROW(publish(broker, "a", "b"), std::runtime_error);
  publish(broker, "a", "b", {.arguments = {"-u", "joe", "-P", "secret"}});
  publish(broker, "a", "b", {.arguments = {"-u", "ann", "-P", "other"}});
}

void send(const std::string& path, std::string_view datagram) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(sendto(fd.get(), datagram.data(), datagram.size(), 0,
                   reinterpret_cast<const sockaddr*>(&address), sizeof address),
            static_cast<ssize_t>(datagram.size()));
}

TEST(NotifySocketTest, KeepsTheLines) {
  NotifySocket notify;
  for (int i = 0; i < 100; ++i) send(notify.path(), "WATCHDOG=1");  // more than the kernel queues
  send(notify.path(), "READY=1\nSTATUS=fine");
  EXPECT_TRUE(notify.wait_for("STATUS="));
  EXPECT_EQ(notify.last("STATUS="), "STATUS=fine");
  EXPECT_EQ(notify.count("WATCHDOG=1"), 100);
  EXPECT_FALSE(notify.wait_for("READY=1", 2, 1ms));
}

TEST(RecordsTest, AreReadFromTheFile) {
  const TempDir directory;
  write_file(directory / "x", "a/b\t2\t0\t1\t3\t006f\t7 9 \nunfini");
  const Records records = read_records(directory / "x");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].topic, "a/b");
  EXPECT_EQ(records[0].qos, 2);
  EXPECT_FALSE(records[0].retain);
  EXPECT_TRUE(records[0].dup);
  EXPECT_EQ(records[0].attempt, 3);
  EXPECT_EQ(records[0].payload, std::string("\0o", 2));
  EXPECT_EQ(records[0].identifiers, "7 9 ");
}

TEST(RecordsTest, LossesAreNamed) {
  EXPECT_EQ(losses({"1", "2", "3"}, {"1", "2", "1", "3"}), "");
  EXPECT_EQ(losses({"1", "2", "3"}, {"1", "3"}), "missing: 2");
  EXPECT_EQ(losses({"1", "2", "3"}, {"2", "1", "3"}), "out of order from 2 on");
  EXPECT_EQ(losses({"1", "2", "3", "4"}, {"1", "4", "3"}), "missing: 2; out of order from 4 on");
  EXPECT_EQ(losses({"1"}, {"1", "stray"}), "out of order from stray on");
}

}  // namespace
}  // namespace fastmqttd::testing
