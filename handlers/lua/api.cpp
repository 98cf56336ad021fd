#include "handlers/lua/api.hpp"

#include <algorithm>

#include "handlers/lua/json.hpp"
#include "handlers/lua/machine.hpp"

namespace fastmqtt::lua {
namespace {

using std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kLongestLine = 65'536;  // of the log
constexpr Seconds kShortestPeriod{0.01};
constexpr Seconds kLongest = std::chrono::hours(24 * 366 * 10);

constexpr std::pair<const char*, Level> kLevels[] = {{"debug", Level::debug},
                                                     {"info", Level::info},
                                                     {"warning", Level::warning},
                                                     {"error", Level::error}};

}  // namespace

void Api::set_function(lua_State* state, const char* name, lua_CFunction function) {
  lua_pushlightuserdata(state, this);
  lua_pushcclosure(state, function, 1);
  lua_setfield(state, -2, name);
}

void Api::open(lua_State* state,
               const std::vector<std::pair<std::string, std::string>>& parameters) {
  open_messages(state);
  push_json_library(state);
  lua_setglobal(state, "json");

  lua_newtable(state);
  set_function(state, "publish", guarded<publish>);
  set_function(state, "reply", guarded<reply>);
  lua_pushlstring(state, host_.name().data(), host_.name().size());
  lua_setfield(state, -2, "handler");
  lua_setglobal(state, "mqtt");

  lua_newtable(state);
  for (const auto& [name, level] : kLevels) {
    lua_pushlightuserdata(state, this);
    lua_pushinteger(state, static_cast<lua_Integer>(level));
    lua_pushcclosure(state, guarded<log>, 2);
    lua_setfield(state, -2, name);
  }
  lua_setglobal(state, "log");

  lua_newtable(state);
  set_function(state, "after", guarded<after>);
  set_function(state, "every", guarded<every>);
  set_function(state, "cancel", guarded<cancel>);
  set_function(state, "now", guarded<now>);
  lua_setglobal(state, "timer");

  lua_newtable(state);
  for (const auto& [name, value] : parameters) {
    lua_pushlstring(state, value.data(), value.size());
    lua_setfield(state, -2, name.c_str());
  }
  lua_setglobal(state, "parameters");

  lua_pushglobaltable(state);
  set_function(state, "print", guarded<print>);
  lua_pop(state, 1);
}

std::deque<Publication> Api::end() {
  about_ = nullptr;
  published_bytes_ = 0;
  return std::exchange(published_, {});
}

// ---- mqtt ---------------------------------------------------------------------------------------

void Api::take(lua_State* state, Publication publication) {
  // --check loads it too, and a reload beside the one that runs.
  if (!loaded_)
    luaL_error(state,
               "nothing can be published while the script is loaded: "
               "timer.after(0, ...) runs a function right after that");
  published_bytes_ += publication.size;
  if (published_bytes_ > Machine::of(state).limits().memory)
    luaL_error(state, "one call publishes more than max_memory");
  published_.push_back(std::move(publication));
}

int Api::publish(lua_State* state) {
  of(state).take(state, to_publication(state));
  return 0;
}

// reply(msg, payload, options): as publish(), with the topic and the correlation data of msg.
int Api::reply(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  lua_settop(state, 3);
  lua_getfield(state, 1, "properties");
  luaL_argcheck(state, lua_istable(state, 4), 1, "expected a message");
  lua_getfield(state, 4, "response_topic");
  const bool wanted = !lua_isnil(state, 5);
  if (wanted) {
    lua_getfield(state, 4, "correlation_data");
    std::size_t size = 0;
    const char* const data = lua_tolstring(state, 6, &size);
    const std::string correlation_data = data ? std::string(data, size) : "";
    lua_settop(state, 5);
    lua_replace(state, 1);
    Publication publication = to_publication(state);
    if (data) publication.options.properties.correlation_data(correlation_data);
    of(state).take(state, std::move(publication));
  }
  lua_pushboolean(state, wanted ? 1 : 0);
  return 1;
}

// ---- log ----------------------------------------------------------------------------------------

void Api::log_arguments(lua_State* state, Level level) const {
  if (!host_.logs(level)) return;
  std::string text;
  const int count = lua_gettop(state);
  for (int i = 1; i <= count; ++i) {
    std::size_t size = 0;
    const char* const part = luaL_tolstring(state, i, &size);
    text += (i > 1 ? " " : "") + std::string(part, size);
    lua_pop(state, 1);
    if (text.size() <= kLongestLine) continue;
    text.resize(kLongestLine);
    text += "...";
    break;
  }
  if (about_)
    host_.log(level, text, *about_);
  else
    host_.log(level, text);
}

int Api::log(lua_State* state) {
  of(state).log_arguments(state, static_cast<Level>(lua_tointeger(state, lua_upvalueindex(2))));
  return 0;
}

int Api::print(lua_State* state) {
  of(state).log_arguments(state, Level::info);
  return 0;
}

// ---- timer --------------------------------------------------------------------------------------

int Api::add_timer(lua_State* state, bool again) {
  const Seconds seconds(luaL_checknumber(state, 1));
  luaL_checktype(state, 2, LUA_TFUNCTION);
  luaL_argcheck(state, seconds >= (again ? kShortestPeriod : Seconds(0)) && seconds <= kLongest, 1,
                again ? "expected seconds, 0.01 or more, ten years at most"
                      : "expected seconds, 0 or more, ten years at most");
  if (timers_.size() == Timers::kMost)
    return luaL_error(state, "there are %d timers already", static_cast<int>(Timers::kMost));
  // Not in this turn of the timers, whatever the clock says.
  const auto period = std::max(std::chrono::duration_cast<nanoseconds>(seconds), nanoseconds(1));
  lua_settop(state, 2);
  const int function = luaL_ref(state, LUA_REGISTRYINDEX);
  lua_pushinteger(state, timers_.add({.due = host_.now() + period,
                                      .period = again ? period : nanoseconds(0),
                                      .function = function}));
  return 1;
}

int Api::after(lua_State* state) { return of(state).add_timer(state, false); }
int Api::every(lua_State* state) { return of(state).add_timer(state, true); }

int Api::cancel(lua_State* state) {
  const auto function = of(state).timers_.remove(luaL_checkinteger(state, 1));
  if (function) luaL_unref(state, LUA_REGISTRYINDEX, *function);
  lua_pushboolean(state, function ? 1 : 0);
  return 1;
}

int Api::now(lua_State* state) {
  lua_pushnumber(state, Seconds(of(state).host_.now()).count());
  return 1;
}

void Api::call_timer(lua_State* state, std::int64_t id) {
  const Timers::Timer timer = timers_.at(id);
  lua_rawgeti(state, LUA_REGISTRYINDEX, timer.function);
  if (timer.period > nanoseconds(0)) {
    timers_.advance(id, host_.now());
  } else {
    timers_.remove(id);
    luaL_unref(state, LUA_REGISTRYINDEX, timer.function);
  }
  lua_call(state, 0, 0);
}

}  // namespace fastmqtt::lua
