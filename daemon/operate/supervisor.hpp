// The daemon's life as systemd and the operator see it: ready, status, watchdog, stop.
//
// Runs on the main thread.  systemd is told through sd_notify(3); without it, nothing is sent.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/base/log.hpp"
#include "daemon/base/units.hpp"
#include "daemon/delivery/dispatcher.hpp"
#include "daemon/operate/main_loop.hpp"
#include "daemon/session/session.hpp"

namespace fastmqttd {

class Supervisor {
 public:
  // Both must outlive it.  The loop's wake-up is to call look().
  Supervisor(MainLoop& loop, Dispatcher& dispatcher, Session& session, Duration shutdown_timeout);

  // Around a reload, for systemd.
  void reloading();
  void reloaded();
  void set_shutdown_timeout(Duration timeout) { shutdown_timeout_ = timeout; }
  bool is_stopping() const { return stopping_; }

  // Sees to what has changed: ready, status, drops, the next step of a stop.
  void look();

 private:
  void become_ready();
  void stop(int signal);
  void begin_stop();
  void send_what_is_published();
  void give_up();
  void tick();
  void report_losses();
  void show_status();
  void send_status();
  // What makes no progress.
  struct Stuck {
    std::string text;
    std::string topic = {};
    std::vector<InHand> messages = {};  // that are stored
    bool is_handler = false;
    bool abort = false;
  };
  std::map<std::string, Stuck> stuck();  // by who does not; empty when all do
  void note_stuck(const std::map<std::string, Stuck>& now_stuck) const;
  static std::vector<log::Field> fields_of(const std::string& who, const Stuck& what);
  void say(const std::string& who, const Stuck& what) const;
  [[noreturn]] static void abort_for(const std::string& who, const Stuck& what);

  MainLoop& loop_;
  Dispatcher& dispatcher_;
  Session& session_;
  Duration shutdown_timeout_;
  bool watched_ = false;  // by systemd's watchdog
  bool ready_ = false;
  bool stopping_ = false;
  int exit_status_ = 0;
  TimePoint stop_began_{};
  bool closed_ = false;        // the dispatcher, after the session has stopped
  bool report_timer_ = false;  // the next report is due when it rings
  std::map<std::string, Stuck> known_stuck_;
  std::string status_;
  bool status_timer_ = false;  // it was sent just now; looked at again when it rings
};

}  // namespace fastmqttd
