// One program that runs as long as the handler, and is given each message as a line of JSON.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <thread>

#include "fastmqtt/handler.hpp"
#include "handlers/exec/child.hpp"

namespace fastmqtt::exec {

// take() belongs to the handler's turn.  A thread of its own starts the program, talks with it, and
// starts it again, after pauses that double up to a minute, when it has ended.
class Service {
 public:
  // Up to `parallel` messages may wait for its answers, each for `timeout` at most: then it is
  // ended and started again.
  Service(Host host, Command command, std::size_t parallel, std::chrono::milliseconds timeout);
  // Closes its input; what does not end by itself is ended.
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Starts the program, if that was not done before.
  void start();
  // The same; returns once there is room for one more.  Retry while the program does not run.
  Result take(const Message& message);

 private:
  using Clock = std::chrono::steady_clock;
  struct Flying {
    Message message;
    Clock::time_point deadline;
  };
  // The program at hand; the thread's own.
  struct Program;

  void run();
  void converse(Program& program);
  bool write_lines(Program& program);
  bool read_answers(Program& program);
  void answer(std::string_view line);
  Result publish(const nlohmann::ordered_json& said);
  Clock::time_point deadline_of(const Message& message, std::chrono::milliseconds limit) const;
  bool is_overdue();
  std::chrono::milliseconds until_next_deadline();
  void retry_all();
  void wake() const;

  const Host host_;
  const Command command_;
  const std::size_t parallel_;
  const std::chrono::milliseconds timeout_;
  const int wake_fd_;
  bool has_answered_ = false;  // the thread's own: the program, since it was started

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;           // to be written
  std::map<std::uint64_t, Flying> flying_;  // by the id of the delivery
  enum class Phase { starting, up, down } phase_ = Phase::starting;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fastmqtt::exec
