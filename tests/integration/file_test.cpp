// file, in the daemon, with a real broker, on a real disk and a full one.
#include <set>
#include <thread>

#include "tests/chaos/small_disk.hpp"
#include "tests/integration/handlers_test.hpp"

namespace fastmqttd::testing {
namespace {

namespace fs = std::filesystem;

class File : public HandlersTest {
 protected:
  void start_file(const std::string& options, const std::string& keys = "") {
    install("file");
    start("  archive:\n    plugin: file\n    subscribe: n/#\n    retry: {delay: 1ms, delay_max: " +
              delay_max_ + ", attempts: unlimited}\n" + keys + "    options:\n" + options,
          {"n/#"});
  }
  std::vector<std::string> lines() const { return lines_of(read_file(daemon_.file("out"))); }
  // Of lines of JSON: each payload once, by topic, in the order in which it first came.
  static std::map<std::string, std::vector<std::string>> first_seen(
      const std::vector<std::string>& all) {
    std::map<std::string, std::vector<std::string>> payloads;
    std::set<std::string> seen;
    for (const std::string& line : all) {
      const std::vector<std::string> parts = split(line, '"');  // {"topic":"n/1","payload":"x",...
      EXPECT_TRUE(parts.size() > 8 && line.ends_with("}")) << line;
      if (parts.size() > 8 && seen.insert(parts[3] + " " + parts[7]).second)
        payloads[parts[3]].push_back(parts[7]);
    }
    return payloads;
  }

  std::string delay_max_ = "5ms";
};

TEST_F(File, WritesWhatComesAndNoTopicLeadsElsewhere) {
  start_file("      path: " + daemon_.file("archive").string() + "/{topic}.jsonl\n");
  publish(broker_, "n/a", "21.5", {.qos = 1});
  publish(broker_, "n/../../x", "\"quoted\"\nand more", {.qos = 1});
  const auto at = [this](const std::string& name) {
    return read_file(daemon_.file("archive") / name);
  };
  EXPECT_TRUE(eventually([&] {
    return at("n%2F..%2F..%2Fx.jsonl").ends_with("\n") && at("n%2Fa.jsonl").ends_with("\n");
  }));
  EXPECT_TRUE(at("n%2F..%2F..%2Fx.jsonl")
                  .starts_with(R"({"topic":"n/../../x","payload":"\"quoted\"\nand more","qos":1,)"))
      << at("n%2F..%2F..%2Fx.jsonl");
  EXPECT_TRUE(at("n%2Fa.jsonl").starts_with(R"({"topic":"n/a","payload":"21.5","qos":1,)"));
}

// Whole lines only, all of them, in order, though the daemon is killed while it writes them and
// rotates the file, by several workers.
TEST_F(File, LosesNothingOverKills) {
  start_file("      path: " + daemon_.file("archive/out").string() +
                 "\n      rotate: {size: 128KiB, compress: true}\n",
             "    workers: 2\n");
  const std::string filler(100, 'x');
  constexpr int kTopics = 5, kEach = 1000;
  std::vector<std::string> payloads;
  for (const std::string& number : numbers(kEach)) payloads.push_back(number + filler);
  const auto all = [&] {
    // In the order of time: what is being written comes last.
    std::set<std::string> names;
    std::string text;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(daemon_.file("archive"), none))
      names.insert(entry.path().filename());
    for (const std::string& name : names) {
      if (name == "out" || name.ends_with(".tmp")) continue;
      const auto path = daemon_.file("archive") / name;
      text += name.ends_with(".gz") ? run({.argv = {"zcat", path}}).output : read_file(path);
    }
    return text + read_file(daemon_.file("archive/out"));
  };
  const auto count = [&](const std::string& text) {
    std::size_t sum = 0;
    for (const auto& [topic, seen] : first_seen(lines_of(text))) sum += seen.size();
    return sum;
  };
  std::jthread publisher([&] {
    for (int t = 0; t < kTopics; ++t) publish_all(broker_, "n/" + std::to_string(t), payloads);
  });
  for (std::size_t kill = 1; kill <= 4; ++kill) {
    ASSERT_TRUE(eventually([&] { return lines_of(all()).size() > kill * 900; })) << kill;
    daemon_.kill();
    daemon_.start_ready();
  }
  publisher.join();
  std::string text;
  ASSERT_TRUE(eventually([&] { return count(text = all()) == kTopics * kEach; })) << count(text);
  EXPECT_TRUE(text.ends_with("\n"));
  for (const auto& [topic, seen] : first_seen(lines_of(text))) EXPECT_EQ(seen, payloads) << topic;
}

// The torn line that a kill leaves is no part of the next one.
TEST_F(File, TakesOutATornLineAtTheStart) {
  write_file(daemon_.file("out"), "{\"topic\":\"n/0\",\"payl");
  start_file("      path: " + daemon_.file("out").string() + "\n");
  publish(broker_, "n/1", "x", {.qos = 1});
  EXPECT_TRUE(eventually([&] { return lines().size() == 1; }));
  EXPECT_TRUE(lines().front().starts_with(R"({"topic":"n/1","payload":"x")"));
  await_log("out: its last line had no end");
}

TEST_F(File, AFullDiskIsWaitedFor) {
  delay_max_ = "50ms";
  fs::create_directory(daemon_.file("small"));
  const SmallDisk disk(daemon_.file("small"), "64k");
  if (!disk.why_not().empty()) GTEST_SKIP() << "cannot mount a file system: " << disk.why_not();
  start_file("      path: " + daemon_.file("small/out").string() + "\n      format: '{payload}'\n");
  write_file(daemon_.file("small/filler"), std::string(40'000, 'f'));
  const std::vector<std::string> payloads = [] {
    std::vector<std::string> all = numbers(40);
    for (std::string& one : all) one += std::string(990, '.');
    return all;
  }();
  publish_all(broker_, "n/1", payloads);
  await_log("small/out: No space left on device");
  const std::string so_far = read_file(daemon_.file("small/out"));
  EXPECT_TRUE(so_far.empty() || so_far.ends_with("\n"));
  fs::remove(daemon_.file("small/filler"));
  const auto written = [&] { return lines_of(read_file(daemon_.file("small/out"))); };
  EXPECT_TRUE(eventually([&] { return written().size() == payloads.size(); }));
  EXPECT_EQ(written(), payloads);
  await_log("small/out: is written again");
}

// A place that cannot be used does not keep the daemon from starting, and is no reason to lose
// anything.
TEST_F(File, WaitsForAPlaceThatIsNotThere) {
  write_file(daemon_.file("archive"), "no directory");
  start_file("      path: " + daemon_.file("archive").string() + "/{topic}\n");
  publish(broker_, "n/1", "x", {.qos = 1});
  await_log("archive: Not a directory");
  fs::remove(daemon_.file("archive"));
  EXPECT_TRUE(eventually([&] { return !read_file(daemon_.file("archive/n%2F1")).empty(); }));
}

TEST_F(File, NamesBadOptionsWithTheirPlace) {
  install("file");
  daemon_.configure(daemon_.mqtt_section(broker_) +
                    "handlers:\n  archive:\n    plugin: file\n    subscribe: n\n    options:\n"
                    "      path: /a/{topic}\n      mode: 0777\n");
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{.status = 78});
  EXPECT_TRUE(any_line_matches(
      done.errors, "fastmqttd.yaml:[0-9]+:[0-9]+: handlers.archive.options.mode: .*such as 0640"))
      << done.errors;
}

}  // namespace
}  // namespace fastmqttd::testing
