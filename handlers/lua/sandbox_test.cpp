// Scripts and messages that would do harm.
#include "handlers/lua/lua_test.hpp"

namespace fastmqtt::lua::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST_F(LuaHandler, HasNothingThatReachesTheSystem) {
  EXPECT_EQ(log_of(R"(
    local left = {}
    for _, name in ipairs {"io", "package", "debug", "require", "load", "loadfile", "dofile",
                           "xpcall", "warn", "loadstring"} do
      if _G[name] then left[#left + 1] = name end
    end
    for name in pairs(os) do left[#left + 1] = name end
    for name in pairs(string) do if name == "dump" then left[#left + 1] = name end end
    table.sort(left)
    print(table.concat(left, " "), ("x").dump)
  )"),
            "clock date difftime time nil");
}

TEST_F(LuaHandler, HasTheRestOfLua) {
  EXPECT_EQ(log_of(R"(
    local wrapped = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end)
    local co = coroutine.create(function() error({code = 7}) end)
    local ok, problem = coroutine.resume(co)
    print(wrapped(1), wrapped(5), pcall(wrapped), ok, problem.code, coroutine.close(co),
          table.concat(table.move({1, 2, 3}, 1, 3, 2), ","), ("ab"):rep(2, "-"),
          os.date("!%F", 0), utf8.char(228), math.type(1), #table.pack(table.unpack({1, 2})),
          select("#", 1, 2), string.format("%5.1f", 2.25), collectgarbage("count") > 1,
          collectgarbage())
  )"),
            "2 10 false false 7 false 1,1,2,3 ab-ab 1970-01-01 ä integer 2 2   2.2 true 0");
}

TEST_F(LuaHandler, ScriptsDoNotShareAnything) {
  write("n = 0 function on_message(m) n = n + 1 print(n, string.own) string.own = 1 end");
  HandlerTester one({{"script", file("x.lua")}}), other({{"script", file("x.lua")}});
  one.deliver("a", "");
  other.deliver("a", "");
  EXPECT_EQ(other.last_log(), "1 nil");
}

// What each of them would do without limits: never end, or take all memory.
class Hostile : public LuaHandler, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(
    Scripts, Hostile,
    ::testing::Values(
        "while true do end", "while true do pcall(function() while true do end end) end",
        "local function f() while true do pcall(f) end end f()", "while true do pcall(error) end",
        "while true do pcall(pcall, error) end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) end",
        "local s = 'x' while true do s = s .. s end", "('x'):rep(1 << 40)", "(''):rep(1 << 60)",
        "('x'):rep(1 << 20, ('y'):rep(1 << 20))", "string.format('%s', ('x'):rep(1 << 34))",
        "local function f() return f() + 1 end f()", "local function f() return f() end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x.y",
        "table.move({}, 1, 1 << 60, 2)", "table.move({}, -(1 << 62), (1 << 62), 1)",
        "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)",
        "table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)",
        "table.sort(setmetatable({}, {__len = function() return 1 << 30 end, __index = rawlen}))",
        "table.concat(setmetatable({}, {__index = rawlen}), '', 1, 1 << 60)",
        "table.unpack({}, 1, 1 << 30)", "table.sort({3, 1, 2}, function() while true do end end)",
        "('x'):rep(100):gsub('.', function() while true do end end)",
        "coroutine.wrap(function() while true do end end)()",
        "while true do coroutine.wrap(function() end)() end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local function f() for i = 1, 9 do coroutine.wrap(f)() end end f()",
        "local function f() for i = 1, 9 do pcall(coroutine.wrap(f)) end end f()",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end)"
        " while true do co() end",
        "local x <close> = setmetatable({}, {__close = function() while true do end end})"
        " while true do end",
        "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function()"
        " while true do end end}) while true do end end)()",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close ="
        " function() while true do end end}) while true do end end)"
        " pcall(coroutine.resume, co) coroutine.close(co)",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close ="
        " function() while true do end end}) coroutine.yield() end)"
        " coroutine.resume(co) coroutine.close(co) while true do end",
        "setmetatable({}, {__gc = function() while true do end end}) collectgarbage()",
        "collectgarbage('stop')", "error()", "error(nil)", "error({})", "error(print)", "error(7)",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "return setmetatable({}, {__tostring = function() while true do end end})",
        "print(setmetatable({}, {__tostring = function() while true do end end}))",
        "print(setmetatable({}, {__tostring = function() return {} end}))",
        "error(('x'):rep(1 << 20))", "error('a\\0b\\n\\27[31m')",
        "local s = ('x'):rep(1 << 20) while true do mqtt.publish('a', s) end",
        "while true do timer.after(1, print) end",
        "local t = {} for i = 1, 200 do t = {t, t} end json.encode(t)",
        "string.format('%99999d', 1)", "os.exit()", "os.date('%Ez')", "string.rep()",
        "mqtt.publish()", "mqtt.reply()", "mqtt.reply({}, 'x')", "timer.cancel({})",
        "json.decode()", "json.encode()", "msg.number()", "msg.json({})",
        "msg.payload = nil return msg:json()",
        "setmetatable(_G, {__index = function() while true do end end}) return nothing",
        "return ('x'):rep(1 << 20)", "on_message = nil return nothing()",
        "for k in pairs(_G) do _G[k] = nil end on_message()"));

TEST_P(Hostile, EndsAsAnErrorAndIsFollowedByOthers) {
  HandlerTester& tester = start(std::string("function good() return 'ok' end\n") +
                                    "function on_message(msg)\n  if msg.payload == 'good' then "
                                    "return end\n  " +
                                    GetParam() + "\nend\n",
                                {{"max_instructions", "200000"}, {"max_memory", "4MiB"}});
  const auto began = Clock::now();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(tester.deliver("a", "bad"), Result::retry);
  EXPECT_LT(Clock::now() - began, 15s);
  EXPECT_FALSE(tester.last_log().empty());
  EXPECT_LT(tester.last_log().size(), 2000u);
  EXPECT_THAT(tester.published(), IsEmpty());
}

TEST_F(LuaHandler, SaysWhichLimitWasExceeded) {
  EXPECT_THAT(log_of("while true do end"), StartsWith("x.lua:1: the call exceeded max_instruc"));
  EXPECT_THAT(log_of("(''):rep(1 << 60)"), StartsWith("x.lua:1: the call exceeded max_instruc"));
  EXPECT_THAT(log_of("local t = {} for i = 1, 1e9 do t[i] = i end"),
              HasSubstr("not enough memory; max_memory is 16MiB"));
  EXPECT_THAT(log_of("setmetatable({}, {__gc = print})"), HasSubstr("__gc is not to be had here"));
}

TEST_F(LuaHandler, ItsDeadlineEndsWhatTakesTooLong) {
  // In instructions it is cheap, in time it is not.
  HandlerTester& tester = start(
      "local s = ('x'):rep(8 << 20)\n"
      "function on_message(m) while true do s:find('y', 1, true) s:reverse() end end",
      {{"max_memory", "1GiB"}, {"max_instructions", "10000000000"}});
  const auto began = Clock::now();
  EXPECT_EQ(tester.deliver("a", ""), Result::retry);
  EXPECT_LT(Clock::now() - began, 9s);
  EXPECT_THAT(tester.last_log(), HasSubstr("the call took too long"));
}

TEST_F(LuaHandler, HostileMessagesAreOnlyText) {
  HandlerTester& tester = start(R"(
    function on_message(m)
      mqtt.publish("out/" .. #m.topic, m.payload)
      m:json() m:number()
      print(m.topic, m.payload)
    end)",
                                {{"max_memory", "64MiB"}});
  for (const std::string& payload :
       {std::string(), std::string(1, '\0'), std::string("\xff\xfe"), std::string("../../x"),
        std::string("'\"\n]]"), std::string("%s%n${x}"), std::string(1 << 20, '['),
        std::string(4 << 20, 'x'), std::string("\x1bLua")}) {
    EXPECT_EQ(tester.deliver(std::string(10000, '/'), payload), Result::ok);
    EXPECT_EQ(tester.published().back().payload, payload);
  }
  EXPECT_EQ(tester.deliver("a", std::string(80 << 20, 'x')), Result::retry);
  EXPECT_THAT(tester.last_log(), HasSubstr("max_memory is 64MiB"));
  EXPECT_EQ(tester.deliver("a", "and it goes on"), Result::ok);
}

}  // namespace
}  // namespace fastmqtt::lua::testing
