// fastmqtt/testing.hpp itself, with a handler that uses all of the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "fastmqtt/handler.hpp"
#include "fastmqtt/testing.hpp"

namespace {

using namespace std::chrono_literals;
using fastmqtt::Batch;
using fastmqtt::Host;
using fastmqtt::Level;
using fastmqtt::Message;
using fastmqtt::Result;
using fastmqtt::testing::HandlerTester;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class Everything {
 public:
  static constexpr const char* options[] = {"known"};

  explicit Everything(Host host) : host_(host), seen_(host.counter("seen")) {}

  void on_messages(Batch batch) {
    if (batch[0].payload() == "size") host_.log(Level::info, std::to_string(batch.size()));
    std::size_t i = 0;
    for (const Message message : batch) batch.answer(i++, handle(message));
  }

  void on_wake() { host_.log(Level::info, "woken"); }

 private:
  Result handle(const Message& message) {
    seen_.add();
    const std::string_view verb = message.payload();
    if (verb == "publish")
      return host_.publish(
          "out", "x",
          {.qos = 2,
           .retain = true,
           .properties =
               fastmqtt::Properties().content_type("text/plain").expires_in(5s).user("k", "v")});
    if (verb == "reply") return host_.reply(message, "pong");
    if (verb == "bad qos") return host_.publish("out", "x", {.qos = 7});
    if (verb == "later") {
      host_.log(Level::debug, "wait for it", message);
      thread_ = std::jthread([this, message] {
        const bool readable = message.payload() == "later" && message.topic() == "t";
        host_.complete(message.id(), readable ? Result::ok : Result::reject);
        host_.wake();
      });
      return Result::pending;
    }
    if (verb == "name") host_.log(Level::info, host_.name());
    if (verb == "alarm") host_.wake_at(host_.now() + 10s);
    if (verb == "throw") throw std::runtime_error("boom");
    if (verb == "attempt") return message.attempt() > 1 ? Result::ok : Result::retry;
    return Result::ok;
  }

  Host host_;
  fastmqtt::Counter seen_;
  std::jthread thread_;
};

TEST(Tester, KeepsWhatIsPublishedWithItsProperties) {
  HandlerTester tester;
  EXPECT_EQ(tester.deliver("t", "publish"), Result::ok);
  ASSERT_EQ(tester.published().size(), 1u);
  const auto published = tester.published()[0];
  EXPECT_EQ(published.topic, "out");
  EXPECT_EQ(published.payload, "x");
  EXPECT_EQ(published.qos, 2);
  EXPECT_TRUE(published.retain);
  EXPECT_EQ(published.content_type, "text/plain");
  EXPECT_EQ(published.expires_in, 5u);
  EXPECT_THAT(published.user_properties, ElementsAre(Pair("k", "v")));
}

TEST(Tester, AnswersARequestWhereItSays) {
  HandlerTester tester;
  EXPECT_EQ(tester.deliver({.topic = "t",
                            .payload = "reply",
                            .response_topic = "answers/1",
                            .correlation_data = std::string("\0id", 3)}),
            Result::ok);
  EXPECT_EQ(tester.published()[0].topic, "answers/1");
  EXPECT_EQ(tester.published()[0].correlation_data, std::string("\0id", 3));
  EXPECT_EQ(tester.deliver("t", "reply"), Result::reject) << "nobody wants an answer";
}

TEST(Tester, PlaysAFullWayOut) {
  HandlerTester tester;
  tester.set_publish_answer(Result::retry);
  EXPECT_EQ(tester.deliver("t", "publish"), Result::retry);
  EXPECT_THAT(tester.published(), IsEmpty());
}

TEST(Tester, RefusesWhatTheDaemonWouldRefuse) {
  HandlerTester tester;
  EXPECT_EQ(tester.deliver("t", "bad qos"), Result::reject);
  EXPECT_THAT(tester.published(), IsEmpty());
  EXPECT_EQ(tester.last_log(), "cannot publish to out");
  EXPECT_THROW(HandlerTester({{"unknown", "1"}}), std::runtime_error);
  EXPECT_THROW(tester.deliver("a/+", "x"), std::invalid_argument);
  EXPECT_THROW(tester.deliver({.topic = "a", .qos = 3}), std::invalid_argument);
}

TEST(Tester, WaitsForAThreadOfTheHandlers) {
  HandlerTester tester;
  EXPECT_EQ(tester.deliver("t", "later"), Result::pending);
  EXPECT_EQ(tester.answer_to(tester.last_id()), Result::ok);
  tester.wait_for_wake();
  EXPECT_THAT(tester.logs(), ElementsAre("wait for it", "woken"));
  EXPECT_THAT(tester.levels(), ElementsAre(Level::debug, Level::info));
  EXPECT_THROW(tester.answer_to(999, 1ms), std::runtime_error);
}

TEST(Tester, MovesTheClock) {
  HandlerTester tester;
  tester.deliver("t", "alarm");
  EXPECT_EQ(tester.alarm(), 10s);
  tester.advance(9s);
  EXPECT_THAT(tester.logs(), IsEmpty());
  tester.advance(1s);
  EXPECT_EQ(tester.last_log(), "woken");
  EXPECT_FALSE(tester.wake());
}

TEST(Tester, HandsOverBatches) {
  HandlerTester tester;
  EXPECT_THAT(tester.deliver_batch({{.topic = "t", .payload = "attempt"},
                                    {.topic = "t", .payload = "attempt", .attempt = 2},
                                    {.topic = "t", .payload = "x"}}),
              ElementsAre(Result::retry, Result::ok, Result::ok));
  EXPECT_THAT(tester.counts(), ElementsAre(Pair("seen", 3u)));
}

TEST(Tester, HandsOverAsMuchAsTheDaemonWould) {
  HandlerTester tester;
  EXPECT_EQ(tester
                .deliver_batch(std::vector<fastmqtt::testing::TestMessage>(
                    300, {.topic = "t", .payload = "size"}))
                .size(),
            300u);
  EXPECT_THAT(tester.logs(), ElementsAre("256", "44"));
}

TEST(Tester, GivesTheInstanceAName) {
  HandlerTester tester({}, "another");
  EXPECT_EQ(tester.deliver("t", "name"), Result::ok);
  EXPECT_EQ(tester.last_log(), "another");
}

TEST(Tester, ShowsThatAThrowAnswersRetry) {
  HandlerTester tester;
  EXPECT_EQ(tester.deliver("t", "throw"), Result::retry);
  EXPECT_EQ(tester.last_log(), "boom");
}

}  // namespace

FASTMQTT_HANDLER(Everything, "everything", "1.0", 0);
