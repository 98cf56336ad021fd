// Messages as scripts see them: plain tables, of their own, that they may keep and change.
#pragma once

#include <lua.hpp>
#include <string>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::lua {

// What a script publishes, kept until the call has succeeded.
struct Publication {
  std::string topic;
  std::string payload;
  PublishOptions options;
  std::size_t size = 0;  // about, in bytes
};

// Within Machine::run(), all of them.

// Makes what the tables of messages share, their number() and json().
void open_messages(lua_State* state);
void push_message(lua_State* state, const Message& message);

// From what stands at 1: a topic; at 2: a payload; at 3: options or nothing.  Raises an error that
// names what is wrong.
Publication to_publication(lua_State* state);

}  // namespace fastmqtt::lua
