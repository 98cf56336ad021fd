#include "handlers/lua/sandbox.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "handlers/lua/machine.hpp"

namespace fastmqtt::lua {
namespace {

// Not load and its kin: they take bytecode, and files.  Not xpcall: its handler would run where
// the limits have no effect; pcall does.
constexpr std::array<std::string_view, 19> kGlobals{
    "_G",     "_VERSION",     "assert",   "collectgarbage", "error",  "getmetatable", "ipairs",
    "next",   "pairs",        "pcall",    "rawequal",       "rawget", "rawlen",       "rawset",
    "select", "setmetatable", "tonumber", "tostring",       "type"};
constexpr std::array<std::string_view, 4> kOs{"clock", "date", "difftime", "time"};

lua_CFunction replaced(lua_State* state) { return lua_tocfunction(state, lua_upvalueindex(1)); }

void spend(lua_State* state, lua_Integer instructions) {
  Machine::of(state).spend(state,
                           static_cast<std::uint64_t>(std::max<lua_Integer>(instructions, 0)));
}

constexpr lua_Integer kCopies = 10;  // take as long as an instruction

// ---- what runs long within one instruction pays as if it was many ------------------------------

int string_rep(lua_State* state) {
  spend(state, luaL_checkinteger(state, 2) / kCopies);
  return replaced(state)(state);
}

int table_move(lua_State* state) {
  const lua_Integer from = luaL_checkinteger(state, 2), to = luaL_checkinteger(state, 3);
  if (to >= from)
    Machine::of(state).spend(state,
                             static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from));
  return replaced(state)(state);
}

// The length of an ordinary table has cost memory; that of others is what they say.
int any_length(lua_State* state) {
  if (luaL_getmetafield(state, 1, "__len") != LUA_TNIL) {
    lua_pop(state, 1);
    spend(state, luaL_len(state, 1));
  }
  return replaced(state)(state);
}

// ---- what would escape the limits --------------------------------------------------------------

// A finalizer is never interrupted, however long it runs.
int set_metatable(lua_State* state) {
  if (lua_istable(state, 2)) {
    lua_pushliteral(state, "__gc");
    if (lua_rawget(state, 2) != LUA_TNIL) return luaL_error(state, "__gc is not to be had here");
    lua_pop(state, 1);
  }
  return replaced(state)(state);
}

// A coroutine counts its instructions for itself: many short ones would never come to a tick.
int coroutine_create(lua_State* state) {
  spend(state, Machine::kTick);
  return replaced(state)(state);
}

// Lua's own closes what is to be closed in a coroutine that has ended by an error, and of one that
// a limit has ended nothing would interrupt that.
int resume_wrapped(lua_State* state) {
  lua_pushvalue(state, lua_upvalueindex(2));
  lua_insert(state, 1);
  const int results = replaced(state)(state);  // coroutine.resume
  if (lua_toboolean(state, -results) != 0) return results - 1;
  return lua_error(state);
}
int coroutine_wrap(lua_State* state) {
  coroutine_create(state);
  lua_pushvalue(state, lua_upvalueindex(2));
  lua_insert(state, -2);
  lua_pushcclosure(state, resume_wrapped, 2);
  return 1;
}
int coroutine_close(lua_State* state) {
  lua_State* const coroutine = lua_tothread(state, 1);
  if (!coroutine || lua_status(coroutine) <= LUA_YIELD) return replaced(state)(state);
  lua_pushboolean(state, 0);
  lua_pushliteral(state, "it has ended by an error");
  return 2;
}

int collect_garbage(lua_State* state) {
  const std::string_view what = luaL_optstring(state, 1, "collect");
  if (what == "count") {
    lua_pushnumber(state, static_cast<lua_Number>(Machine::of(state).memory_used()) / 1024);
    return 1;
  }
  if (what != "collect") return luaL_argerror(state, 1, "'collect' or 'count' is all there is");
  lua_gc(state, LUA_GCCOLLECT);
  lua_pushinteger(state, 0);
  return 1;
}

// ---- putting it there --------------------------------------------------------------------------

// Of the table on top.
void keep_only(lua_State* state, std::span<const std::string_view> names) {
  for (lua_pushnil(state); lua_next(state, -2) != 0; lua_pop(state, 1)) {
    const std::string_view name = lua_tostring(state, -2);
    if (std::ranges::find(names, name) != names.end()) continue;
    lua_pushnil(state);
    lua_setfield(state, -4, name.data());
  }
}

// `function` finds what it stands for, by `name` in the table on top, as its first upvalue.
void replace(lua_State* state, const char* name, lua_CFunction function) {
  lua_getfield(state, -1, name);
  lua_pushcclosure(state, function, 1);
  lua_setfield(state, -2, name);
}

void open(lua_State* state, const char* name, lua_CFunction open) {
  luaL_requiref(state, name, open, 1);
}

void open_coroutine(lua_State* state) {
  open(state, LUA_COLIBNAME, luaopen_coroutine);
  lua_getfield(state, -1, "create");
  lua_getfield(state, -2, "resume");
  lua_pushcclosure(state, coroutine_wrap, 2);
  lua_setfield(state, -2, "wrap");
  replace(state, "create", coroutine_create);
  replace(state, "close", coroutine_close);
  lua_pop(state, 1);
}

}  // namespace

void open_libraries(lua_State* state) {
  open(state, LUA_GNAME, luaopen_base);
  keep_only(state, kGlobals);
  replace(state, "setmetatable", set_metatable);
  replace(state, "collectgarbage", collect_garbage);
  open(state, LUA_MATHLIBNAME, luaopen_math);
  open(state, LUA_UTF8LIBNAME, luaopen_utf8);
  open(state, LUA_OSLIBNAME, luaopen_os);
  keep_only(state, kOs);
  open(state, LUA_STRLIBNAME, luaopen_string);
  replace(state, "rep", string_rep);
  lua_pushnil(state);
  lua_setfield(state, -2, "dump");
  open(state, LUA_TABLIBNAME, luaopen_table);
  replace(state, "move", table_move);
  for (const char* name : {"concat", "insert", "remove", "sort", "unpack"})
    replace(state, name, any_length);
  lua_pop(state, 6);
  open_coroutine(state);
}

}  // namespace fastmqtt::lua
