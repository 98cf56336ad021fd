// A handler that writes down every message it answers, and answers as its options say:
//     file        appends a line a message: topic, QoS, retain, DUP, attempt, payload in hex,
//                 subscription identifiers, with tabs between; default: $RECORDER_FILE
//     answer      ok, retry, reject, retry:N or reject:N (attempts 1 to N, then ok), or pending
//     (ok,
//                 given later through complete())
//     only        `answer` holds for messages with this payload only; the others get ok
//     delay_ms    the time that a call takes; the time until a pending answer is given
//     block_file  calls hang while this file exists; NAME.entered is made when one does
//
// Written against the C ABI alone.  RECORDER_NAME, RECORDER_FLAGS and RECORDER_DROPIN, from the
// build, make the plugins that are the same but for what they declare.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fastmqtt/handler.h"

namespace {

using Milliseconds = std::chrono::milliseconds;

std::string_view text(fastmqtt_view view) { return {view.data, view.data ? view.size : 0}; }

void config_error(const fastmqtt_host* host, const char* option, std::string_view what) {
  host->config_error(host, option, {what.data(), what.size()});
}

class Recorder {
 public:
  explicit Recorder(const fastmqtt_host* host) : host_(host) {
    file_ = option("file");
    const char* fallback = std::getenv("RECORDER_FILE");
    if (file_.empty() && fallback != nullptr) file_ = fallback;
    if (file_.empty()) error("file", "a path");
    answer_ = option("answer");
    read_answer();
    only_ = option("only");
    delay_ = Milliseconds(number(option("delay_ms"), "delay_ms"));
    block_file_ = option("block_file");
  }

  bool usable() const { return usable_; }

  fastmqtt_result handle(const fastmqtt_message& message) {
    hang_while_blocked();
    const bool pending = answer_ == "pending";
    if (!pending) std::this_thread::sleep_for(delay_);
    record(message);
    if (!only_.empty() && text(message.payload) != only_) return FASTMQTT_OK;
    if (!pending) return message.attempt <= attempts_ ? result_ : FASTMQTT_OK;
    pending_.push_back(message.id);
    host_->wake_at(host_, host_->now_ns(host_) + std::chrono::nanoseconds(delay_).count());
    return FASTMQTT_PENDING;
  }

  void answer_pending() {
    for (const uint64_t id : pending_) host_->complete(host_, id, FASTMQTT_OK);
    pending_.clear();
  }

 private:
  std::string option(const char* name) const {
    return std::string(text(host_->config(host_, name)));
  }

  void error(const char* option, std::string_view what) {
    config_error(host_, option, what);
    usable_ = false;
  }

  unsigned number(const std::string& digits, const char* option) {
    unsigned value = 0;
    const char* end = digits.data() + digits.size();
    if (!digits.empty() && std::from_chars(digits.data(), end, value).ptr != end)
      error(option, "a whole number");
    return value;
  }

  void read_answer() {
    const std::size_t colon = answer_.find(':');
    attempts_ = colon == std::string::npos ? ~0u : number(answer_.substr(colon + 1), "answer");
    answer_.erase(std::min(colon, answer_.size()));
    if (answer_ == "retry")
      result_ = FASTMQTT_RETRY;
    else if (answer_ == "reject")
      result_ = FASTMQTT_REJECT;
    else if (answer_ != "" && answer_ != "ok" && answer_ != "pending")
      error("answer", "ok, retry, reject, retry:N, reject:N or pending");
  }

  void hang_while_blocked() const {
    if (block_file_.empty() || access(block_file_.c_str(), F_OK) != 0) return;
    close(open((block_file_ + ".entered").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    while (access(block_file_.c_str(), F_OK) == 0) std::this_thread::sleep_for(Milliseconds(2));
  }

  void record(const fastmqtt_message& message) const {
    std::string line(text(message.topic));
    for (const unsigned value :
         {unsigned{message.qos}, unsigned{message.retain}, unsigned{message.dup}, message.attempt})
      line += '\t' + std::to_string(value);
    line += '\t';
    for (const char byte : text(message.payload)) {
      line += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
      line += "0123456789abcdef"[static_cast<unsigned char>(byte) & 15];
    }
    line += '\t';
    for (size_t i = 0; i < message.property_count; ++i)
      if (message.properties[i].id == FASTMQTT_SUBSCRIPTION_IDENTIFIER)
        line += std::to_string(message.properties[i].number) + " ";
    line += '\n';
    const int fd = open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    // One write: a reader never sees a part of a line.
    if (write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
    close(fd);
  }

  const fastmqtt_host* host_;
  bool usable_ = true;
  std::string file_;
  std::string answer_;
  fastmqtt_result result_ = FASTMQTT_OK;
  unsigned attempts_ = 0;
  std::string only_;
  Milliseconds delay_{0};
  std::string block_file_;
  std::vector<uint64_t> pending_;
};

void* create(const fastmqtt_host* host) {
  auto* self = new Recorder(host);
  if (self->usable()) return self;
  delete self;
  return nullptr;
}

void destroy(void* self) { delete static_cast<Recorder*>(self); }

void on_messages(void* self, const fastmqtt_message* const* messages, size_t count,
                 fastmqtt_result* results) {
  for (size_t i = 0; i < count; ++i)
    results[i] = static_cast<Recorder*>(self)->handle(*messages[i]);
}

void on_wake(void* self) { static_cast<Recorder*>(self)->answer_pending(); }

#ifdef RECORDER_DROPIN
const char* const kTopics[] = {"dropin/#", nullptr};
#else
const char* const kTopics[] = {nullptr};
#endif
const char* const kOptions[] = {"file", "answer", "only", "delay_ms", "block_file", nullptr};

}  // namespace

extern "C" FASTMQTT_EXPORT const fastmqtt_handler fastmqtt_handler_v1 = {sizeof(fastmqtt_handler),
                                                                         RECORDER_FLAGS,
                                                                         RECORDER_NAME,
                                                                         "1.0",
                                                                         kTopics,
                                                                         kOptions,
                                                                         create,
                                                                         destroy,
                                                                         on_messages,
                                                                         on_wake};
