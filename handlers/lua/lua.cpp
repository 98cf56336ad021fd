// lua - runs a script of Lua 5.4 for each message, in a sandbox with limits.
//
// What a call of the script publishes is kept until it returns, and goes out when the message is
// done with: never of a call that failed, or is to be tried again.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "fastmqtt/handler.hpp"
#include "handlers/lua/api.hpp"
#include "handlers/lua/machine.hpp"
#include "handlers/lua/sandbox.hpp"
#include "handlers/lua/unsent.hpp"

namespace {

using fastmqtt::Bytes;
using fastmqtt::Level;
using fastmqtt::Message;
using fastmqtt::OptionError;
using fastmqtt::Result;
using fastmqtt::lua::Api;
using fastmqtt::lua::Done;
using fastmqtt::lua::Limits;
using fastmqtt::lua::Machine;
using fastmqtt::lua::Publication;
using fastmqtt::lua::Unsent;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
namespace fs = std::filesystem;

constexpr std::uintmax_t kLargestScript = 1 << 20;
constexpr std::size_t kLongestReason = 1000;
constexpr milliseconds kLongestCall{5000};
constexpr milliseconds kShortestCall{10};
constexpr milliseconds kSlack{500};         // before the daemon would take the message back
constexpr milliseconds kTimersAtOnce{500};  // then messages have their turn
constexpr std::chrono::seconds kSendAgain{1};

// Why it is not to be run, empty when it may be.  Who can change it can publish whatever the daemon
// may, as with the configuration: this is the same rule.
std::string unsafe_reason(const struct stat& status) {
  if (status.st_uid != 0 && status.st_uid != ::geteuid())
    return "it belongs to user " + std::to_string(status.st_uid) +
           ": expected root, or the daemon's user";
  if ((status.st_mode & S_IWOTH) != 0) return "it may be written by everybody: chmod o-w it";
  return {};
}

// What is in the script's file.
std::string read_script(const fastmqtt::Host& host, const std::string& file) {
  const auto check = [](bool good, const std::string& what) {
    if (!good) throw OptionError("script", what);
  };
  check(fs::path(file).is_absolute(), "expected an absolute path");
  struct stat status {};
  check(::stat(file.c_str(), &status) == 0, "there is no such file, or it cannot be reached");
  check(S_ISREG(status.st_mode), "it is no regular file");
  const std::string unsafe = unsafe_reason(status);
  check(unsafe.empty(), unsafe);
  check(static_cast<std::uintmax_t>(status.st_size) <= kLargestScript, "it is larger than 1MiB");
  host.uses_file(file);
  std::ifstream in(file, std::ios::binary);
  check(in.is_open(), "it cannot be read: " + std::generic_category().message(errno));
  std::string text(kLargestScript + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  check(!in.bad() && text.size() <= kLargestScript, "it cannot be read");
  return text;
}

// What on_message has returned: its two results, at the top.
Result to_result(lua_State* state, std::string& reason) {
  std::size_t size = 0;
  if (const char* const text = lua_tolstring(state, -1, &size))
    reason.assign(text, std::min(size, kLongestReason));
  if (lua_isnil(state, -2)) return Result::ok;
  if (lua_isboolean(state, -2) && lua_toboolean(state, -2) != 0) return Result::ok;
  const std::string_view word = lua_type(state, -2) == LUA_TSTRING ? lua_tostring(state, -2) : "";
  if (word == "ok") return Result::ok;
  if (word == "retry") return Result::retry;
  if (word != "reject")
    luaL_error(state, "on_message returned %s: expected nothing, true, 'ok', 'retry' or 'reject'",
               luaL_tolstring(state, -2, nullptr));
  return Result::reject;
}

class Lua {
 public:
  static constexpr const char* options[] = {"script", "parameters", "max_instructions",
                                            "max_memory"};

  explicit Lua(fastmqtt::Host host)
      : host_(host),
        api_(host),
        machine_(Limits{
            .instructions =
                host.option<std::uint64_t>("max_instructions", 10'000'000, 10'000, 10'000'000'000),
            .memory =
                host.option("max_memory", Bytes{16 << 20}, Bytes{1 << 20}, Bytes{1 << 30}).count}) {
    load(host.required<std::string>("script"));
    set_alarm();
  }
  ~Lua() {
    if (!waiting_.empty())
      host_.log(Level::error, std::to_string(waiting_.size()) +
                                  " messages that timers have published found no room to the end, "
                                  "and are lost");
  }
  Lua(const Lua&) = delete;
  Lua& operator=(const Lua&) = delete;

  Result on_message(const Message& message) {
    std::optional<Done> done = unsent_.take(message.message_id());
    if (!done) done = run(message);
    set_alarm();
    return done ? send(message, std::move(*done)) : Result::retry;
  }

  // Timers wait while what they have published does: they may be late, but nothing is lost.
  void on_wake() {
    const nanoseconds now = host_.now();
    const Clock::time_point end = Clock::now() + kTimersAtOnce;
    alarm_ = kNever;
    while (send_waiting() && Clock::now() < end) {
      const auto due = api_.timers().first(now);
      if (!due) break;
      run_timer(*due);
    }
    set_alarm();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr nanoseconds kNever = nanoseconds::max();

  void load(const std::string& file) {
    const auto parameters = host_.map("parameters");
    const std::string text = read_script(host_, file);
    const std::string name = "@" + fs::path(file).filename().string();
    api_.begin(nullptr);
    const auto error = machine_.run(kLongestCall, [&](lua_State* state) {
      fastmqtt::lua::open_libraries(state);
      api_.open(state, parameters);
      if (luaL_loadbufferx(state, text.data(), text.size(), name.c_str(), "t") != LUA_OK)
        lua_error(state);
      lua_call(state, 0, 0);
      if (lua_getglobal(state, "on_message") != LUA_TFUNCTION)
        luaL_error(state, "it defines no function on_message(msg)");
    });
    api_.end();
    if (error) throw OptionError("script", *error);
    api_.set_loaded();
  }

  // Nothing when the message is to be tried again.
  std::optional<Done> run(const Message& message) {
    Result answer = Result::ok;
    std::string reason;
    api_.begin(&message);
    const auto error = machine_.run(time_for(message), [&](lua_State* state) {
      lua_getglobal(state, "on_message");
      fastmqtt::lua::push_message(state, message);
      lua_call(state, 1, 2);
      answer = to_result(state, reason);
    });
    std::deque<Publication> published = api_.end();
    if (error || !reason.empty()) host_.log(Level::error, error.value_or(reason), message);
    if (error || answer == Result::retry) return std::nullopt;
    return Done{answer, std::move(published)};
  }

  milliseconds time_for(const Message& message) const {
    if (message.deadline() == nanoseconds(0)) return kLongestCall;
    const auto left = std::chrono::duration_cast<milliseconds>(message.deadline() - host_.now());
    return std::clamp(left - kSlack, kShortestCall, kLongestCall);
  }

  void run_timer(std::int64_t id) {
    api_.begin(nullptr);
    const auto error =
        machine_.run(kLongestCall, [this, id](lua_State* state) { api_.call_timer(state, id); });
    std::deque<Publication> published = api_.end();
    if (error) return host_.log(Level::error, "in a timer: " + *error);
    std::ranges::move(published, std::back_inserter(waiting_));
  }

  Result send(const Message& message, Done done) {
    const bool in_turn = done.published.empty() || send_waiting();
    while (in_turn && !done.published.empty()) {
      const Result taken = send(done.published.front());
      if (taken == Result::retry) break;
      if (taken == Result::reject) done.answer = Result::reject;
      done.published.pop_front();
    }
    if (done.published.empty()) return done.answer;
    unsent_.keep(message.message_id(), std::move(done));
    return Result::retry;
  }
  // Whether nothing of it is left.
  bool send_waiting() {
    while (!waiting_.empty() && send(waiting_.front()) != Result::retry) waiting_.pop_front();
    return waiting_.empty();
  }
  Result send(const Publication& one) {
    const Result taken = host_.publish(one.topic, one.payload, one.options);
    const bool full = taken == Result::retry;
    if (full != full_)
      host_.log(full ? Level::warning : Level::info,
                full ? "there is no room for what the script publishes: it waits"
                     : "there is room again for what the script publishes");
    full_ = full;
    return taken;
  }

  void set_alarm() {
    if (!waiting_.empty() && alarm_ != kNever) return;  // messages do not put it off
    const auto next = api_.timers().first();
    const nanoseconds when = !waiting_.empty() ? host_.now() + kSendAgain
                             : next            ? api_.timers().at(*next).due
                                               : kNever;
    if (when != alarm_) host_.wake_at(when);
    alarm_ = when;
  }

  const fastmqtt::Host host_;
  Api api_;
  Machine machine_;
  Unsent unsent_{machine_.limits().memory};
  std::deque<Publication> waiting_;  // of timers
  bool full_ = false;                // as it was said last
  nanoseconds alarm_ = kNever;       // that was asked for
};

}  // namespace

FASTMQTT_HANDLER(Lua, "lua", "1.0", FASTMQTT_SHARDABLE);
