#include "handlers/webhook/sender.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <iterator>
#include <string>

namespace fastmqtt::webhook {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{1000};          // for what is late
constexpr milliseconds kLeastTime{100};      // with less of it left, no request is begun
constexpr milliseconds kGather{1};           // for what is handed over together
constexpr std::size_t kMostBytes = 1 << 19;  // of a batch; many servers take a mebibyte
constexpr std::chrono::hours kLongestHold{1};

// A connection that the server has closed is an error, and no signal.
void block_broken_pipes() {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
}

// One bad message may be the reason why a batch is refused.
bool may_be_due_to_one(int status) { return status == 400 || status == 413 || status == 422; }

std::string count_of(const Jobs& jobs) {
  return jobs.size() == 1 ? "" : " (" + std::to_string(jobs.size()) + " messages in one request)";
}

}  // namespace

Sender::Sender(Host host, const Options& options)
    : host_(host),
      options_(options),
      requests_counter_(host.counter("requests")),
      most_(options.parallel * options.batch.size),
      multi_(curl_multi_init(), curl_multi_cleanup) {
  if (!multi_) throw std::runtime_error("libcurl has no memory");
  const long parallel = static_cast<long>(options_.parallel);
  curl_multi_setopt(multi_.get(), CURLMOPT_MAX_TOTAL_CONNECTIONS, parallel);
  curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, parallel);
  for (std::size_t i = 0; i < options_.parallel; ++i) {
    requests_.push_back(std::make_unique<Request>(options_));
    idle_.push_back(requests_.back().get());
  }
  thread_ = std::thread([this] { run(); });
}

Sender::~Sender() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_.get());
  thread_.join();
  for (const auto& request : requests_) curl_multi_remove_handle(multi_.get(), request->handle());
}

Result Sender::take(Job job) {
  const TimePoint last = job.deadline - kLeastTime;
  std::unique_lock lock(mutex_);
  const bool decided =
      changed_.wait_until(lock, last, [&] { return in_hand_ < most_ || held_until_ > last; });
  if (!decided || held_until_ > last) return Result::retry;
  const TimePoint now = Clock::now();
  const bool first = gathering_.empty();
  if (first) {
    // It has waited since it arrived, not only since it was handed over.
    const auto age = std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now() -
                                                              job.message.received());
    gathered_ = now + std::max(kGather, std::min(options_.batch.delay, options_.batch.delay - age));
  }
  ++in_hand_;
  gathering_bytes_ += job.body.size();
  gathering_.push_back(std::move(job));
  const bool full = gathering_.size() >= options_.batch.size || gathering_bytes_ >= kMostBytes;
  if (full) close_batch();
  lock.unlock();
  if (first || full) curl_multi_wakeup(multi_.get());
  return Result::pending;
}

// Under the lock.
void Sender::close_batch() {
  ready_.push_back(std::exchange(gathering_, {}));
  gathering_bytes_ = 0;
}

void Sender::run() {
  block_broken_pipes();
  while (const auto wait = start_what_is_due()) {
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    if (!take_answers())
      curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(wait->count()), nullptr);
  }
}

// How long there is nothing to start; nothing: it is to end.
std::optional<milliseconds> Sender::start_what_is_due() {
  std::unique_lock lock(mutex_);
  const TimePoint now = Clock::now();
  Jobs late;
  give_back_late(now, late);
  const bool held = held_until_ > now;
  // While no request could go, the batch may grow.
  if (!held && ready_.empty() && !gathering_.empty() && !idle_.empty() && gathered_ <= now)
    close_batch();
  std::deque<Jobs> due;
  while (!held && !ready_.empty() && due.size() < idle_.size()) {
    due.push_back(std::move(ready_.front()));
    ready_.pop_front();
  }
  TimePoint next = now + kLook;
  if (held) next = std::min(next, held_until_);
  if (!held && !gathering_.empty() && gathered_ > now) next = std::min(next, gathered_);
  if (stopping_) return std::nullopt;
  lock.unlock();
  complete(late, Result::retry);
  for (Jobs& jobs : due) start(std::move(jobs));
  return std::chrono::ceil<milliseconds>(next - now);
}

bool Sender::comes_too_late(const Jobs& jobs, TimePoint now) const {
  const TimePoint start = std::max(now, held_until_);
  return std::ranges::any_of(jobs,
                             [&](const Job& job) { return start + kLeastTime > job.deadline; });
}

// Under the lock: what cannot be sent in its time.
void Sender::give_back_late(TimePoint now, Jobs& late) {
  const auto take = [&](Jobs& jobs) {
    if (!comes_too_late(jobs, now)) return false;
    std::ranges::move(jobs, std::back_inserter(late));
    jobs.clear();
    return true;
  };
  std::erase_if(ready_, take);
  if (take(gathering_)) gathering_bytes_ = 0;
}

void Sender::start(Jobs jobs) {
  Request* const request = idle_.back();
  if (!request->load(std::move(jobs), Clock::now()) ||
      curl_multi_add_handle(multi_.get(), request->handle()) != CURLM_OK) {
    const Jobs refused = request->take_jobs();
    host_.log(Level::error, "libcurl has no memory", refused.front().message);
    return complete(refused, Result::retry);
  }
  idle_.pop_back();
  requests_counter_.add();
}

// Whether there were any.
bool Sender::take_answers() {
  bool any = false;
  int left = 0;
  while (CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    Request& request = *Request::of(message->easy_handle);
    curl_multi_remove_handle(multi_.get(), request.handle());  // the end of `message`
    finish(request, code);
    any = true;
  }
  return any;
}

void Sender::finish(Request& request, CURLcode code) {
  const Outcome outcome = request.outcome(code);
  Jobs jobs = request.take_jobs();
  idle_.push_back(&request);
  if (outcome.result == Result::retry) {
    note_trouble(outcome, jobs);
    hold(outcome);
    if (outcome.retry_after.count() == 0 || !send_again(jobs)) complete(jobs, Result::retry);
    return;
  }
  note_answer();
  if (outcome.result == Result::reject) {
    if (jobs.size() > 1 && may_be_due_to_one(outcome.status)) return split(std::move(jobs));
    host_.log(Level::error, outcome.text + count_of(jobs), jobs.front().message);
  }
  complete(jobs, outcome.result);
}

// As long as the server asks for.
void Sender::hold(const Outcome& outcome) {
  if (outcome.retry_after.count() == 0) return;
  {
    const std::lock_guard lock(mutex_);
    held_until_ = std::max(held_until_, Clock::now() + std::min<std::chrono::seconds>(
                                                           outcome.retry_after, kLongestHold));
  }
  changed_.notify_all();
}

// Once the server wants it, if that is in time: then it is no failure.
bool Sender::send_again(Jobs& jobs) {
  const std::lock_guard lock(mutex_);
  if (comes_too_late(jobs, Clock::now())) return false;
  ready_.push_front(std::move(jobs));
  return true;
}

// Halves find the bad one with few requests.
void Sender::split(Jobs jobs) {
  const auto middle = jobs.begin() + static_cast<std::ptrdiff_t>(jobs.size() / 2);
  Jobs second(std::make_move_iterator(middle), std::make_move_iterator(jobs.end()));
  jobs.erase(middle, jobs.end());
  const std::lock_guard lock(mutex_);
  ready_.push_front(std::move(second));
  ready_.push_front(std::move(jobs));
}

void Sender::complete(const Jobs& jobs, Result result) {
  if (jobs.empty()) return;
  for (const Job& job : jobs) host_.complete(job.message.id(), result);
  {
    const std::lock_guard lock(mutex_);
    in_hand_ -= jobs.size();
  }
  changed_.notify_all();
}

// Once, and not for each message that is tried meanwhile.
void Sender::note_trouble(const Outcome& outcome, const Jobs& jobs) {
  const std::string asks =
      outcome.retry_after.count() == 0
          ? ""
          : "; it asks for a pause of " + std::to_string(outcome.retry_after.count()) + " s";
  host_.log(in_trouble_ ? Level::debug : Level::error, outcome.text + asks + count_of(jobs),
            jobs.front().message);
  in_trouble_ = true;
}

void Sender::note_answer() {
  if (std::exchange(in_trouble_, false)) host_.log(Level::info, options_.server + " answers again");
}

}  // namespace fastmqtt::webhook
