#include "daemon/plugin/handler_instance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/support/in_process_handler.hpp"
#include "tests/unit/support/recorded_log.hpp"

namespace fastmqttd {
namespace {

using testing::InProcessHandler;

struct Requests : HandlerRequests {
  void complete(std::uint64_t, fastmqtt_result) override {}
  void wake_at(std::int64_t) override {}
  bool publish(MessagePtr message) override {
    if (full) return false;
    published.push_back(std::move(message));
    return true;
  }
  void said(std::string_view topic, std::string_view text) override {
    last_words = std::string(topic) + ": " + std::string(text);
  }
  bool full = false;
  std::string last_words;
  std::vector<MessagePtr> published;
};

class HandlerInstanceTest : public ::testing::Test {
 protected:
  HandlerInstanceTest() {
    config_.name = "archive";
    config_.plugin = "fake";
    config_.place = Place{"c.yaml", 2, 3};
  }

  static HandlerOptions options(const std::string& path, const std::string& text, int row) {
    HandlerOptions::Entry entry;
    entry.path = path;
    entry.place = entry.key_place = {"c.yaml", row, 7};
    entry.text = entry.shown = text;
    entry.scalar = true;
    return HandlerOptions({entry});
  }
  std::string failure() {
    try {
      HandlerInstance(fake_.library(), config_, counters_, requests_);
    } catch (const StartError& error) {
      return error.what();
    }
    return "it started";
  }

  InProcessHandler fake_;
  HandlerConfig config_;
  HandlerCounters counters_;
  Requests requests_;
  testing::RecordedLog log_;
};

TEST_F(HandlerInstanceTest, GivesOptionsByPath) {
  config_.options = options("limit", "20", 4);
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  const fastmqtt_host* host = fake_.host();
  const fastmqtt_view limit = host->config(host, "limit");
  EXPECT_EQ(std::string(limit.data, limit.size), "20");
  EXPECT_EQ(host->config(host, "other").data, nullptr);
}

TEST_F(HandlerInstanceTest, NamesAnUnknownOptionWithPlaceAndNearest) {
  config_.options = options("fiel", "x", 4);
  fake_.library().names_options = true;
  fake_.library().options = {"file", "answer"};
  EXPECT_EQ(failure(),
            "c.yaml:4:7: handlers.archive.options.fiel: unknown option: did you mean "
            "'file'? the handler 'fake' knows file, answer");
}

TEST_F(HandlerInstanceTest, ReportsWhatThePluginSaysOfAnOption) {
  config_.options = options("file", "/x", 4);
  fake_.raw().create = [](const fastmqtt_host* host) -> void* {
    host->config_error(host, "file", {"expected a relative path", 24});
    host->config_error(host, "table", {"expected a name", 15});
    return nullptr;
  };
  EXPECT_EQ(
      failure(),
      "c.yaml:4:7: handlers.archive.options.file: '/x' will not do: expected a relative path\n"
      "c.yaml:2:3: handlers.archive.options.table: is missing: expected a name");
}

TEST_F(HandlerInstanceTest, ReportsAFailureWithItsReasonOrWithout) {
  fake_.raw().create = [](const fastmqtt_host* host) -> void* {
    host->log(host, FASTMQTT_ERROR, {"no such device", 14});
    return nullptr;
  };
  EXPECT_EQ(failure(), "c.yaml:2:3: handlers.archive: the handler does not start: no such device");
  fake_.raw().create = [](const fastmqtt_host*) -> void* { return nullptr; };
  EXPECT_EQ(failure(),
            "c.yaml:2:3: handlers.archive: the handler does not start: it gave no reason");
  fake_.raw().create = [](const fastmqtt_host*) -> void* { throw std::runtime_error("boom"); };
  EXPECT_EQ(failure(), "c.yaml:2:3: handlers.archive: the handler does not start: boom");
}

TEST_F(HandlerInstanceTest, NamesThePluginWhenThereIsNoEntry) {
  config_.place = {};
  fake_.raw().create = [](const fastmqtt_host*) -> void* { return nullptr; };
  EXPECT_EQ(failure(), "fake.so: handlers.archive: the handler does not start: it gave no reason");
}

TEST_F(HandlerInstanceTest, KnowsWhetherItsFilesHaveChanged) {
  static std::string file;
  file = std::filesystem::temp_directory_path() / ("used-" + std::to_string(::getpid()));
  const auto write = [](const char* text) { std::ofstream(file) << text; };
  fake_.raw().create = [](const fastmqtt_host* host) -> void* {
    host->uses_file(host, file.c_str());
    host->uses_file(host, "/no/such/file");
    host->uses_file(host, "/dev/zero");  // without an end
    return new int;
  };
  fake_.raw().destroy = [](void* self) { delete static_cast<int*>(self); };
  write("one");
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  const UsedFiles files = instance.used_files();
  EXPECT_FALSE(files.have_changed());
  write("two");
  EXPECT_TRUE(files.have_changed());
  write("one");
  EXPECT_FALSE(files.have_changed()) << "it is what it was, if newer";
  std::filesystem::remove(file);
  EXPECT_TRUE(files.have_changed());
}

TEST_F(HandlerInstanceTest, TakesNoFilesOnceItRuns) {
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  fake_.host()->uses_file(fake_.host(), "/etc/passwd");
  EXPECT_EQ(log_.texts().back(), "archive: names the file /etc/passwd too late, ignoring");
}

TEST_F(HandlerInstanceTest, LogsWithTheFieldsOfTheMessage) {
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  const fastmqtt_host* host = fake_.host();
  host->log(host, FASTMQTT_WARNING, {"disk slow", 9});
  EXPECT_EQ(log_.texts().back(), "archive: disk slow");
  EXPECT_THAT(log_.fields(), ::testing::ElementsAre(std::pair("MQTT_HANDLER", "archive"),
                                                    std::pair("MQTT_PLUGIN", "fake")));
  const MessagePtr message = testing::make_message("a/b", "x", 2);
  fastmqtt_message about = message->view();
  about.attempt = 3;
  host->log_message(host, FASTMQTT_WARNING, {"odd", 3}, &about);
  EXPECT_EQ(log_.texts().back(), "archive: a/b: odd");
  EXPECT_EQ(log_.fields().at("MQTT_TOPIC"), "a/b");
  EXPECT_EQ(log_.fields().at("MQTT_QOS"), "2");
  EXPECT_EQ(log_.fields().at("MQTT_ATTEMPT"), "3");
}

TEST_F(HandlerInstanceTest, LogsWithFieldsOfTheHandlersOwn) {
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  const fastmqtt_host* host = fake_.host();
  const MessagePtr message = testing::make_message("a/b", "x", 2);
  const fastmqtt_message about = message->view();
  std::vector<std::string> names{"SENSOR",
                                 "A_1",
                                 std::string(64, 'X'),
                                 std::string(65, 'X'),
                                 "_PID",
                                 "1A",
                                 "a",
                                 "",
                                 "A=B",
                                 std::string("A\0", 2),
                                 "MQTT_TOPIC",
                                 "MESSAGE_ID",
                                 "PRIORITY",
                                 "SYSLOG_IDENTIFIER"};
  std::vector<fastmqtt_field> fields;
  for (const std::string& name : names) fields.push_back({{name.data(), name.size()}, {"v\n", 2}});
  host->log_fields(host, FASTMQTT_INFO, {"odd", 3}, &about, fields.data(), fields.size());
  EXPECT_EQ(log_.texts().back(), "archive: a/b: odd");
  EXPECT_THAT(log_.fields(),
              ::testing::UnorderedElementsAre(
                  std::pair("MQTT_HANDLER", "archive"), std::pair("MQTT_PLUGIN", "fake"),
                  std::pair("MQTT_TOPIC", "a/b"), std::pair("MQTT_QOS", "2"),
                  std::pair("MQTT_ATTEMPT", "0"), std::pair("SENSOR", "v\n"),
                  std::pair("A_1", "v\n"), std::pair(std::string(64, 'X'), "v\n")));
}

std::string text(fastmqtt_view view) { return {view.data, view.data ? view.size : 0}; }
fastmqtt_view view(std::string_view from) { return {from.data(), from.size()}; }

TEST_F(HandlerInstanceTest, ShowsTheShapeOfTheOptions) {
  std::vector<HandlerOptions::Entry> entries(4);
  entries[0].members = {"command", "limit"};
  entries[1].path = "command";
  entries[1].list = true;
  entries[1].members = {"0"};
  entries[2].path = "command.0";
  entries[2].scalar = true;
  entries[3].path = "limit";
  entries[3].null = true;
  config_.options = HandlerOptions(entries);
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  const fastmqtt_host* host = fake_.host();
  std::size_t members = 9;
  EXPECT_EQ(host->config_kind(host, "", &members), FASTMQTT_MAP);
  EXPECT_EQ(members, 2u);
  EXPECT_EQ(text(host->config_name(host, "", 1)), "limit");
  EXPECT_EQ(host->config_name(host, "", 2).data, nullptr);
  EXPECT_EQ(host->config_kind(host, "command", &members), FASTMQTT_LIST);
  EXPECT_EQ(members, 1u);
  EXPECT_EQ(host->config_kind(host, "command.0", nullptr), FASTMQTT_SCALAR);
  EXPECT_EQ(host->config_kind(host, "limit", &members), FASTMQTT_ABSENT) << "it is null";
  EXPECT_EQ(members, 0u);
  EXPECT_EQ(host->config_name(host, "nothing", 0).data, nullptr);
}

TEST_F(HandlerInstanceTest, KnowsItsName) {
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  EXPECT_STREQ(fake_.host()->name, "archive");
}

TEST_F(HandlerInstanceTest, PublishesACopy) {
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  const fastmqtt_host* host = fake_.host();
  std::string topic = "a/b", payload = "on";
  const fastmqtt_property property{FASTMQTT_USER_PROPERTY, 0, view("k"), view("v")};
  fastmqtt_message message{};
  message.size = sizeof message;
  message.qos = 2;
  message.retain = 1;
  message.topic = view(topic);
  message.payload = view(payload);
  message.properties = &property;
  message.property_count = 1;
  EXPECT_EQ(host->publish(host, &message), FASTMQTT_OK);
  topic = payload = "xx";
  ASSERT_EQ(requests_.published.size(), 1u);
  const Message& copy = *requests_.published.front();
  EXPECT_EQ(copy.topic(), "a/b");
  EXPECT_EQ(copy.payload(), "on");
  EXPECT_EQ(copy.qos(), 2);
  EXPECT_TRUE(copy.retain());
  EXPECT_EQ(text(copy.properties()[0].value), "v");
  requests_.full = true;
  message.topic = view("a");
  EXPECT_EQ(host->publish(host, &message), FASTMQTT_RETRY);
}

TEST_F(HandlerInstanceTest, RefusesToPublishWhatIsMalformedAndSaysWhy) {
  const HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  const fastmqtt_host* host = fake_.host();
  fastmqtt_message message{};
  message.size = sizeof message;
  message.topic = view("a/+");
  EXPECT_EQ(host->publish(host, &message), FASTMQTT_REJECT);
  EXPECT_THAT(
      log_.texts().back(),
      ::testing::HasSubstr("archive: cannot publish to a/+: a topic name has no wildcards"));
  EXPECT_EQ(host->publish(host, nullptr), FASTMQTT_REJECT);
  EXPECT_TRUE(requests_.published.empty());
}

TEST_F(HandlerInstanceTest, RefusesACounterWithoutAProperName) {
  HandlerInstance instance(fake_.library(), config_, counters_, requests_);
  const fastmqtt_host* host = fake_.host();
  host->count(host, host->counter(host, "Bad name"), 1);
  host->count(host, host->counter(host, "good_1"), 2);
  EXPECT_EQ(counters_.values(), (std::map<std::string, std::uint64_t>{{"good_1", 2}}));
  EXPECT_THAT(log_.texts().back(), ::testing::HasSubstr("'Bad name' is no name for a counter"));
}

TEST_F(HandlerInstanceTest, SurvivesADestroyThatThrows) {
  static const auto destroy = fake_.raw().destroy;
  fake_.raw().destroy = [](void* self) {
    destroy(self);
    throw std::runtime_error("not so fast");
  };
  { const HandlerInstance instance(fake_.library(), config_, counters_, requests_); }
  EXPECT_THAT(log_.texts().back(), ::testing::HasSubstr("archive: exception: not so fast"));
}

}  // namespace
}  // namespace fastmqttd
