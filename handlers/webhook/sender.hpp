// Sends what it is given with libcurl's multi interface, several requests at once, and answers.
#pragma once

#include <curl/curl.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/webhook/request.hpp"

namespace fastmqtt::webhook {

// take() belongs to the handler's turn, the rest to a thread of its own.
class Sender {
 public:
  // `options` must outlive it.  Throws std::runtime_error.
  Sender(Host host, const Options& options);
  // Gives up what is under way, without an answer.
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Returns once there is room for it, `pending`; `retry` when there will be none in its time.
  Result take(Job job);

 private:
  using TimePoint = Clock::time_point;
  using Multi = std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)>;

  void run();
  std::optional<std::chrono::milliseconds> start_what_is_due();
  void close_batch();
  bool comes_too_late(const Jobs& jobs, TimePoint now) const;
  void give_back_late(TimePoint now, Jobs& late);
  void start(Jobs jobs);
  bool take_answers();
  void finish(Request& request, CURLcode code);
  void hold(const Outcome& outcome);
  bool send_again(Jobs& jobs);
  void split(Jobs jobs);
  void complete(const Jobs& jobs, Result result);
  void note_trouble(const Outcome& outcome, const Jobs& jobs);
  void note_answer();

  const Host host_;
  const Options& options_;
  const Counter requests_counter_;
  const std::size_t most_;  // messages in here
  const Library library_;
  const Multi multi_;
  std::vector<std::unique_ptr<Request>> requests_;
  std::vector<Request*> idle_;  // the thread's own, as is ...
  bool in_trouble_ = false;     // ... this: nothing has been answered for good since

  std::mutex mutex_;
  std::condition_variable changed_;  // there is room, or it is clear that there will be none
  Jobs gathering_;                   // the next batch
  std::size_t gathering_bytes_ = 0;
  TimePoint gathered_{};     // when it is to go
  std::deque<Jobs> ready_;   // a request each
  std::size_t in_hand_ = 0;  // messages that were taken and not answered
  TimePoint held_until_{};   // the server wants no requests before
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace fastmqtt::webhook
