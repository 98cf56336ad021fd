#include "handlers/lua/json.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "handlers/lua/machine.hpp"

namespace fastmqtt::lua {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kDeepest = 100;
constexpr const char* kArray = "json.array";  // the metatable of what is a list, though it be empty

// Without the library's own number: "[json.exception.parse_error.101] parse error at ...".
std::string text_of(const std::exception& error) {
  const std::string_view what = error.what();
  const std::size_t end = what.starts_with('[') ? what.find("] ") : std::string_view::npos;
  return std::string(end == std::string_view::npos ? what : what.substr(end + 2));
}

// Makes Lua's values while the text is read, so that they count against the memory of the script.
// What is open lies on its stack: a list, or a map with the name of what comes next.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(lua_State* state) : state_(state) {}

  const std::string& error() const { return error_; }

  bool null() override {
    lua_pushlightuserdata(state_, nullptr);
    return add();
  }
  bool boolean(bool value) override {
    lua_pushboolean(state_, value ? 1 : 0);
    return add();
  }
  bool number_integer(number_integer_t value) override {
    lua_pushinteger(state_, value);
    return add();
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<number_unsigned_t>(LUA_MAXINTEGER))
      lua_pushinteger(state_, static_cast<lua_Integer>(value));
    else
      lua_pushnumber(state_, static_cast<lua_Number>(value));
    return add();
  }
  bool number_float(number_float_t value, const string_t&) override {
    lua_pushnumber(state_, value);
    return add();
  }
  bool string(string_t& value) override {
    lua_pushlstring(state_, value.data(), value.size());
    return add();
  }
  bool binary(binary_t&) override { return false; }  // not in a text
  bool start_object(std::size_t) override { return open(false); }
  bool key(string_t& name) override {
    lua_pushlstring(state_, name.data(), name.size());
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override {
    if (!open(true)) return false;
    luaL_setmetatable(state_, kArray);
    return true;
  }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    error_ = text_of(error);
    return false;
  }

 private:
  struct Open {
    bool list;
    lua_Integer members = 0;
  };

  bool open(bool list) {
    if (open_.size() == kDeepest) {
      error_ = "nested deeper than " + std::to_string(kDeepest);
      return false;
    }
    luaL_checkstack(state_, 4, "nested too deeply");
    lua_newtable(state_);
    open_.push_back({list});
    return true;
  }
  bool close() {
    open_.pop_back();
    return add();
  }
  // The value on top to what it stands in.
  bool add() {
    if (open_.empty()) return true;
    if (open_.back().list)
      lua_rawseti(state_, -2, ++open_.back().members);
    else
      lua_rawset(state_, -3);
    return true;
  }

  lua_State* state_;
  std::vector<Open> open_;
  std::string error_;
};

// Makes a text of Lua's values; no metamethod is asked.
class Reader {
 public:
  explicit Reader(lua_State* state) : state_(state), room_(Machine::of(state).limits().memory) {}

  // Of the value on top.
  Json read(std::size_t depth = 0) {
    if (depth > kDeepest) fail("nested deeper than " + std::to_string(kDeepest));
    take(sizeof(Json));
    switch (lua_type(state_, -1)) {
      case LUA_TNIL: return nullptr;
      case LUA_TBOOLEAN: return lua_toboolean(state_, -1) != 0;
      case LUA_TNUMBER: return number();
      case LUA_TSTRING: return text(-1);
      case LUA_TTABLE: return table(depth);
      default: break;
    }
    if (lua_touserdata(state_, -1) || lua_type(state_, -1) != LUA_TLIGHTUSERDATA)
      fail(std::string("a ") + luaL_typename(state_, -1) + " cannot be JSON");
    return nullptr;
  }

 private:
  [[noreturn]] static void fail(const std::string& what) { throw std::invalid_argument(what); }

  // What is shared by many may come to more than the script itself takes.
  void take(std::size_t bytes) {
    if (bytes > room_) fail("the value is too large");
    room_ -= bytes;
  }
  Json number() {
    if (lua_isinteger(state_, -1)) return lua_tointeger(state_, -1);
    const lua_Number value = lua_tonumber(state_, -1);
    if (!std::isfinite(value)) fail("a number that is not finite cannot be JSON");
    return value;
  }
  std::string text(int index) {
    std::size_t size = 0;
    const char* const bytes = lua_tolstring(state_, index, &size);
    take(size);
    return {bytes, size};
  }
  Json table(std::size_t depth) {
    luaL_checkstack(state_, 4, "nested too deeply");
    const lua_Unsigned length = lua_rawlen(state_, -1);
    lua_Unsigned members = 0;
    for (lua_pushnil(state_); lua_next(state_, -2) != 0; lua_pop(state_, 1)) ++members;
    if (members != length || (length == 0 && !is_array())) return object(depth);
    Json list = Json::array();
    for (lua_Unsigned i = 1; i <= length; ++i) {
      lua_rawgeti(state_, -1, static_cast<lua_Integer>(i));
      list.push_back(read(depth + 1));
      lua_pop(state_, 1);
    }
    return list;
  }
  Json object(std::size_t depth) {
    Json map = Json::object();
    for (lua_pushnil(state_); lua_next(state_, -2) != 0; lua_pop(state_, 1)) {
      if (lua_type(state_, -2) != LUA_TSTRING)
        fail("a table with a " + std::string(luaL_typename(state_, -2)) +
             " for a key that is no list 1, 2, ... cannot be JSON");
      std::string name = text(-2);
      map[std::move(name)] = read(depth + 1);
    }
    return map;
  }
  bool is_array() {
    if (lua_getmetatable(state_, -1) == 0) return false;
    luaL_getmetatable(state_, kArray);
    const bool same = lua_rawequal(state_, -1, -2) != 0;
    lua_pop(state_, 2);
    return same;
  }

  lua_State* const state_;
  std::size_t room_;
};

int decode(lua_State* state) {
  std::size_t size = 0;
  const char* const text = luaL_checklstring(state, 1, &size);
  return push_decoded(state, {text, size});
}

int encode(lua_State* state) {
  luaL_checkany(state, 1);
  lua_settop(state, 1);
  std::string text;
  try {
    text = Reader(state).read().dump();
  } catch (const std::exception& error) {
    text = text_of(error);
    luaL_where(state, 1);
    lua_pushlstring(state, text.data(), text.size());
    lua_concat(state, 2);
    return lua_error(state);
  }
  lua_pushlstring(state, text.data(), text.size());
  return 1;
}

int array(lua_State* state) {
  if (lua_isnoneornil(state, 1)) {
    lua_settop(state, 0);
    lua_newtable(state);
  }
  luaL_checktype(state, 1, LUA_TTABLE);
  lua_settop(state, 1);
  luaL_setmetatable(state, kArray);
  return 1;
}

}  // namespace

int push_decoded(lua_State* state, std::string_view text) {
  const int top = lua_gettop(state);
  Builder builder(state);
  if (Json::sax_parse(text, &builder)) return 1;
  lua_settop(state, top);
  lua_pushnil(state);
  lua_pushlstring(state, builder.error().data(), builder.error().size());
  return 2;
}

void push_json_library(lua_State* state) {
  luaL_newmetatable(state, kArray);
  lua_pop(state, 1);
  lua_newtable(state);
  lua_pushcfunction(state, guarded<decode>);
  lua_setfield(state, -2, "decode");
  lua_pushcfunction(state, encode);
  lua_setfield(state, -2, "encode");
  lua_pushcfunction(state, array);
  lua_setfield(state, -2, "array");
  lua_pushlightuserdata(state, nullptr);
  lua_setfield(state, -2, "null");
}

}  // namespace fastmqtt::lua
