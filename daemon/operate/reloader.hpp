// Takes up a changed configuration while messages come, all of it or nothing.
//
// First everything is made that it asks for, beside what runs, by a thread of its own: plugins may
// take their time, and the main loop must not wait.  When all of that is there the main thread puts
// it in force; see Dispatcher::change_to() and Session::change().  Then it waits until the handlers
// have changed over and the session has followed.
//
// Main's, where nothing else is said.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/config/config.hpp"
#include "daemon/delivery/dispatcher.hpp"
#include "daemon/operate/main_loop.hpp"
#include "daemon/operate/metrics.hpp"
#include "daemon/operate/supervisor.hpp"
#include "daemon/operate/web.hpp"
#include "daemon/session/session.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

class Reloader {
 public:
  struct Outcome {
    enum class Kind {
      applied,     // all of it is in force
      unfinished,  // likewise, but for what `text` says
      refused,     // nothing has changed: `problems`
    } kind = Kind::applied;
    std::string text;
    std::vector<std::string> problems;
  };
  // What runs; all must outlive it.
  struct Running {
    MainLoop& loop;
    Spool& spool;
    Dispatcher& dispatcher;
    Session& session;
    Supervisor& supervisor;
    Web& web;
    ReloadCounts& counts;
  };

  // `config` is what is in force, as it was read from `file`.
  Reloader(const Running& running, std::string file, Config config);
  ~Reloader();

  // [any thread] Reads the files again, puts them in force and waits for the outcome; it takes no
  // longer than kLongest.
  Outcome reload();
  // The same without waiting: the outcome is in the journal.
  void begin();
  // Nobody is to wait for an outcome any more.
  void stop();
  // Sees to what has changed.  The loop's wake-up is to call it.
  void look();
  // Whether it does nothing that could not be given up.
  bool may_go() const { return !preparing_; }

  // How long it takes to prepare, and to change over, at most: a handler may hang.
  static constexpr Duration kPrepare = std::chrono::seconds(40);
  static constexpr Duration kChangeOver = std::chrono::seconds(40);
  static constexpr Duration kLongest = kPrepare + kChangeOver + std::chrono::seconds(5);

 private:
  struct Prepared {
    Config config;
    std::string client_id;
    Dispatcher::Lineup lineup;
    std::string idle;
    UniqueFd web;  // where http.listen is another
    std::vector<Problem> problems;
  };
  struct State {
    std::uint64_t asked = 0;     // reloads that were asked for
    std::uint64_t answered = 0;  // of them, those that have an outcome
    Outcome outcome;
    std::size_t waiting = 0;  // threads, for one
    std::optional<Prepared> prepared;
    std::string hanging;  // what the preparation was given up for that is still at it
    bool stopping = false;
  };

  bool is_asked_for();
  void start_preparing();
  Prepared prepare() const;
  void prepare(Prepared& prepared) const;
  void give_up_preparing();
  void check_what_stays(const Config& config, std::vector<Problem>& problems) const;
  void put_in_force(Prepared prepared);
  void refuse(const std::vector<Problem>& problems);
  void finish_if_changed_over();
  std::string what_is_left() const;
  void finish(Outcome outcome);

  const Running running_;
  const std::string file_;
  Config config_;
  std::string client_id_;
  bool preparing_ = false;      // the thread is at it
  bool changing_over_ = false;  // what is in force has still to be followed
  bool unfinished_ = false;     // likewise, and that was said
  std::uint64_t round_ = 0;     // timers of an earlier one are of no interest
  std::uint64_t covers_ = 0;    // the reloads that this one answers
  std::string summary_;
  std::condition_variable changed_;
  Guarded<State> state_;
  std::thread thread_;
};

}  // namespace fastmqttd
