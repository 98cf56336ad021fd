// The main thread's event loop: signals, timers, and a wake-up that any thread may give.
//
// A thin owner around sd-event(3).  Everything but wake() is the main thread's.  Failing to set it
// up throws std::system_error.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <list>
#include <memory>

#include "daemon/base/unique_fd.hpp"
#include "daemon/base/units.hpp"

namespace fastmqttd {

class MainLoop {
 public:
  using Action = std::function<void()>;

  // `woken` runs in the loop after wake(); once for any number of calls before it.
  explicit MainLoop(Action woken);
  ~MainLoop();
  MainLoop(const MainLoop&) = delete;
  MainLoop& operator=(const MainLoop&) = delete;

  // Blocks these signals in the calling thread and all it will start.  Call it before any thread.
  static void block_signals();
  // Back to their default action, for the calling thread: once the loop is over.
  static void unblock_signals();
  // The signal must be one of those blocked.
  void on_signal(int signal, Action action);
  void every(Duration interval, Action action);
  void once_after(Duration delay, Action action);

  // [any thread] Never blocks.
  void wake();

  // Until finish(); returns its status.
  int run();
  void finish(int status);

 private:
  struct Source {
    MainLoop& loop;
    Action action;
    Duration interval{};  // 0: once
    sd_event_source* source = nullptr;
  };
  Source& add(Action action, Duration interval = {});
  static int on_time(sd_event_source* source, std::uint64_t usec, void* data);

  sd_event* loop_ = nullptr;
  UniqueFd wake_fd_;
  std::list<std::unique_ptr<Source>> sources_;
};

}  // namespace fastmqttd
