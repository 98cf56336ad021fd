#include "handlers/lua/machine.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string_view>

#include "fastmqtt/option_types.hpp"

namespace fastmqtt::lua {
namespace {

constexpr const char* kInstructions = "the call exceeded max_instructions";
constexpr const char* kTime = "the call took too long";
constexpr std::size_t kLongestText = 1000;
constexpr int kMostLevels = 5;

int call_work(lua_State* state) {
  (*static_cast<const std::function<void(lua_State*)>*>(lua_touserdata(state, 1)))(state);
  return 0;
}

// Called where the error is, to say by which way it came there.  No code of the script may run
// here: within the hook, nothing would end it.
int add_traceback(lua_State* state) {
  const char* message = lua_tostring(state, 1);
  if (!message)
    message = lua_pushfstring(state, "the error is no text but a %s", luaL_typename(state, 1));
  luaL_traceback(state, state, message, 1);
  return 1;
}

// "x.lua:3: text\nstack traceback:\n\tx.lua:3: in ...\n\t..." in one line.
std::string in_one_line(std::string_view text) {
  constexpr std::string_view kTrace = "\nstack traceback:";
  const std::size_t trace = text.rfind(kTrace);
  std::string line(text.substr(0, std::min(trace, kLongestText)));
  std::replace(line.begin(), line.end(), '\n', ' ');
  if (trace == std::string_view::npos) return line;
  text.remove_prefix(trace + kTrace.size());
  int levels = 0;
  while (!text.empty() && levels < kMostLevels) {
    text.remove_prefix(std::min(text.size(), std::size_t{2}));  // "\n\t"
    const std::string_view level = text.substr(0, text.find('\n'));
    text.remove_prefix(level.size());
    if (level.starts_with("[C]") || level.starts_with("...")) continue;
    line += (levels++ == 0 ? " (" : " < ") + std::string(level);
  }
  return levels > 0 ? line + ")" : line;
}

}  // namespace

Machine::Machine(const Limits& limits)
    : limits_(limits), state_(lua_newstate(&Machine::allocate, this)) {
  if (!state_) throw std::bad_alloc();
  // Coroutines get what the main one has here.
  *static_cast<Machine**>(lua_getextraspace(state_)) = this;
}

Machine::~Machine() { lua_close(state_); }

void* Machine::allocate(void* self, void* block, std::size_t size, std::size_t wanted) {
  Machine& machine = *static_cast<Machine*>(self);
  if (!block) size = 0;  // it is a kind of object then
  if (wanted == 0) {
    std::free(block);
    machine.used_ -= size;
    return nullptr;
  }
  if (wanted > size &&
      wanted - size > machine.limits_.memory - std::min(machine.limits_.memory, machine.used_))
    return nullptr;
  void* const given = std::realloc(block, wanted);
  if (given) machine.used_ += wanted - size;
  return given;
}

// A coroutine counts for itself, and from the beginning: what makes one pays for what may be missed
// thereby, see sandbox.cpp.
void Machine::on_tick(lua_State* state, lua_Debug*) {
  Machine& machine = of(state);
  const int ticked = lua_gethookcount(state);
  machine.spend(state, static_cast<std::uint64_t>(ticked), 0);
  if (ticked != kTick) lua_sethook(state, &on_tick, LUA_MASKCOUNT, kTick);  // of an earlier call
}

void Machine::spend(lua_State* state, std::uint64_t instructions, int level) {
  left_ -= std::min(left_, instructions);
  if (!exceeded_ && left_ == 0) exceeded_ = kInstructions;
  if (!exceeded_ && Clock::now() >= deadline_) exceeded_ = kTime;
  if (!exceeded_) return;
  lua_sethook(state, &on_tick, LUA_MASKCOUNT, 1);
  luaL_where(state, level);
  lua_pushstring(state, exceeded_);
  lua_concat(state, 2);
  lua_error(state);
}

std::optional<std::string> Machine::run(std::chrono::milliseconds longest,
                                        const std::function<void(lua_State*)>& work) {
  left_ = limits_.instructions;
  exceeded_ = nullptr;
  deadline_ = Clock::now() + longest;
  lua_sethook(state_, &on_tick, LUA_MASKCOUNT, kTick);
  // None of these takes memory.
  lua_settop(state_, 0);
  lua_pushcfunction(state_, &add_traceback);
  lua_pushcfunction(state_, &guarded<call_work>);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): it is made const again
  lua_pushlightuserdata(state_, const_cast<std::function<void(lua_State*)>*>(&work));
  std::optional<std::string> error;
  if (lua_pcall(state_, 1, 0, 1) != LUA_OK) error = error_text();
  lua_settop(state_, 0);
  if (!error && exceeded_) error = exceeded_;  // it has ended before the next tick
  return error;
}

std::string Machine::error_text() const {
  std::size_t size = 0;
  const char* text = lua_type(state_, -1) == LUA_TSTRING ? lua_tolstring(state_, -1, &size) : "";
  std::string line = in_one_line({text, size});
  if (line.empty()) line = exceeded_ ? exceeded_ : "an error without a text";
  if (line.find("not enough memory") != std::string::npos)
    line += "; max_memory is " + detail::to_text(limits_.memory, detail::kSizeUnits);
  return line;
}

}  // namespace fastmqtt::lua
