// One HTTP request at a time with libcurl, for one message or a batch of them.
#pragma once

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/webhook/options.hpp"

namespace fastmqtt::webhook {

using Clock = std::chrono::steady_clock;

// A message with what it makes of a request.
struct Job {
  Message message;  // readable until it is complete
  std::string url;
  std::vector<std::string> headers;  // lines
  std::string body;
  Clock::time_point deadline;  // of its answer
};
using Jobs = std::vector<Job>;

// What came of a request.
struct Outcome {
  Result result = Result::retry;
  int status = 0;                       // 0: there was no answer
  std::string text;                     // for the log: "HTTP 503: busy"
  std::chrono::seconds retry_after{0};  // asked for by the server
};

// libcurl's share of the process; it counts its users.  Throws std::runtime_error.
class Library {
 public:
  Library();
  ~Library() { curl_global_cleanup(); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
};

// Keeps its address: libcurl has it.
class Request {
 public:
  // Throws std::runtime_error when libcurl cannot do what the options ask for.
  explicit Request(const Options& options);
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  CURL* handle() const { return handle_.get(); }
  // Whose handle that is.
  static Request* of(CURL* handle);

  // Makes ready to send them, all in one; false when libcurl has no memory.
  bool load(Jobs jobs, Clock::time_point now);
  // When it is over; the jobs are given back.
  Outcome outcome(CURLcode code) const;
  Jobs take_jobs();

 private:
  template <class T>
  void set(CURLoption option, T value);
  void set_method();
  void set_tls();
  void set_connection();
  std::string body_of(const Jobs& jobs) const;
  std::size_t receive(std::string_view bytes);
  Result result_of(int status) const;
  std::string text_of(int status) const;

  const Options& options_;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers_;
  std::array<char, CURL_ERROR_SIZE> error_{};
  Jobs jobs_;
  std::string body_;      // of a batch
  std::string received_;  // the beginning of the answer's body
  std::size_t received_bytes_ = 0;
};

// In one line, without what a terminal would obey.
std::string printable(std::string_view text);

}  // namespace fastmqtt::webhook
