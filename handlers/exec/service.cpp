#include "handlers/exec/service.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

#include "handlers/common/message_json.hpp"
#include "handlers/common/time_left.hpp"

namespace fastmqtt::exec {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{1000};
constexpr milliseconds kLongestPause{60'000};
constexpr milliseconds kGrace{2000};  // to end by itself, and after TERM
constexpr milliseconds kSlack{500};   // before the daemon would take a message back
constexpr std::size_t kLongestLine = 16 << 20;

std::optional<Level> level_of(const std::string& word) {
  if (word == "debug") return Level::debug;
  if (word == "info") return Level::info;
  if (word == "warning") return Level::warning;
  return word == "error" ? std::optional(Level::error) : std::nullopt;
}

std::optional<Result> result_of(const std::string& word) {
  if (word == "ok") return Result::ok;
  if (word == "retry") return Result::retry;
  return word == "reject" ? std::optional(Result::reject) : std::nullopt;
}

// A member of the type that its default has; the default when it is another.
template <class T>
T member(const Json& object, const char* name, T fallback) {
  const auto found = object.find(name);
  if (found == object.end()) return fallback;
  try {
    return found->get<T>();
  } catch (const Json::exception&) {
    return fallback;
  }
}

std::string cut(std::string_view line) {
  constexpr std::size_t kShown = 200;
  return std::string(line.substr(0, kShown)) + (line.size() > kShown ? "..." : "");
}

}  // namespace

struct Service::Program {
  explicit Program(const Started& given)
      : started(given), pidfd(static_cast<int>(::syscall(SYS_pidfd_open, given.pid, 0))) {}
  ~Program() {
    close_input();
    if (!ended_within(kGrace)) {
      ::kill(-started.pid, SIGTERM);
      if (!ended_within(kGrace)) ::kill(-started.pid, SIGKILL);
    }
    int status = 0;
    ::waitpid(started.pid, &status, 0);
    ::kill(-started.pid, SIGKILL);  // what it has started
    for (const int fd : {started.out, started.err, pidfd})
      if (fd >= 0) ::close(fd);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void close_input() {
    if (started.in >= 0) ::close(std::exchange(started.in, -1));
  }
  bool ended_within(milliseconds limit) const {
    pollfd event{pidfd, POLLIN, 0};
    return ::poll(&event, 1, static_cast<int>(limit.count())) == 1;
  }

  Started started;
  const int pidfd;
  std::string unwritten, unread, errors;
};

Service::Service(Host host, Command command, std::size_t parallel, milliseconds timeout)
    : host_(host),
      command_(std::move(command)),
      parallel_(parallel),
      timeout_(timeout),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Service::~Service() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  wake();
  if (thread_.joinable()) thread_.join();
  ::close(wake_fd_);
}

void Service::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

// In `limit`, but well before the daemon would take the message back.
Service::Clock::time_point Service::deadline_of(const Message& message, milliseconds limit) const {
  const auto left = common::time_left(host_, message, kSlack);
  return Clock::now() + (left ? std::min<std::chrono::nanoseconds>(limit, *left) : limit);
}

Result Service::take(const Message& message) {
  start();
  std::string line = common::delivery_json(message) + "\n";
  std::unique_lock lock(mutex_);
  const bool decided = changed_.wait_until(lock, deadline_of(message, timeout_), [this] {
    return phase_ == Phase::down || (phase_ == Phase::up && flying_.size() < parallel_);
  });
  if (!decided || phase_ == Phase::down) return Result::retry;
  flying_.emplace(message.id(), Flying{message, deadline_of(message, timeout_)});
  lines_.push_back(std::move(line));
  lock.unlock();
  wake();
  return Result::pending;
}

void Service::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
}

void Service::run() {
  block_broken_pipes();
  milliseconds pause = kFirstPause;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    has_answered_ = false;
    try {
      Program program(exec::start(command_));
      lock.lock();
      phase_ = Phase::up;
      lock.unlock();
      changed_.notify_all();
      converse(program);
      retry_all();  // nobody reads what it may still say
    } catch (const std::system_error& error) {
      host_.log(Level::error, error.what());
      retry_all();
    }
    if (has_answered_) pause = kFirstPause;
    lock.lock();
    changed_.wait_for(lock, pause, [this] { return stopping_; });
    pause = std::min(pause * 2, kLongestPause);
  }
}

// Until the program has ended, or has to.
void Service::converse(Program& program) {
  for (;;) {
    std::array<pollfd, 5> events{{{program.pidfd, POLLIN, 0},
                                  {program.unwritten.empty() ? -1 : program.started.in, POLLOUT, 0},
                                  {program.started.out, POLLIN, 0},
                                  {program.started.err, POLLIN, 0},
                                  {wake_fd_, POLLIN, 0}}};
    ::poll(events.data(), events.size(), static_cast<int>(until_next_deadline().count()));
    std::uint64_t count = 0;
    if (events[4].revents != 0) [[maybe_unused]]
      const ssize_t read = ::read(wake_fd_, &count, sizeof count);
    const bool sound = write_lines(program) && read_answers(program);
    if (events[0].revents != 0) {
      siginfo_t info{};
      ::waitid(P_PID, static_cast<id_t>(program.started.pid), &info, WEXITED | WNOWAIT);
      host_.log(Level::error,
                info.si_code == CLD_EXITED
                    ? "the program has ended: exit status " + std::to_string(info.si_status)
                    : std::string("the program has ended: SIG") + ::sigabbrev_np(info.si_status));
      return;
    }
    if (!sound) return;
    if (is_overdue()) {
      host_.log(Level::error, "the program has not answered within its timeout: starting it again");
      ::kill(-program.started.pid, SIGTERM);
      return;
    }
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
  }
}

// False when it does not read any more.
bool Service::write_lines(Program& program) {
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& line : lines_) program.unwritten += line;
    lines_.clear();
  }
  if (program.unwritten.empty()) return true;
  const ssize_t written =
      ::write(program.started.in, program.unwritten.data(), program.unwritten.size());
  if (written > 0) program.unwritten.erase(0, static_cast<std::size_t>(written));
  const bool closed = written < 0 && errno == EPIPE;
  if (closed && !program.ended_within(kGrace))
    host_.log(Level::error, "the program has closed its standard input: starting it again");
  return !closed;
}

// False when it says what nobody could read, or can say nothing more.
bool Service::read_answers(Program& program) {
  std::array<char, 16384> some;
  const auto take_lines = [&](int& fd, std::string& text, auto act) {
    ssize_t size = 0;
    while (fd >= 0 && (size = ::read(fd, some.data(), some.size())) > 0)
      text.append(some.data(), static_cast<std::size_t>(size));
    if (fd >= 0 && size == 0) ::close(std::exchange(fd, -1));
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
      act(std::string_view(text).substr(begin, end - begin));
    text.erase(0, begin);
    return text.size() <= kLongestLine;
  };
  const bool sound = take_lines(program.started.out, program.unread,
                                [this](std::string_view line) { answer(line); }) &&
                     take_lines(program.started.err, program.errors, [this](std::string_view line) {
                       if (!line.empty()) host_.log(Level::warning, line);
                     });
  if (!sound) host_.log(Level::error, "the program writes lines without an end: starting it again");
  if (program.started.out < 0 && !program.ended_within(kGrace)) {
    host_.log(Level::error, "the program has closed its standard output: starting it again");
    return false;
  }
  return sound;
}

Result Service::publish(const Json& said) {
  const auto topic = said.is_object() ? said.find("topic") : said.end();
  const auto payload = said.is_object() ? said.find("payload") : said.end();
  if (topic == said.end() || !topic->is_string() ||
      (payload != said.end() && !payload->is_string())) {
    host_.log(Level::error, "publish: expected a topic and a payload, both texts");
    return Result::reject;
  }
  return host_.publish(topic->get<std::string>(), member<std::string>(said, "payload", ""),
                       {.qos = member(said, "qos", 1), .retain = member(said, "retain", false)});
}

void Service::answer(std::string_view line) {
  if (line.empty()) return;
  const Json said = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!said.is_object()) return host_.log(Level::warning, "no JSON object: " + cut(line));
  if (const auto text = said.find("log"); text != said.end() && text->is_string())
    host_.log(level_of(member<std::string>(said, "level", "info")).value_or(Level::info),
              text->get<std::string>());
  const Result published = said.contains("publish") ? publish(said.at("publish")) : Result::ok;
  if (!said.contains("id")) {
    if (published == Result::retry)
      host_.log(Level::error,
                "the way to the broker is full: what the program publishes by itself is lost: " +
                    cut(line));
    return;
  }

  std::unique_lock lock(mutex_);
  const auto flying = flying_.find(member<std::uint64_t>(said, "id", 0));
  if (flying == flying_.end()) {
    lock.unlock();
    return host_.log(Level::warning, "answers what it was not asked, or too late: " + cut(line));
  }
  const Message message = flying->second.message;
  lock.unlock();  // the message is there until it is complete
  const auto given = result_of(member<std::string>(said, "result", "ok"));
  Result result = given.value_or(Result::retry);
  if (!given)
    host_.log(Level::error, "result: expected ok, retry or reject: " + cut(line), message);
  if (result == Result::ok) result = published;
  if (const std::string reason = member<std::string>(said, "reason", ""); !reason.empty())
    host_.log(Level::error, reason, message);
  has_answered_ = true;
  lock.lock();
  flying_.erase(message.id());
  lock.unlock();
  host_.complete(message.id(), result);
  changed_.notify_all();
}

bool Service::is_overdue() {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(
      flying_, [now = Clock::now()](const auto& one) { return one.second.deadline <= now; });
}

milliseconds Service::until_next_deadline() {
  const std::lock_guard lock(mutex_);
  auto next = Clock::now() + kLongestPause;
  for (const auto& [id, flying] : flying_) next = std::min(next, flying.deadline);
  return std::max(std::chrono::ceil<milliseconds>(next - Clock::now()), milliseconds(0));
}

// What the program had in its hands.
void Service::retry_all() {
  std::map<std::uint64_t, Flying> all;
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::down;
    lines_.clear();
    all.swap(flying_);
  }
  for (const auto& [id, flying] : all) host_.complete(id, Result::retry);
  changed_.notify_all();
}

}  // namespace fastmqtt::exec
