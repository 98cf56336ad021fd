// webhook - sends each message as an HTTP request, or many of them as one.
//
// Here the request is made out of the message, in the handler's turn; a thread of libcurl's sends
// it, and the server's answer is the message's, put off until then.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "fastmqtt/handler.hpp"
#include "handlers/common/missing.hpp"
#include "handlers/common/template.hpp"
#include "handlers/common/time_left.hpp"
#include "handlers/webhook/options.hpp"
#include "handlers/webhook/sender.hpp"

namespace {

using fastmqtt::Level;
using fastmqtt::Message;
using fastmqtt::Result;
using fastmqtt::common::Source;
using fastmqtt::webhook::Clock;
using fastmqtt::webhook::Job;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr milliseconds kSlack{500};           // before the daemon would take the message back
constexpr std::chrono::hours kNoDeadline{1};  // long enough for any request
constexpr std::size_t kLongestLine = 8192;    // of a URL or a header, as most servers have it

// A level ".." of a topic would climb in the path, whatever a server makes of it.
bool has_dot_segment(std::string_view url) {
  url = url.substr(0, url.find('?'));
  while (!url.empty()) {
    const std::size_t slash = std::min(url.find('/'), url.size());
    const std::string_view segment = url.substr(0, slash);
    if (segment == "." || segment == "..") return true;
    url.remove_prefix(std::min(slash + 1, url.size()));
  }
  return false;
}

bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7F;
  });
}

// As libcurl wants it; empty ones it would leave out otherwise.
std::string header_line(const std::string& name, const std::string& value) {
  return value.empty() ? name + ";" : name + ": " + value;
}

class Webhook {
 public:
  static constexpr auto& options = fastmqtt::webhook::kOptions;

  explicit Webhook(fastmqtt::Host host)
      : host_(host), missing_(host), options_(host), sender_(host, options_) {}

  Result on_message(const Message& message) {
    Source source(message, host_.name());
    std::string problem;
    auto job = make_job(message, source, problem);
    if (job) return sender_.take(std::move(*job));
    if (missing_.skips(source)) return Result::ok;
    host_.log(Level::error, problem + ": nothing is sent", message);
    return Result::reject;
  }

 private:
  std::optional<Job> make_job(const Message& message, Source& source, std::string& problem) const {
    Job job{message, {}, {}, {}, deadline_of(message)};
    if (!fill_url(source, job, problem) || !fill_headers(source, job, problem)) return std::nullopt;
    if (!options_.body) return job;
    auto body = options_.body->fill(source, problem);
    if (!body) return std::nullopt;
    job.body = std::move(*body);
    return job;
  }

  bool fill_url(Source& source, Job& job, std::string& problem) const {
    const auto url = options_.url.fill(source, fastmqtt::common::in_url);
    if (!url)
      problem = source.missing();
    else if (url->size() > kLongestLine)
      problem = "the URL would have " + std::to_string(url->size()) + " bytes";
    else if (has_dot_segment(*url))
      problem = "the URL would leave its path by a '.' or '..'";
    if (problem.empty()) job.url = *url;
    return problem.empty();
  }

  bool fill_headers(Source& source, Job& job, std::string& problem) const {
    for (const auto& [name, text] : options_.headers) {
      const auto value = text.fill(source);
      if (!value)
        problem = source.missing();
      else if (value->size() > kLongestLine)
        problem = "the header " + name + " would have " + std::to_string(value->size()) + " bytes";
      else if (has_control_character(*value))
        problem = "the header " + name + " would hold a line break or control character";
      if (!problem.empty()) return false;
      job.headers.push_back(header_line(name, *value));
    }
    return true;
  }

  Clock::time_point deadline_of(const Message& message) const {
    return Clock::now() + fastmqtt::common::time_left(host_, message, kSlack).value_or(kNoDeadline);
  }

  const fastmqtt::Host host_;
  const fastmqtt::common::Missing missing_;
  const fastmqtt::webhook::Options options_;
  fastmqtt::webhook::Sender sender_;  // last: it uses the options
};

}  // namespace

FASTMQTT_HANDLER(Webhook, "webhook", "1.0", FASTMQTT_SHARDABLE);
