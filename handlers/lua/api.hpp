// What a script is offered: the tables mqtt, log, timer, json and parameters.
#pragma once

#include <chrono>
#include <deque>
#include <lua.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/lua/message.hpp"
#include "handlers/lua/timers.hpp"

namespace fastmqtt::lua {

class Api {
 public:
  explicit Api(Host host) : host_(host) {}
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // Within Machine::run(); this object must outlive the machine.
  void open(lua_State* state, const std::vector<std::pair<std::string, std::string>>& parameters);

  // A call of the script begins; `about` is its message, null when there is none.
  void begin(const Message* about) { about_ = about; }
  // It has ended; what it has published.
  std::deque<Publication> end();
  // The script may publish from then on.
  void set_loaded() { loaded_ = true; }

  // Within Machine::run(): calls the function of a timer.
  void call_timer(lua_State* state, std::int64_t id);
  const Timers& timers() const { return timers_; }

 private:
  static int publish(lua_State* state);
  static int reply(lua_State* state);
  static int log(lua_State* state);
  static int print(lua_State* state);
  static int after(lua_State* state);
  static int every(lua_State* state);
  static int cancel(lua_State* state);
  static int now(lua_State* state);

  // The functions above have it as their first upvalue.
  static Api& of(lua_State* state) {
    return *static_cast<Api*>(lua_touserdata(state, lua_upvalueindex(1)));
  }
  void set_function(lua_State* state, const char* name, lua_CFunction function);
  void log_arguments(lua_State* state, Level level) const;
  int add_timer(lua_State* state, bool again);
  void take(lua_State* state, Publication publication);

  const Host host_;
  const Message* about_ = nullptr;
  bool loaded_ = false;
  std::deque<Publication> published_;
  std::size_t published_bytes_ = 0;
  Timers timers_;
};

}  // namespace fastmqtt::lua
