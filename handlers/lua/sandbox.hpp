// What a script finds of Lua's own libraries: nothing that reaches the system or outlasts its
// limits.
#pragma once

#include <lua.hpp>

namespace fastmqtt::lua {

// Within Machine::run().
void open_libraries(lua_State* state);

}  // namespace fastmqtt::lua
