#include "handlers/lua/message.hpp"

#include <cmath>
#include <map>
#include <string_view>
#include <vector>

#include "handlers/lua/json.hpp"
#include "handlers/lua/machine.hpp"

namespace fastmqtt::lua {
namespace {

constexpr const char* kMessage = "message";
constexpr std::size_t kLongestString = 65'535;  // of MQTT

void push(lua_State* state, std::string_view text) {
  lua_pushlstring(state, text.data(), text.size());
}

void set(lua_State* state, const char* name, std::string_view text) {
  push(state, text);
  lua_setfield(state, -2, name);
}

void set_integer(lua_State* state, const char* name, std::uint64_t number) {
  lua_pushinteger(state, static_cast<lua_Integer>(number));
  lua_setfield(state, -2, name);
}

void set_boolean(lua_State* state, const char* name, bool value) {
  lua_pushboolean(state, value ? 1 : 0);
  lua_setfield(state, -2, name);
}

void push_levels(lua_State* state, std::string_view topic) {
  lua_newtable(state);
  for (lua_Integer level = 1;; ++level) {
    const std::size_t slash = topic.find('/');
    push(state, topic.substr(0, slash));
    lua_rawseti(state, -2, level);
    if (slash == std::string_view::npos) return;
    topic.remove_prefix(slash + 1);
  }
}

// A name that comes again makes a list of its values.
void add_user_property(lua_State* state, std::string_view name, std::string_view value) {
  push(state, name);
  lua_pushvalue(state, -1);
  switch (lua_rawget(state, -3)) {
    case LUA_TNIL:
      lua_pop(state, 1);
      push(state, value);
      break;
    case LUA_TSTRING:
      lua_createtable(state, 2, 0);
      lua_insert(state, -2);
      lua_rawseti(state, -2, 1);
      [[fallthrough]];
    default:
      push(state, value);
      lua_rawseti(state, -2, static_cast<lua_Integer>(lua_rawlen(state, -2)) + 1);
  }
  lua_rawset(state, -3);
}

// Under the names that mqtt.publish() takes.
void push_properties(lua_State* state, const Message& message) {
  lua_newtable(state);
  lua_newtable(state);
  for (const fastmqtt_property& p : message.properties())
    if (p.id == FASTMQTT_USER_PROPERTY)
      add_user_property(state, to_string_view(p.name), to_string_view(p.value));
  lua_setfield(state, -2, "user");
  for (const fastmqtt_property& p : message.properties()) {
    const std::string_view value = to_string_view(p.value);
    switch (p.id) {
      case FASTMQTT_PAYLOAD_FORMAT_INDICATOR:
        set_boolean(state, "payload_is_text", p.number == 1);
        break;
      case FASTMQTT_MESSAGE_EXPIRY_INTERVAL: set_integer(state, "expires_in", p.number); break;
      case FASTMQTT_CONTENT_TYPE: set(state, "content_type", value); break;
      case FASTMQTT_RESPONSE_TOPIC: set(state, "response_topic", value); break;
      case FASTMQTT_CORRELATION_DATA: set(state, "correlation_data", value); break;
      default: break;
    }
  }
}

// Of the message at 1.
std::string_view payload_of(lua_State* state, const char* call) {
  if (!lua_istable(state, 1)) luaL_error(state, "it is msg:%s(), with a colon", call);
  lua_getfield(state, 1, "payload");
  std::size_t size = 0;
  const char* const payload = lua_tolstring(state, -1, &size);
  if (!payload) luaL_error(state, "msg.payload is no text");
  return {payload, size};
}

int number(lua_State* state) {
  const std::string_view payload = payload_of(state, "number");
  if (const auto whole = detail::OptionType<lua_Integer>::read(payload))
    lua_pushinteger(state, *whole);
  else if (const auto value = detail::to_number(payload))
    lua_pushnumber(state, *value);
  else
    lua_pushnil(state);
  return 1;
}

int json(lua_State* state) { return push_decoded(state, payload_of(state, "json")); }

// ---- what is published -------------------------------------------------------------------------

// At the top; `what` is named in the error.
std::string text_at_top(lua_State* state, const char* what, std::size_t most = kLongestString) {
  std::size_t size = 0;
  const bool fits = lua_isstring(state, -1) != 0;
  if (!fits)
    luaL_error(state, "%s: expected a text or a number, not a %s", what, luaL_typename(state, -1));
  lua_pushvalue(state, -1);  // a number becomes a text in its place
  const char* const bytes = lua_tolstring(state, -1, &size);
  if (size > most) luaL_error(state, "%s: longer than %I bytes", what, lua_Integer(kLongestString));
  std::string text(bytes, size);
  lua_pop(state, 1);
  return text;
}

std::string topic_at(lua_State* state, int index, const char* what) {
  lua_pushvalue(state, index);
  std::string topic = text_at_top(state, what);
  lua_pop(state, 1);
  if (topic.empty() || topic.find_first_of(std::string_view("+#\0", 3)) != std::string::npos)
    luaL_error(state, "%s: '%s' is no topic to publish to", what, topic.c_str());
  return topic;
}

bool boolean_at_top(lua_State* state, const char* what) {
  if (!lua_isboolean(state, -1)) luaL_error(state, "%s: expected true or false", what);
  return lua_toboolean(state, -1) != 0;
}

lua_Integer whole_at_top(lua_State* state, const char* what, lua_Integer most) {
  const lua_Number value = lua_isnumber(state, -1) ? lua_tonumber(state, -1) : -1;
  if (!(value >= 0 && value <= static_cast<lua_Number>(most)) || std::floor(value) != value)
    luaL_error(state, "%s: expected a whole number from 0 to %I", what, most);
  return static_cast<lua_Integer>(value);
}

// Sorted by their names: a table has no order.
void read_user_properties(lua_State* state, Properties& properties) {
  if (!lua_istable(state, -1)) luaL_error(state, "user: expected names, each with a value");
  std::map<std::string, std::vector<std::string>> all;
  for (lua_pushnil(state); lua_next(state, -2) != 0; lua_pop(state, 1)) {
    if (lua_type(state, -2) != LUA_TSTRING) luaL_error(state, "user: expected texts for names");
    lua_pushvalue(state, -2);
    std::vector<std::string>& values = all[text_at_top(state, "user")];
    lua_pop(state, 1);
    if (!lua_istable(state, -1)) {
      values.push_back(text_at_top(state, "user"));
      continue;
    }
    const auto count = static_cast<lua_Integer>(lua_rawlen(state, -1));
    for (lua_Integer i = 1; i <= count; ++i) {
      lua_rawgeti(state, -1, i);
      values.push_back(text_at_top(state, "user"));
      lua_pop(state, 1);
    }
  }
  for (const auto& [name, values] : all)
    for (const std::string& value : values) properties.user(name, value);
}

// The value on top is of that name.
void read_option(lua_State* state, std::string_view name, PublishOptions& options) {
  Properties& properties = options.properties;
  if (name == "qos")
    options.qos = static_cast<int>(whole_at_top(state, "qos", 2));
  else if (name == "retain")
    options.retain = boolean_at_top(state, "retain");
  else if (name == "content_type")
    properties.content_type(text_at_top(state, "content_type"));
  else if (name == "response_topic")
    properties.response_topic(topic_at(state, -1, "response_topic"));
  else if (name == "correlation_data")
    properties.correlation_data(text_at_top(state, "correlation_data"));
  else if (name == "expires_in")
    properties.expires_in(std::chrono::seconds(whole_at_top(state, "expires_in", UINT32_MAX)));
  else if (name == "payload_is_text") {
    if (boolean_at_top(state, "payload_is_text")) properties.payload_is_text();
  } else if (name == "user")
    read_user_properties(state, properties);
  else
    luaL_error(state, "there is no option '%s'", std::string(name).c_str());
}

}  // namespace

void open_messages(lua_State* state) {
  luaL_newmetatable(state, kMessage);
  lua_newtable(state);
  lua_pushcfunction(state, guarded<number>);
  lua_setfield(state, -2, "number");
  lua_pushcfunction(state, guarded<json>);
  lua_setfield(state, -2, "json");
  lua_setfield(state, -2, "__index");
  lua_pop(state, 1);
}

void push_message(lua_State* state, const Message& message) {
  lua_createtable(state, 0, 10);
  set(state, "topic", message.topic());
  push_levels(state, message.topic());
  lua_setfield(state, -2, "levels");
  set(state, "payload", message.payload());
  set_integer(state, "qos", static_cast<std::uint64_t>(message.qos()));
  set_boolean(state, "retain", message.retained());
  set_boolean(state, "dup", message.dup());
  set_integer(state, "attempt", message.attempt());
  set_integer(state, "message_id", message.message_id());
  const std::chrono::duration<double> received = message.received().time_since_epoch();
  lua_pushnumber(state, received.count());
  lua_setfield(state, -2, "received");
  push_properties(state, message);
  lua_setfield(state, -2, "properties");
  luaL_setmetatable(state, kMessage);
}

Publication to_publication(lua_State* state) {
  lua_settop(state, 3);
  Publication publication;
  publication.topic = topic_at(state, 1, "topic");
  lua_pushvalue(state, 2);
  publication.payload = text_at_top(state, "payload", SIZE_MAX);
  lua_pop(state, 1);
  publication.size = sizeof publication + publication.topic.size() + publication.payload.size();
  if (lua_isnil(state, 3)) return publication;
  luaL_checktype(state, 3, LUA_TTABLE);
  for (lua_pushnil(state); lua_next(state, 3) != 0; lua_pop(state, 1)) {
    if (lua_type(state, -2) != LUA_TSTRING) luaL_error(state, "expected options with names");
    read_option(state, lua_tostring(state, -2), publication.options);
  }
  for (const fastmqtt_property& p : publication.options.properties.list())
    publication.size += sizeof p + p.name.size + p.value.size;
  return publication;
}

}  // namespace fastmqtt::lua
