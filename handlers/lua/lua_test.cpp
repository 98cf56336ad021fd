#include "handlers/lua/lua.cpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <initializer_list>
#include <utility>
#include <vector>

#include "handlers/lua/lua_test.hpp"

namespace {

using namespace fastmqtt::lua::testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::vector<std::string> topics_and_payloads(const HandlerTester& tester) {
  std::vector<std::string> all;
  for (const TestMessage& one : tester.published()) all.push_back(one.topic + " " + one.payload);
  return all;
}

// ---- messages and answers ----------------------------------------------------------------------

TEST_F(LuaHandler, SeesAllOfAMessage) {
  HandlerTester& tester = start(R"(
    function on_message(m)
      local p = m.properties
      print(m.topic, #m.levels, m.levels[1] == "", m.levels[3], m.payload, m.qos, m.retain, m.dup,
            m.attempt, m.message_id, math.type(m.received), p.content_type, p.response_topic,
            p.correlation_data, p.expires_in, p.payload_is_text, p.user.unit, #p.user.twice,
            p.user.twice[2], mqtt.handler, parameters.limit + 1, parameters.none)
    end)",
                                {{"parameters.limit", "20"}});
  EXPECT_EQ(tester.deliver({.topic = "/a/b",
                            .payload = "21.5",
                            .qos = 2,
                            .retain = true,
                            .attempt = 3,
                            .user_properties = {{"unit", "C"}, {"twice", "1"}, {"twice", "2"}},
                            .content_type = "text/plain",
                            .response_topic = "r",
                            .correlation_data = "c",
                            .expires_in = 60,
                            .payload_is_text = true,
                            .message_id = 77}),
            Result::ok);
  EXPECT_EQ(tester.last_log(),
            "/a/b 3 true b 21.5 2 true false 3 77 float text/plain r c 60 true C 2 2 lua 21 nil");
}

TEST_F(LuaHandler, ReadsNumbersAndJson) {
  HandlerTester& tester = start(R"(
    function on_message(m)
      local value, problem = m:json()
      print(m:number(), math.type(m:number()), value == nil and problem or json.encode(value))
    end)");
  const auto seen = [&](const std::string& payload) {
    EXPECT_EQ(tester.deliver("a", payload), Result::ok);
    return tester.last_log();
  };
  EXPECT_EQ(seen("20"), "20 integer 20");
  EXPECT_EQ(seen("-2.5e1"), "-25.0 float -25.0");
  EXPECT_THAT(seen("0x10"), StartsWith("nil nil parse error at line 1"));
  EXPECT_THAT(seen(""), StartsWith("nil nil parse error"));
  EXPECT_THAT(seen("{\"a\":"), HasSubstr("parse error"));
  EXPECT_THAT(seen("\"\xff\""), HasSubstr("invalid"));
  EXPECT_THAT(seen("1e999"), HasSubstr("overflow"));
  EXPECT_THAT(seen(R"({"b":[],"a":{},"n":null,"l":[1,null,2.0,"\u00e4\u0000"],"t":true})"),
              HasSubstr(R"({"a":{},"b":[],"l":[1,null,2.0,"ä\u0000"],"n":null,"t":true})"));
  EXPECT_THAT(seen("18446744073709551615"), HasSubstr("1.8446744073709552e+19"));
  EXPECT_THAT(seen(std::string(101, '[')), HasSubstr("nested deeper than 100"));
  EXPECT_THAT(seen(std::string(100, '[') + std::string(100, ']')), HasSubstr("[[[["));
}

TEST_F(LuaHandler, EncodesWhatIsJsonAndNothingElse) {
  HandlerTester& tester = start(R"(
    local cycle = {} cycle.x = cycle
    local heavy = {} for i = 1, 60 do heavy = {heavy, heavy} end
    values = {{}, json.array(), json.array{1, 2}, {1, {x = "y"}}, {1, nil, 3}, {[2] = 1},
              {1, x = 1}, 0/0, 1/0, print, cycle, heavy, "\xff", {[{}] = 1}, json.null, 2^53, nil}
    function on_message(m) print(json.encode(values[m:number()])) end)");
  const auto encoded = [&](int index) {
    tester.deliver("a", std::to_string(index));
    return tester.last_log();
  };
  EXPECT_EQ(encoded(1), "{}");
  EXPECT_EQ(encoded(2), "[]");
  EXPECT_EQ(encoded(3), "[1,2]");
  EXPECT_EQ(encoded(4), R"([1,{"x":"y"}])");
  for (const int mixed : {5, 6, 7, 14})
    EXPECT_THAT(encoded(mixed), HasSubstr("for a key")) << mixed;
  EXPECT_THAT(encoded(8), HasSubstr("not finite"));
  EXPECT_THAT(encoded(9), HasSubstr("not finite"));
  EXPECT_THAT(encoded(10), HasSubstr("a function cannot be JSON"));
  EXPECT_THAT(encoded(11), HasSubstr("nested deeper"));
  EXPECT_THAT(encoded(12), HasSubstr("too large"));
  EXPECT_THAT(encoded(13), AllOf(StartsWith("x.lua:6: invalid UTF-8"), HasSubstr("0xFF")));
  EXPECT_EQ(encoded(15), "null");
  EXPECT_EQ(encoded(16), "9.007199254740992e+15");
  EXPECT_EQ(encoded(17), "null");
}

TEST_F(LuaHandler, AnswersWhatTheScriptReturns) {
  HandlerTester& tester = start(R"(
    local answers = {none = {}, yes = {true}, ok = {"ok"}, retry = {"retry", "not yet"},
                     reject = {"reject"}, why = {"reject", "why not"}, no = {false}, odd = {{}},
                     word = {"rejekt"}}
    function on_message(m) return table.unpack(answers[m.payload]) end)");
  for (const char* ok : {"none", "yes", "ok"}) EXPECT_EQ(tester.deliver("a", ok), Result::ok) << ok;
  EXPECT_EQ(tester.deliver("a", "reject"), Result::reject);
  EXPECT_THAT(tester.logs(), IsEmpty());
  EXPECT_EQ(tester.deliver("a", "retry"), Result::retry);
  EXPECT_EQ(tester.last_log(), "not yet");
  EXPECT_EQ(tester.deliver("a", "why"), Result::reject);
  EXPECT_EQ(tester.last_log(), "why not");
  EXPECT_EQ(tester.deliver("a", "no"), Result::retry);
  EXPECT_THAT(tester.last_log(), StartsWith("on_message returned false: expected nothing"));
  EXPECT_EQ(tester.deliver("a", "odd"), Result::retry);
  EXPECT_EQ(tester.deliver("a", "word"), Result::retry);
  EXPECT_THAT(tester.last_log(), StartsWith("on_message returned rejekt"));
}

TEST_F(LuaHandler, AnErrorIsTriedAgainAndSaysWhere) {
  HandlerTester& tester = start(
      "local function deep(m)\n  return m.payload.x.y\nend\n"
      "function on_message(m)\n  deep(m)\nend\n");
  EXPECT_EQ(tester.deliver("a", "x"), Result::retry);
  EXPECT_EQ(tester.last_log(),
            "x.lua:2: attempt to index a nil value (field 'x') (x.lua:2: in upvalue 'deep' < "
            "x.lua:5: in function 'on_message')");
  EXPECT_EQ(tester.levels().back(), Level::error);
}

TEST_F(LuaHandler, KeepsItsStateAndMayKeepMessages) {
  HandlerTester& tester = start(R"(
    seen = {}
    function on_message(m)
      seen[#seen + 1] = m
      m.payload = m.payload .. "!"
      if #seen == 3 then print(seen[1].topic, seen[2].payload, seen[1]:json() == nil) end
    end)");
  for (const char* topic : {"a", "b", "c"}) EXPECT_EQ(tester.deliver(topic, topic), Result::ok);
  EXPECT_EQ(tester.last_log(), "a b! true");
}

TEST_F(LuaHandler, LogsWithLevels) {
  HandlerTester& tester = start(R"(
    log.debug("while it is loaded")
    function on_message(m)
      log.debug(1) log.info("a", nil, {} ~= nil) log.warning("w\0w") log.error() print("p", 2)
    end)");
  tester.deliver("a", "");
  EXPECT_THAT(tester.logs(), ElementsAre("while it is loaded", "1", "a nil true",
                                         std::string("w\0w", 3), "", "p 2"));
  EXPECT_THAT(tester.levels(), ElementsAre(Level::debug, Level::debug, Level::info, Level::warning,
                                           Level::error, Level::info));
}

// ---- publishing --------------------------------------------------------------------------------

TEST_F(LuaHandler, PublishesWithEverything) {
  HandlerTester& tester = start(R"(
    function on_message(m)
      mqtt.publish("out/1", 21.5, {qos = 2, retain = true, content_type = "t/x", expires_in = 60,
        response_topic = "r", correlation_data = "\0c", payload_is_text = true,
        user = {b = "2", a = {"1", 3}}})
      mqtt.publish("out/2", m.payload, m.properties)
      mqtt.publish("out/3", "", {qos = 0})
    end)");
  const TestMessage given{.topic = "a",
                          .payload = std::string("\0\xff'\"\n", 5),
                          .user_properties = {{"k", "1"}, {"k", "2"}},
                          .content_type = "x",
                          .expires_in = 5};
  EXPECT_EQ(tester.deliver(given), Result::ok);
  const auto all = tester.published();
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_EQ(all[0].payload, "21.5");
  EXPECT_EQ(all[0].qos, 2);
  EXPECT_TRUE(all[0].retain);
  EXPECT_EQ(all[0].content_type, "t/x");
  EXPECT_EQ(all[0].expires_in, 60u);
  EXPECT_EQ(all[0].response_topic, "r");
  EXPECT_EQ(all[0].correlation_data, std::string("\0c", 2));
  EXPECT_TRUE(all[0].payload_is_text);
  EXPECT_THAT(all[0].user_properties,
              ElementsAre(std::pair("a", "1"), std::pair("a", "3"), std::pair("b", "2")));
  EXPECT_EQ(all[1].payload, given.payload);
  EXPECT_EQ(all[1].qos, 1);
  EXPECT_EQ(all[1].user_properties, given.user_properties);
  EXPECT_EQ(all[1].expires_in, 5u);
  EXPECT_EQ(all[2].qos, 0);
}

TEST_F(LuaHandler, PublishesOnlyWhatIsWellFormed) {
  for (const auto& [call, problem] : std::initializer_list<std::pair<const char*, const char*>>{
           {"'a/+', ''", "topic: 'a/+' is no topic to publish to"},
           {"'', ''", "is no topic"},
           {"'a\\0b', ''", "is no topic"},
           {"('a'):rep(65536), ''", "longer than 65535"},
           {"nil, ''", "topic: expected a text or a number, not a nil"},
           {"'a'", "payload: expected a text or a number, not a nil"},
           {"'a', {}", "payload: expected a text or a number, not a table"},
           {"'a', '', 1", "table expected"},
           {"'a', '', {qos = 3}", "qos: expected a whole number from 0 to 2"},
           {"'a', '', {qos = 0.5}", "qos: expected a whole"},
           {"'a', '', {qos = 'x'}", "qos: expected a whole"},
           {"'a', '', {retain = 1}", "retain: expected true or false"},
           {"'a', '', {expires_in = -1}", "expires_in: expected a whole"},
           {"'a', '', {expires_in = 0/0}", "expires_in: expected a whole"},
           {"'a', '', {content_type = ('x'):rep(65536)}", "content_type: longer"},
           {"'a', '', {response_topic = '#'}", "response_topic: '#' is no topic"},
           {"'a', '', {user = 'x'}", "user: expected names"},
           {"'a', '', {user = {1}}", "user: expected texts for names"},
           {"'a', '', {user = {a = print}}", "user: expected a text"},
           {"'a', '', {user = {a = {print}}}", "user: expected a text"},
           {"'a', '', {topic = 'x'}", "there is no option 'topic'"},
           {"'a', '', {1}", "expected options with names"}}) {
    EXPECT_THAT(log_of(std::string("mqtt.publish(") + call + ")"),
                AllOf(StartsWith("x.lua:1: "), HasSubstr(problem)))
        << call;
    EXPECT_THAT(tester_->published(), IsEmpty()) << call;
  }
}

TEST_F(LuaHandler, AFailedCallPublishesNothing) {
  HandlerTester& tester = start(R"(
    function on_message(m)
      mqtt.publish("out", m.payload)
      if m.payload == "error" then error("no") end
      return m.payload
    end)");
  EXPECT_EQ(tester.deliver("a", "error"), Result::retry);
  EXPECT_EQ(tester.deliver("a", "retry"), Result::retry);
  EXPECT_THAT(tester.published(), IsEmpty());
  EXPECT_EQ(tester.deliver("a", "reject"), Result::reject);
  EXPECT_EQ(tester.deliver("a", "ok"), Result::ok);
  EXPECT_THAT(topics_and_payloads(tester), ElementsAre("out reject", "out ok"));
}

TEST_F(LuaHandler, RepliesToRequests) {
  HandlerTester& tester = start(
      "function on_message(m) print(mqtt.reply(m, 'pong', {qos = 0, content_type = 'x'})) end");
  EXPECT_EQ(tester.deliver({.topic = "a", .response_topic = "r", .correlation_data = "7"}),
            Result::ok);
  EXPECT_EQ(tester.last_log(), "true");
  EXPECT_EQ(tester.published().back().topic, "r");
  EXPECT_EQ(tester.published().back().correlation_data, "7");
  EXPECT_EQ(tester.published().back().content_type, "x");
  EXPECT_EQ(tester.published().back().qos, 0);
  EXPECT_EQ(tester.deliver("a", ""), Result::ok);
  EXPECT_EQ(tester.last_log(), "false");
  EXPECT_THAT(tester.published(), SizeIs(1));
  EXPECT_EQ(tester.deliver({.topic = "a", .response_topic = "a/#"}), Result::retry);
}

// A script remembers what it did: it is not asked again for what only found no room.
TEST_F(LuaHandler, WaitsForRoomWithoutAskingTheScriptTwice) {
  HandlerTester& tester = start(R"(
    local count = 0
    function on_message(m) count = count + 1 mqtt.publish("out", count) end)");
  tester.set_publish_answer(Result::retry);
  const TestMessage first{.topic = "a", .message_id = 1000};
  EXPECT_EQ(tester.deliver(first), Result::retry);
  EXPECT_EQ(tester.deliver(first), Result::retry);
  EXPECT_EQ(tester.logs(),
            std::vector<std::string>{"there is no room for what the script publishes: it waits"});
  tester.set_publish_answer(Result::ok);
  EXPECT_EQ(tester.deliver(first), Result::ok);
  EXPECT_EQ(tester.deliver({.topic = "a", .message_id = 1001}), Result::ok);
  EXPECT_THAT(topics_and_payloads(tester), ElementsAre("out 1", "out 2"));
  EXPECT_THAT(tester.logs(), SizeIs(2));
}

TEST_F(LuaHandler, RejectsWhatTheDaemonWillNotPublish) {
  HandlerTester& tester = start("function on_message(m) mqtt.publish('out', '') end");
  tester.set_publish_answer(Result::reject);
  EXPECT_EQ(tester.deliver("a", ""), Result::reject);
}

// ---- timers ------------------------------------------------------------------------------------

TEST_F(LuaHandler, TimersRingOnceOrAgain) {
  HandlerTester& tester = start(R"(
    timer.after(0, function() mqtt.publish("start", timer.now()) end)
    local ticks = timer.every(10, function() mqtt.publish("tick", timer.now()) end)
    timer.after(25, function() print(timer.cancel(ticks), timer.cancel(ticks)) end)
    function on_message(m) end)");
  tester.advance(1s);
  EXPECT_THAT(topics_and_payloads(tester), ElementsAre("start 1.0"));
  tester.advance(9s);
  tester.advance(10s);
  tester.advance(5s);
  EXPECT_EQ(tester.last_log(), "true false");
  EXPECT_EQ(tester.alarm(), std::nullopt);
  EXPECT_THAT(topics_and_payloads(tester), ElementsAre("start 1.0", "tick 10.0", "tick 20.0"));
}

TEST_F(LuaHandler, TimersThatWereMissedRingOnceAndInStep) {
  HandlerTester& tester = start(R"(
    timer.every(10, function() mqtt.publish("tick", timer.now()) end)
    function on_message(m) end)");
  tester.advance(47s);
  EXPECT_THAT(tester.published(), SizeIs(1));
  EXPECT_EQ(tester.alarm(), 50s);
}

TEST_F(LuaHandler, ATimerThatFailsPublishesNothingAndGoesOn) {
  HandlerTester& tester = start(R"(
    local n = 0
    timer.every(1, function()
      n = n + 1
      mqtt.publish("n", n)
      if n == 1 then error("oh") end
    end)
    function on_message(m) end)");
  tester.advance(1s);
  EXPECT_THAT(tester.last_log(), StartsWith("in a timer: x.lua:6: oh"));
  tester.advance(1s);
  EXPECT_THAT(topics_and_payloads(tester), ElementsAre("n 2"));
}

TEST_F(LuaHandler, WhatTimersPublishWaitsForRoom) {
  HandlerTester& tester = start(R"(
    local n = 0
    timer.every(1, function() n = n + 1 mqtt.publish("n", n) end)
    function on_message(m) mqtt.publish("m", m.payload) end)");
  tester.set_publish_answer(Result::retry);
  for (int i = 0; i < 5; ++i) tester.advance(1s);
  EXPECT_EQ(tester.deliver({.topic = "a", .payload = "x", .message_id = 9}), Result::retry);
  tester.set_publish_answer(Result::ok);
  EXPECT_EQ(tester.deliver({.topic = "a", .payload = "x", .message_id = 9}), Result::ok);
  tester.advance(1s);
  EXPECT_THAT(topics_and_payloads(tester), ElementsAre("n 1", "m x", "n 2"));
}

TEST_F(LuaHandler, MessagesDoNotPutOffWhatTimersHavePublished) {
  HandlerTester& tester = start(R"(
    timer.after(1, function() mqtt.publish("n", 1) end)
    function on_message(m) end)");
  tester.set_publish_answer(Result::retry);
  tester.advance(1s);
  tester.advance(500ms);
  EXPECT_EQ(tester.deliver("a", ""), Result::ok);
  EXPECT_EQ(tester.alarm(), 2s);
  tester.set_publish_answer(Result::ok);
  tester.advance(500ms);
  EXPECT_THAT(tester.published(), SizeIs(1));
}

TEST_F(LuaHandler, CutsLongLines) {
  EXPECT_EQ(log_of("log.info(('x'):rep(1 << 20), ('y'):rep(1 << 20))").size(), 65'539u);
}

TEST_F(LuaHandler, SaysOnceThatThereIsNoRoom) {
  HandlerTester& tester = start(R"(
    timer.after(1, function() for i = 1, 3 do mqtt.publish("n", i) end end)
    function on_message(m) end)");
  tester.set_publish_answer(Result::retry);
  for (int i = 0; i < 5; ++i) tester.advance(1s);
  EXPECT_THAT(tester.logs(), ElementsAre(HasSubstr("no room")));
  tester.set_publish_answer(Result::ok);
  tester.advance(1s);
  EXPECT_THAT(tester.logs(), SizeIs(2));
  EXPECT_THAT(topics_and_payloads(tester), ElementsAre("n 1", "n 2", "n 3"));
}

TEST_F(LuaHandler, TimersThatMakeTimersLetMessagesThrough) {
  HandlerTester& tester = start(R"(
    function again() n = (n or 0) + 1 timer.after(0, again) end
    again()
    function on_message(m) print(n) end)");
  tester.advance(1s);
  tester.deliver("a", "");
  EXPECT_EQ(tester.last_log(), "2");
}

TEST_F(LuaHandler, RefusesTimersThatCannotBe) {
  for (const char* call :
       {"timer.every(0, print)", "timer.every(0.001, print)", "timer.after(-1, print)",
        "timer.after(0/0, print)", "timer.after(1e300, print)", "timer.after(1)",
        "timer.after(1, 'x')", "for i = 1, 1001 do timer.after(1, print) end"}) {
    EXPECT_THAT(log_of(call), StartsWith("x.lua:1: ")) << call;
    EXPECT_EQ(tester_->deliver("a", ""), Result::retry) << call;
  }
}

// ---- what does not start -----------------------------------------------------------------------

TEST_F(LuaHandler, RefusesScriptsThatCannotRun) {
  EXPECT_THAT(refusal("x ="), StartsWith("script: x.lua:1: unexpected symbol near <eof>"));
  EXPECT_THAT(refusal("\n\nerror('no')"), StartsWith("script: x.lua:3: no"));
  EXPECT_THAT(refusal(""), HasSubstr("defines no function on_message"));
  EXPECT_THAT(refusal("on_message = 1"), HasSubstr("defines no function on_message"));
  EXPECT_THAT(refusal("\x1bLuaT"), HasSubstr("attempt to load a binary chunk"));
  EXPECT_THAT(refusal("while true do end"), HasSubstr("max_instructions"));
  EXPECT_THAT(refusal("x = ('x'):rep(32 << 20)"), HasSubstr("max_memory"));
  EXPECT_THAT(refusal("mqtt.publish('a', '')"),
              HasSubstr("x.lua:1: nothing can be published while the script is loaded"));
  EXPECT_THAT(refusal(std::string((1 << 20) + 1, ' ')), HasSubstr("larger than 1MiB"));
  EXPECT_THAT(refusal(std::string(1 << 20, '(')), HasSubstr("script: "));
}

TEST_F(LuaHandler, RefusesFilesThatAreNone) {
  EXPECT_EQ(fastmqttd::testing::refusal({}), "script: expected text");
  EXPECT_THAT(fastmqttd::testing::refusal({{"script", file("none.lua")}}),
              HasSubstr("no such file"));
  EXPECT_THAT(fastmqttd::testing::refusal({{"script", "x.lua"}}),
              HasSubstr("expected an absolute path"));
  EXPECT_THAT(fastmqttd::testing::refusal({{"script", directory_}}), HasSubstr("no regular file"));
  ASSERT_EQ(::mkfifo(file("pipe").c_str(), 0600), 0);
  EXPECT_THAT(fastmqttd::testing::refusal({{"script", file("pipe")}}),
              HasSubstr("no regular file"));
  EXPECT_THAT(fastmqttd::testing::refusal({{"script", "/dev/zero"}}), HasSubstr("no regular file"));
  EXPECT_THAT(fastmqttd::testing::refusal({{"script", std::string(5000, 'x').insert(0, "/")}}),
              HasSubstr("script"));
}

TEST_F(LuaHandler, RefusesScriptsThatOthersMayChange) {
  const std::string script = write("function on_message() end");
  ASSERT_EQ(::chmod(script.c_str(), 0666), 0);
  EXPECT_EQ(fastmqttd::testing::refusal({{"script", script}}),
            "script: it may be written by everybody: chmod o-w it");
  ASSERT_EQ(::chmod(script.c_str(), 0664), 0);
  EXPECT_EQ(fastmqttd::testing::refusal({{"script", script}}), "none");
}

TEST_F(LuaHandler, RefusesScriptsOfOthers) {
  const std::string script = write("function on_message() end");
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  ASSERT_EQ(::chown(script.c_str(), 12345, 0), 0);
  EXPECT_THAT(fastmqttd::testing::refusal({{"script", script}}),
              HasSubstr("script: it belongs to user 12345: expected"));
}

TEST_F(LuaHandler, RefusesOptionsOutOfRange) {
  const std::string good = "function on_message() end";
  EXPECT_THAT(refusal(good, {{"max_instructions", "1"}}),
              HasSubstr("max_instructions: expected a whole number from 10000"));
  EXPECT_THAT(refusal(good, {{"max_memory", "1KiB"}}), HasSubstr("from 1MiB to 1GiB"));
  EXPECT_THAT(refusal(good, {{"parameters", "x"}}), HasSubstr("parameters: expected names"));
  EXPECT_THAT(refusal(good, {{"parameters.a.b", "x"}}),
              HasSubstr("parameters.a: expected a single"));
  EXPECT_THAT(refusal(good, {{"parameter", "x"}}), HasSubstr("unknown option"));
}

TEST_F(LuaHandler, NamesItsFileToTheDaemon) {
  EXPECT_THAT(start("function on_message() end").used_files(), ElementsAre(file("x.lua")));
}

// ---- the examples ------------------------------------------------------------------------------

TEST_F(LuaHandler, ExampleAverage) {
  HandlerTester& tester = example("average.lua", {{"parameters.period", "10"}});
  for (const char* value : {"20", "21", "22.5"})
    EXPECT_EQ(tester.deliver("site/1/temperature", value), Result::ok);
  EXPECT_EQ(tester.deliver("site/1/temperature", "warm"), Result::reject);
  tester.advance(10s);
  EXPECT_THAT(topics_and_payloads(tester), ElementsAre("average/site/1/temperature 21.17"));
  tester.advance(10s);
  EXPECT_THAT(tester.published(), SizeIs(1));
}

TEST_F(LuaHandler, ExampleRelay) {
  HandlerTester& tester =
      example("relay.lua", {{"parameters.low", "19"}, {"parameters.high", "21"}});
  for (const char* value : {"20", "18.9", "20", "18", "21", "21.5", "20", "22", "18"})
    EXPECT_EQ(tester.deliver("home/hall/temperature", value), Result::ok);
  EXPECT_EQ(tester.deliver("home/hall/temperature", ""), Result::reject);
  EXPECT_THAT(
      topics_and_payloads(tester),
      ElementsAre("home/hall/relay/set on", "home/hall/relay/set off", "home/hall/relay/set on"));
  EXPECT_TRUE(tester.published().front().retain);
  EXPECT_THAT(([&] {
                try {
                  example("relay.lua", {{"parameters.low", "30"}});
                } catch (const std::exception& error) {
                  return std::string(error.what());
                }
                return std::string();
              })(),
              HasSubstr("low below high"));
}

TEST_F(LuaHandler, ExampleClean) {
  HandlerTester& tester = example("clean.lua");
  EXPECT_EQ(tester.deliver("raw/kitchen/dht22", R"({"temp_f": 70.7, "hum": null})"), Result::ok);
  EXPECT_THAT(topics_and_payloads(tester),
              ElementsAre(StartsWith(R"(clean/kitchen {"celsius":21.5,"device":"dht22","time":)")));
  for (const char* dull : {"{}", R"({"temp_f": null})", R"({"temp_f": 999})", "[]"})
    EXPECT_EQ(tester.deliver("raw/kitchen/dht22", dull), Result::ok) << dull;
  for (const char* bad : {"", "x", "7", R"({"temp_f": "70"})", R"({"temp_f": {}})"})
    EXPECT_EQ(tester.deliver("raw/kitchen/dht22", bad), Result::reject) << bad;
  EXPECT_THAT(tester.published(), SizeIs(1));
}

}  // namespace
