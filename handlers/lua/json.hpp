// JSON for scripts: the table `json` with decode, encode, array and null.
#pragma once

#include <lua.hpp>
#include <string_view>

namespace fastmqtt::lua {

// Leaves the table on the stack.  Within Machine::run(), as all that follows.
void push_json_library(lua_State* state);

// Pushes the value, or nil and what is wrong; how many that is.
int push_decoded(lua_State* state, std::string_view text);

}  // namespace fastmqtt::lua
