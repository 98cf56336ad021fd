#include "daemon/plugin/handler_instance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/support/in_process_handler.hpp"
#include "tests/unit/support/recorded_log.hpp"

namespace fastmqttd {
namespace {

using testing::InProcessHandler;

struct NoRequests : HandlerRequests {
  void complete(std::uint64_t, fastmqtt_result) override {}
  void wake_at(std::int64_t) override {}
};

class HandlerInstanceTest : public ::testing::Test {
 protected:
  HandlerInstanceTest() {
    config_.name = "archive";
    config_.plugin = "fake";
    config_.place = {"c.yaml", 2, 3};
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
      HandlerInstance(fake_.library(), config_, requests_);
    } catch (const StartError& error) {
      return error.what();
    }
    return "it started";
  }

  InProcessHandler fake_;
  HandlerConfig config_;
  NoRequests requests_;
  testing::RecordedLog log_;
};

TEST_F(HandlerInstanceTest, GivesOptionsByPath) {
  config_.options = options("limit", "20", 4);
  const HandlerInstance instance(fake_.library(), config_, requests_);
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

TEST_F(HandlerInstanceTest, LogsWithTheFieldsOfTheMessage) {
  const HandlerInstance instance(fake_.library(), config_, requests_);
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

}  // namespace
}  // namespace fastmqttd
