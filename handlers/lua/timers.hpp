// When which function of a script is due.  Times are those of Host::now().
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

namespace fastmqtt::lua {

class Timers {
 public:
  using Time = std::chrono::nanoseconds;
  static constexpr std::size_t kMost = 1000;

  struct Timer {
    Time due;
    Time period;   // zero: once
    int function;  // where Lua's registry has it
  };

  std::int64_t add(const Timer& timer) {
    timers_.emplace(++last_, timer);
    return last_;
  }
  // The function of the timer that is gone now; nothing when there was none.
  std::optional<int> remove(std::int64_t id) {
    const auto found = timers_.find(id);
    if (found == timers_.end()) return std::nullopt;
    const int function = found->second.function;
    timers_.erase(found);
    return function;
  }
  // The one that is due first, by `now` or at all; of several the oldest.
  std::optional<std::int64_t> first(Time now = Time::max()) const {
    std::optional<std::int64_t> first;
    for (const auto& [id, timer] : timers_)
      if (timer.due <= now && (!first || timer.due < at(*first).due)) first = id;
    return first;
  }
  const Timer& at(std::int64_t id) const { return timers_.at(id); }
  // One that comes again is due once more, in step with before, however many times were missed.
  void advance(std::int64_t id, Time now) {
    Timer& timer = timers_.at(id);
    timer.due += timer.period;
    if (timer.due <= now)
      timer.due += (now - timer.due) / timer.period * timer.period + timer.period;
  }
  std::size_t size() const { return timers_.size(); }

 private:
  std::map<std::int64_t, Timer> timers_;
  std::int64_t last_ = 0;
};

}  // namespace fastmqtt::lua
