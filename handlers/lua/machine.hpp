// One Lua of its own, with what it may use: memory in all; instructions and time for each call.
//
// It is the Lua library that is built in C++: an error in a script is an exception that unwinds
// what stands between, so C++ objects may live in functions that Lua calls.  What such functions
// throw themselves must not come into Lua's hands: see guarded().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <lua.hpp>
#include <optional>
#include <string>

namespace fastmqtt::lua {

struct Limits {
  std::uint64_t instructions;  // of one call
  std::size_t memory;          // bytes, in all
};

class Machine {
 public:
  // So often it is looked whether a call has had its share.
  static constexpr int kTick = 100;

  explicit Machine(const Limits& limits);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  static Machine& of(lua_State* state) {
    return **static_cast<Machine**>(lua_getextraspace(state));
  }

  // Nothing, or what went wrong, in one line.  Outside of `work` nothing may be done with the
  // state: whatever takes memory may fail.
  std::optional<std::string> run(std::chrono::milliseconds longest,
                                 const std::function<void(lua_State*)>& work);

  // Takes that many instructions from the call at hand; raises an error when none are left, or no
  // time is.  From then on every instruction does, so that no pcall holds on to it.
  // `level`: whose line the error names; 1 is the caller of the function that Lua is in.
  void spend(lua_State* state, std::uint64_t instructions, int level = 1);

  const Limits& limits() const { return limits_; }
  std::size_t memory_used() const { return used_; }

 private:
  using Clock = std::chrono::steady_clock;

  static void* allocate(void* self, void* block, std::size_t size, std::size_t wanted);
  static void on_tick(lua_State* state, lua_Debug* event);
  std::string error_text() const;

  const Limits limits_;
  std::size_t used_ = 0;
  std::uint64_t left_ = 0;
  Clock::time_point deadline_;
  const char* exceeded_ = nullptr;  // by the call at hand
  lua_State* state_;
};

// A function for Lua of one that may throw: that becomes an error of Lua.
template <int (*function)(lua_State*)>
int guarded(lua_State* state) {
  std::string what;
  try {
    return function(state);
  } catch (const std::exception& error) {  // Lua's own are of another kind, and pass
    what = error.what();
  }
  lua_pushlstring(state, what.data(), what.size());
  return lua_error(state);
}

}  // namespace fastmqtt::lua
