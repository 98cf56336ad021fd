#include "handlers/file/file.cpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "handlers/file/gzip.hpp"
#include "tests/chaos/small_disk.hpp"
#include "tests/support/handler_test.hpp"

namespace {

using namespace fastmqttd::testing;  // the tester, and what all these tests share
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

class FileHandler : public HandlerTest {
 protected:
  static void write(const std::string& file, const std::string& text) {
    std::ofstream(file) << text;
  }
  static std::string unzipped(const std::string& file) {
    std::string all(1 << 20, '\0');
    const gzFile zip = gzopen(file.c_str(), "rb");
    const int size = gzread(zip, all.data(), static_cast<unsigned>(all.size()));
    gzclose(zip);
    all.resize(static_cast<std::size_t>(std::max(size, 0)));
    return all;
  }
  static mode_t mode(const std::string& file) {
    struct stat status {};
    ::lstat(file.c_str(), &status);
    return status.st_mode & 07777;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(directory_))
      all.push_back(entry.path().filename());
    std::ranges::sort(all);
    return all;
  }
  static std::ptrdiff_t open_files() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), {});
  }
};

TEST_F(FileHandler, WritesALineOfJson) {
  HandlerTester tester({{"path", file("out.jsonl")}});
  const TestMessage message{.topic = "a/\"b\"",
                            .payload = "line\nbreak",
                            .qos = 2,
                            .retain = true,
                            .user_properties = {{"k", "v"}},
                            .content_type = "text/plain",
                            .response_topic = "r",
                            .correlation_data = "\xff"};
  EXPECT_EQ(tester.deliver(message), Result::ok);
  EXPECT_EQ(tester.deliver("b", std::string("\0\xff", 2)), Result::ok);
  EXPECT_EQ(tester.deliver("c", ""), Result::ok);
  std::istringstream lines(text(file("out.jsonl")));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line,
            R"({"topic":"a/\"b\"","payload":"line\nbreak","qos":2,"retain":true,"message_id":1,)"
            R"("received_ms":0,"content_type":"text/plain","response_topic":"r",)"
            R"("correlation_data_base64":"/w==","user_properties":[["k","v"]]})");
  std::getline(lines, line);
  EXPECT_EQ(nlohmann::json::parse(line)["payload_base64"], "AP8=");
  std::getline(lines, line);
  EXPECT_EQ(nlohmann::json::parse(line)["payload"], "");
  EXPECT_FALSE(std::getline(lines, line));
}

TEST_F(FileHandler, WritesATemplateOneLineEach) {
  HandlerTester tester({{"path", file("out")}, {"format", "{topic.2}\t{payload} {{}}"}});
  EXPECT_EQ(tester.deliver("a/b", std::string("x\ny\r\t\0\x1b[m\\", 10)), Result::ok);
  EXPECT_EQ(text(file("out")), "b\tx\\ny\\r\t\\x00\\x1B[m\\ {}\n");
  EXPECT_EQ(tester.deliver("a", "x"), Result::reject);
  EXPECT_THAT(tester.last_log(), HasSubstr("the topic has no level 2"));
}

TEST_F(FileHandler, SkipsWhatHasNothingForAPlaceholder) {
  HandlerTester tester({{"path", file("{topic.2}")}, {"format", "{json:/a}"}, {"missing", "skip"}});
  EXPECT_THAT(tester.deliver_batch({{"x", R"({"a": 1})"}, {"x/y", "{}"}, {"x/y", R"({"a": 2})"}}),
              ::testing::Each(Result::ok));
  EXPECT_EQ(text(file("y")), "2\n");
  EXPECT_THAT(tester.logs(), ::testing::IsEmpty());
  EXPECT_EQ(tester.counts().at("skipped"), 2u);
  EXPECT_EQ(tester.deliver("x/spool.db", R"({"a": 1})"), Result::reject);
  EXPECT_EQ(tester.counts().at("skipped"), 2u);
}

TEST_F(FileHandler, ABatchGoesToEachFileInOrder) {
  HandlerTester tester({{"path", file("{topic}")}, {"format", "{payload}"}});
  std::vector<TestMessage> messages;
  for (int i = 0; i < 600; ++i)
    messages.push_back({.topic = i % 3 == 0 ? "a" : "b", .payload = std::to_string(i)});
  EXPECT_THAT(tester.deliver_batch(messages), Each(Result::ok));
  std::string a, b;
  for (const TestMessage& m : messages) (m.topic == "a" ? a : b) += m.payload + "\n";
  EXPECT_EQ(text(file("a")), a);
  EXPECT_EQ(text(file("b")), b);
}

TEST_F(FileHandler, NoTopicLeadsElsewhere) {
  HandlerTester tester({{"path", file("in/{topic}.x/{topic.1}")}, {"format", "{topic}"}});
  const std::string deep = "/etc/passwd";
  for (const std::string& topic :
       {std::string("../../../tmp/pwned"), std::string(".."), std::string("."), deep,
        std::string("~"), std::string("/"), std::string("a\xff\"' $(x)\n")})
    EXPECT_EQ(tester.deliver(topic, ""), Result::ok) << topic;
  for (const auto& entry : fs::recursive_directory_iterator(file("in")))
    EXPECT_TRUE(entry.is_directory() || entry.path().parent_path().parent_path() == file("in"))
        << entry.path();
  EXPECT_EQ(text(file("in/..%2F..%2F..%2Ftmp%2Fpwned.x/%2E.")), "../../../tmp/pwned\n");
  EXPECT_THAT(names(), ElementsAre("in"));
}

TEST_F(FileHandler, LongTopicsHaveShortNamesOfTheirOwn) {
  HandlerTester tester({{"path", file("{topic}.jsonl")}});
  const std::string common(60'000, 'x');
  EXPECT_EQ(tester.deliver(common + "1", ""), Result::ok);
  EXPECT_EQ(tester.deliver(common + "2", ""), Result::ok);
  EXPECT_EQ(names().size(), 2u);
  HandlerTester twice({{"path", file("{topic}{topic}.jsonl")}});
  EXPECT_EQ(twice.deliver(common, ""), Result::reject);
  EXPECT_THAT(twice.last_log(), HasSubstr("too long"));
}

TEST_F(FileHandler, NeverWritesToTheDaemonsOwnFiles) {
  HandlerTester tester({{"path", file("{topic}")}});
  for (const char* own : {"spool.db", "spool.db-wal", "session.json", "spool.lock", "spool.crash"})
    EXPECT_EQ(tester.deliver(own, "x"), Result::reject);
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_THAT(tester.last_log(), HasSubstr("a file of the daemon's own"));
  // SQLite takes even a directory for its journal.
  HandlerTester directories({{"path", file("{topic.1}/{topic.2}")}});
  EXPECT_EQ(directories.deliver("spool.db-journal/x", "x"), Result::reject);
  EXPECT_EQ(directories.deliver("parked-1-0.db/x", "x"), Result::reject);
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(FileHandler, FilesAndDirectoriesAreNotForAll) {
  const mode_t before = ::umask(0077);
  HandlerTester tester({{"path", file("a/{topic}/b")}});
  HandlerTester open({{"path", file("open/b")}, {"mode", "0644"}, {"sync", "none"}});
  EXPECT_EQ(tester.deliver("t", ""), Result::ok);
  EXPECT_EQ(open.deliver("t", ""), Result::ok);
  ::umask(before);
  EXPECT_EQ(mode(file("a")), 0750u);
  EXPECT_EQ(mode(file("a/t")), 0750u);
  EXPECT_EQ(mode(file("a/t/b")), 0640u);
  EXPECT_EQ(mode(file("open")), 0755u);
  EXPECT_EQ(mode(file("open/b")), 0644u);
}

TEST_F(FileHandler, FollowsNoLinkAndWaitsForNoFifo) {
  HandlerTester tester({{"path", file("{topic.1}/{topic.2}")}});
  fs::create_directories(file("d/directory"));
  fs::create_symlink(file("target"), file("d/link"));
  ::mkfifo(file("d/fifo").c_str(), 0600);
  fs::create_directory(file("elsewhere"));
  fs::create_symlink(file("elsewhere"), file("linked"));
  for (const char* topic : {"d/link", "d/fifo", "d/directory", "linked/x"})
    EXPECT_EQ(tester.deliver(topic, ""), Result::retry) << topic;
  EXPECT_FALSE(fs::exists(file("target")));
  EXPECT_TRUE(fs::is_empty(file("elsewhere")));
  EXPECT_THAT(tester.logs(), ElementsAre(HasSubstr("symbolic links are not followed"),
                                         HasSubstr("it is no regular file"),
                                         HasSubstr("Is a directory"), HasSubstr("/linked: ")));
}

TEST_F(FileHandler, SaysOnceWhatIsInTheWayAndThatItIsGone) {
  fs::create_directory(file("out"));
  HandlerTester tester({{"path", file("out")}, {"format", "{payload}"}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(tester.deliver("a", "x"), Result::retry);
  fs::remove(file("out"));
  EXPECT_EQ(tester.deliver("a", "x"), Result::ok);
  EXPECT_EQ(tester.deliver("a", "y"), Result::ok);
  EXPECT_EQ(text(file("out")), "x\ny\n");
  EXPECT_THAT(tester.logs(), ElementsAre(HasSubstr("Is a directory"), HasSubstr("written again")));
}

TEST_F(FileHandler, GoesOnInANewFileWhenItWasMovedAway) {
  HandlerTester tester({{"path", file("out")}, {"format", "{payload}"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  fs::rename(file("out"), file("out.1"));
  EXPECT_EQ(tester.deliver("a", "2"), Result::ok);
  EXPECT_EQ(tester.deliver("a", "3"), Result::ok);
  EXPECT_EQ(text(file("out.1")), "1\n");
  EXPECT_EQ(text(file("out")), "2\n3\n");
  fs::remove(file("out"));
  EXPECT_EQ(tester.deliver("a", "4"), Result::ok);
  EXPECT_EQ(text(file("out")), "4\n");
  fs::resize_file(file("out"), 0);  // copytruncate of logrotate
  EXPECT_EQ(tester.deliver("a", "5"), Result::ok);
  EXPECT_EQ(text(file("out")), "5\n");
}

TEST_F(FileHandler, TakesOutHalfALineOfJson) {
  const std::string good = R"({"topic":"a","n":1})"
                           "\n";
  for (const std::string& half :
       {std::string("{"), std::string(R"({"topic":"b","payload":")") + std::string(100'000, 'p')}) {
    write(file("out"), good + half);
    HandlerTester tester({{"path", file("out")}});
    EXPECT_EQ(tester.deliver("c", "x"), Result::ok);
    EXPECT_THAT(text(file("out")), ::testing::StartsWith(good + R"({"topic":"c")"));
    EXPECT_THAT(tester.last_log(), HasSubstr("took out its " + std::to_string(half.size())));
  }
}

TEST_F(FileHandler, EndsALineThatMayBeOfSomebodyElse) {
  write(file("out"), "one\ntwo");
  HandlerTester json({{"path", file("out")}});
  EXPECT_EQ(json.deliver("c", "x"), Result::ok);
  EXPECT_THAT(text(file("out")), ::testing::StartsWith("one\ntwo\n{\"topic\":"));
  write(file("out"), R"({"topic":"b)");
  HandlerTester tester({{"path", file("out")}, {"format", "{payload}"}});
  EXPECT_EQ(tester.deliver("c", "x"), Result::ok);
  EXPECT_EQ(text(file("out")), "{\"topic\":\"b\nx\n");
}

// Another worker that was killed, while this one has the file open.
TEST_F(FileHandler, SeesHalfALineThatComesLater) {
  HandlerTester tester({{"path", file("out")}, {"format", "{payload}"}});
  EXPECT_EQ(tester.deliver("c", "1"), Result::ok);
  std::ofstream(file("out"), std::ios::app) << "hal";
  EXPECT_EQ(tester.deliver("c", "2"), Result::ok);
  EXPECT_EQ(text(file("out")), "1\nhal\n2\n");
}

TEST_F(FileHandler, AFullDiskLeavesNoHalfLine) {
  const fastmqttd::testing::SmallDisk disk(directory_, "64k");
  if (!disk.why_not().empty()) GTEST_SKIP() << "cannot mount a file system: " << disk.why_not();
  HandlerTester tester({{"path", file("{topic.1}")}, {"format", "{payload}"}});
  EXPECT_EQ(tester.deliver("a/1", std::string(20'000, 'a')), Result::ok);
  const std::vector<TestMessage> batch{{.topic = "a/2", .payload = std::string(30'000, 'b')},
                                       {.topic = "a/3", .payload = std::string(30'000, 'c')},
                                       {.topic = "b/1", .payload = "small"}};
  EXPECT_THAT(tester.deliver_batch(batch), ElementsAre(Result::retry, Result::retry, Result::ok));
  EXPECT_EQ(text(file("a")), std::string(20'000, 'a') + "\n");
  EXPECT_THAT(tester.last_log(), HasSubstr("No space left on device"));
  fs::resize_file(file("a"), 0);  // there is room
  EXPECT_THAT(tester.deliver_batch(batch), ElementsAre(Result::ok, Result::ok, Result::ok));
  EXPECT_EQ(text(file("a")), batch[0].payload + "\n" + batch[1].payload + "\n");
  EXPECT_EQ(text(file("b")), "small\nsmall\n");
}

TEST_F(FileHandler, OpensSoManyAndNoMore) {
  HandlerTester tester({{"path", file("{topic}")}, {"open_files", "3"}, {"format", "{payload}"}});
  const auto before = open_files();
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 50; ++i)
      EXPECT_EQ(tester.deliver(std::to_string(i), std::to_string(i)), Result::ok);
  EXPECT_EQ(open_files(), before + 3);
  EXPECT_EQ(text(file("7")), "7\n7\n");
  tester.advance(61s);
  EXPECT_EQ(open_files(), before) << "what is unused stays open";
}

TEST_F(FileHandler, ALockedFileIsTriedAgain) {
  write(file("out"), "");
  const int other = ::open(file("out").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  HandlerTester tester({{"path", file("out")}, {"format", "{payload}"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("another program holds its lock"));
  ::close(other);
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
}

// As with `workers`: whole lines, all of them, in order, though each rotates it under the others.
TEST_F(FileHandler, SeveralInstancesShareAFile) {
  constexpr int kEach = 400;
  std::vector<std::thread> workers;
  for (int w = 0; w < 4; ++w)
    workers.emplace_back([this, w] {
      HandlerTester tester({{"path", file("out")},
                            {"format", "{topic} {number}"},
                            {"sync", "none"},
                            {"rotate.size", "1KiB"},
                            {"rotate.compress", "true"}});
      for (int i = 0; i < kEach; ++i)
        ASSERT_EQ(tester.deliver(std::string(1, static_cast<char>('a' + w)), std::to_string(i)),
                  Result::ok);
    });
  for (std::thread& worker : workers) worker.join();
  std::map<std::string, int> next;
  auto all = names();  // by time, but for the one that is written, which comes first
  std::rotate(all.begin(), all.begin() + 1, all.end());
  EXPECT_GT(all.size(), 3u);
  for (const std::string& name : all) {
    std::istringstream lines(name.ends_with(".gz") ? unzipped(file(name)) : text(file(name)));
    std::string topic;
    for (int number = 0; lines >> topic >> number;) EXPECT_EQ(number, next[topic]++) << topic;
    EXPECT_TRUE(lines.eof()) << name;
  }
  EXPECT_THAT(next, UnorderedElementsAre(std::pair("a", kEach), std::pair("b", kEach),
                                         std::pair("c", kEach), std::pair("d", kEach)));
}

// ---- rotation ----------------------------------------------------------------------------------

TEST_F(FileHandler, RotatesBySizeAndKeepsSome) {
  HandlerTester tester({{"path", file("{topic}.log")},
                        {"format", "{payload}"},
                        {"rotate.size", "1KiB"},
                        {"rotate.keep", "2"},
                        {"rotate.compress", "true"}});
  write(file("a.log~note"), "of somebody else");
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(tester.deliver("a", std::string(600, static_cast<char>('0' + i))), Result::ok);
  EXPECT_EQ(text(file("a.log")), std::string(600, '4') + "\n");
  EXPECT_TRUE(eventually([this] {
    return names().size() == 4 && names()[1].ends_with(".gz") && names()[2].ends_with(".gz");
  })) << ::testing::PrintToString(names());
  EXPECT_EQ(unzipped(file(names()[1])), std::string(600, '2') + "\n");
  EXPECT_EQ(unzipped(file(names()[2])), std::string(600, '3') + "\n");
  EXPECT_EQ(mode(file(names()[1])), 0640u);
  EXPECT_EQ(tester.counts()["rotated"], 4u);
  EXPECT_THAT(tester.logs(), IsEmpty());
}

TEST_F(FileHandler, RotatesByAge) {
  HandlerTester tester({{"path", file("out")}, {"format", "{payload}"}, {"rotate.age", "1s"}});
  EXPECT_EQ(tester.deliver("a", "1"), Result::ok);
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(tester.deliver("a", "2"), Result::ok);
    return names().size() == 2;
  }));
  EXPECT_EQ(text(file("out")), "2\n");
  EXPECT_THAT(text(file(names()[1])), ::testing::StartsWith("1\n2\n"));
}

// No topic passes for a rotated file of another, which would be compressed, or deleted.
TEST_F(FileHandler, NoTopicIsTakenForARotatedFile) {
  HandlerTester tester({{"path", file("{topic}")},
                        {"format", "{payload}"},
                        {"rotate.size", "1KiB"},
                        {"rotate.keep", "1"},
                        {"rotate.compress", "true"}});
  EXPECT_EQ(tester.deliver("a~20200101-000000.000", "x"), Result::ok);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(tester.deliver("a", std::string(1000, 'y')), Result::ok);
  EXPECT_TRUE(eventually([this] { return names().size() == 3 && names()[2].ends_with(".gz"); }));
  EXPECT_EQ(text(file("a%7E20200101-000000.000")), "x\n");
}

TEST_F(FileHandler, ResumesWhatAKillHasLeft) {
  fs::create_directories(file("in/x"));
  write(file("in/x/a.log~20200101-000000.000"), "whole");
  write(file("in/x/a.log~20200101-000000.000.gz.tmp"), "ha");
  write(file("in/x/a.log~20190101-000000.000.gz.tmp"), "of nothing");
  write(file("in/x/other~20200101-000000.000"), "not ours");
  HandlerTester tester(
      {{"path", file("in/{topic}/a.log")}, {"rotate.size", "1KiB"}, {"rotate.compress", "true"}});
  EXPECT_TRUE(fs::exists(file("in/x/a.log~20200101-000000.000.gz.tmp"))) << "--check does that";
  EXPECT_TRUE(tester.wake());
  EXPECT_TRUE(eventually([this] { return !fs::exists(file("in/x/a.log~20200101-000000.000")); }));
  EXPECT_EQ(unzipped(file("in/x/a.log~20200101-000000.000.gz")), "whole");
  EXPECT_EQ(std::distance(fs::directory_iterator(file("in/x")), {}), 2);
  EXPECT_TRUE(fs::exists(file("in/x/other~20200101-000000.000")));
}

TEST_F(FileHandler, CompressionThatIsStoppedLeavesAllAsItWas) {
  write(file("a~1"), std::string(300'000, 'x'));
  const fastmqtt::file::Fd directory(
      ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int chunks = 0;
  fastmqtt::file::compress_file(directory.get(), "a~1", [&] { return ++chunks == 3; });
  EXPECT_THAT(names(), ElementsAre("a~1"));
  EXPECT_EQ(fs::file_size(file("a~1")), 300'000u);
}

TEST_F(FileHandler, WhatCannotBeCompressedStaysAndIsNamed) {
  const fastmqttd::testing::SmallDisk disk(directory_, "256k");
  if (!disk.why_not().empty()) GTEST_SKIP() << "cannot mount a file system: " << disk.why_not();
  std::string noise(180'000, '\0');
  std::ifstream("/dev/urandom").read(noise.data(), static_cast<std::streamsize>(noise.size()));
  write(file("out~20200101-000000.000"), noise);
  HandlerTester tester(
      {{"path", file("out")}, {"rotate.size", "1KiB"}, {"rotate.compress", "true"}});
  EXPECT_TRUE(tester.wake());
  EXPECT_TRUE(eventually([&] { return !tester.logs().empty(); }));
  EXPECT_THAT(tester.last_log(), HasSubstr("No space left on device"));
  EXPECT_THAT(names(), ElementsAre("out~20200101-000000.000"));
  EXPECT_EQ(text(file("out~20200101-000000.000")), noise);
}

TEST_F(FileHandler, NamesBadOptions) {
  EXPECT_THAT(refusal({}), HasSubstr("path: expected text"));
  EXPECT_THAT(refusal({{"path", "out.jsonl"}}), HasSubstr("path: expected an absolute path"));
  EXPECT_THAT(refusal({{"path", "{topic}"}}), HasSubstr("path: expected an absolute path"));
  for (const char* path : {"/a/", "/a//b", "/a/../b", "/a/./b", "/"})
    EXPECT_THAT(refusal({{"path", path}}), HasSubstr("path: expected a path without")) << path;
  EXPECT_THAT(refusal({{"path", "/a/{topc}"}}), HasSubstr("path: at character 4: '{topc}'"));
  EXPECT_THAT(refusal({{"path", "/a/{time:%Y/%m}"}}), HasSubstr("write {time:%Y}/{time:%m}"));
  EXPECT_THAT(refusal({{"path", "/a/{json:/x|a/b}"}}), HasSubstr("a placeholder gives one name"));
  EXPECT_EQ(refusal({{"path", "/a/{json:/x/y}"}}), "none");
  EXPECT_THAT(refusal({{"path", "/a/b~"}}), HasSubstr("path: expected no '~'"));
  EXPECT_THAT(refusal({{"path", "/a/spool.db"}}), HasSubstr("a file of the daemon's own"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"format", "csv"}}), HasSubstr("format: expected json, or"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"format", "{qos}\n"}}), HasSubstr("format: expected one"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"format", "a\nb"}}),
              HasSubstr("format: expected one line, without a line break"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"format", "{qs}"}}), HasSubstr("format: at character 1"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"sync", "always"}}), HasSubstr("batch, none"));
  for (const char* mode : {"0440", "0750", "0648", "rw-r--", "0"})
    EXPECT_THAT(refusal({{"path", "/a"}, {"mode", mode}}), HasSubstr("mode: expected a mode that"))
        << mode;
  EXPECT_EQ(refusal({{"path", "/a"}, {"mode", "640"}}),
            "mode: expected it with a 0 in front: 0640");
  EXPECT_THAT(refusal({{"path", "/a"}, {"open_files", "0"}}), HasSubstr("open_files: expected"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"rotate", "10MiB"}}), HasSubstr("rotate: expected names"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"rotate.keep", "7"}}),
              HasSubstr("rotate: expected a size"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"rotate.size", "1"}}), HasSubstr("at least 1KiB"));
  EXPECT_THAT(refusal({{"path", "/a"}, {"rotate.sise", "1MiB"}}),
              HasSubstr("rotate.sise: unknown"));
}

}  // namespace
