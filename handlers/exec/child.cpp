#include "handlers/exec/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "handlers/common/fd.hpp"

extern char** environ;  // NOLINT: of environ(7)

namespace fastmqtt::exec {
namespace {

using Clock = std::chrono::steady_clock;
using common::Fd;
using std::chrono::milliseconds;

constexpr milliseconds kGrace{2000};  // between TERM and KILL
constexpr milliseconds kLook{100};    // for stop()

struct Pipe {
  Fd read, write;
};

std::optional<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

bool write_all(const Fd& to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(to.get(), bytes.data(), bytes.size());
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

void set_nonblocking(const Fd& fd) { ::fcntl(fd.get(), F_SETFL, O_NONBLOCK); }

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

// Ours, but for what systemd meant for the daemon alone, and what the command is given.
std::vector<std::string> environment_for(const Command& command) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const bool private_one = name == "NOTIFY_SOCKET" || name == "WATCHDOG_USEC" ||
                             name == "WATCHDOG_PID" || name == "CREDENTIALS_DIRECTORY" ||
                             name == "INVOCATION_ID" || name == "JOURNAL_STREAM";
    const bool replaced = std::ranges::any_of(
        command.environment, [&](const auto& variable) { return variable.first == name; });
    if (!private_one && !replaced) all.emplace_back(text);
  }
  for (const auto& [name, value] : command.environment) all.push_back(name + "=" + value);
  return all;
}

// With default signals, in a group of its own.
int spawn(const Command& command, const Fd& in, const Pipe& out, const Pipe& err, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out.write.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err.write.get(), STDERR_FILENO);
  // The daemon's connection to the broker is not closed by itself: Paho makes it so.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  if (!command.directory.empty())
    ::posix_spawn_file_actions_addchdir_np(&actions, command.directory.c_str());
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = environment_for(command);
  const int error = ::posix_spawn(&pid, command.program.c_str(), &actions, &attributes,
                                  pointers(arguments).data(), pointers(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  return error;
}

// One that runs: what goes in and comes out, and its end.
class Child {
 public:
  explicit Child(const Started& started)
      : pid_(started.pid),
        pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, started.pid, 0))),
        out_(started.out),
        err_(started.err) {}

  // Until the process is gone; what others that it has left behind still write is not waited for.
  Ended wait(milliseconds timeout, const std::function<bool()>& stop) {
    auto deadline = Clock::now() + timeout;
    const char* why = nullptr;
    while (!has_ended()) {
      const auto now = Clock::now();
      if (!why && (now >= deadline || stop())) {
        why = now >= deadline ? "took longer than its timeout" : "was ended with the handler";
        ::kill(-pid_, SIGTERM);
        deadline = now + kGrace;
      } else if (why && now >= deadline) {
        ::kill(-pid_, SIGKILL);
        deadline = now + kGrace;
      }
      exchange(std::min(kLook, std::chrono::ceil<milliseconds>(deadline - now)));
    }
    exchange(milliseconds(0));
    ::kill(-pid_, SIGKILL);  // whatever it has started: nobody would end it
    return ended(why);
  }

 private:
  bool has_ended() {
    if (!status_) {
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    }
    return status_.has_value();
  }

  void exchange(milliseconds within) {
    std::array<pollfd, 3> events{
        {{pidfd_.get(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
    ::poll(events.data(), events.size(), static_cast<int>(std::max(within.count(), 0l)));
    bool errors_cut = false;
    if (events[1].revents != 0) take(out_, taken_.output, taken_.output_was_cut);
    if (events[2].revents != 0) take(err_, taken_.errors, errors_cut);
  }

  static void take(Fd& from, std::string& to, bool& cut) {
    std::array<char, 16384> some;
    for (;;) {
      const ssize_t size = ::read(from.get(), some.data(), some.size());
      if (size < 0 && errno == EAGAIN) return;
      if (size <= 0) return from.reset();
      const std::size_t room = kMostOutput - std::min(kMostOutput, to.size());
      to.append(some.data(), std::min(static_cast<std::size_t>(size), room));
      if (static_cast<std::size_t>(size) > room) cut = true;
    }
  }

  Ended ended(const char* why) {
    Ended ended = std::move(taken_);
    if (WIFEXITED(*status_) && !why) {
      ended.status = WEXITSTATUS(*status_);
      ended.what = "exit status " + std::to_string(*ended.status);
    } else if (why) {
      ended.what = why;
    } else {
      ended.what = std::string("ended by SIG") + ::sigabbrev_np(WTERMSIG(*status_));
    }
    return ended;
  }

  const pid_t pid_;
  const Fd pidfd_;
  Fd out_, err_;
  Ended taken_;
  std::optional<int> status_;
};

}  // namespace

Started start(const Command& command) {
  const auto check = [&](bool good) {
    if (!good)
      throw std::system_error(errno, std::generic_category(),
                              command.program + ": cannot be started");
  };
  Pipe in;
  if (command.input) {
    in.read = Fd(::memfd_create("input", MFD_CLOEXEC));
    check(in.read && write_all(in.read, *command.input) &&
          ::lseek(in.read.get(), 0, SEEK_SET) == 0);
  } else {
    auto pipe = make_pipe();
    check(pipe.has_value());
    in = std::move(*pipe);
  }
  auto out = make_pipe(), err = make_pipe();
  check(out && err);
  Started started;
  errno = spawn(command, in.read, *out, *err, started.pid);
  check(errno == 0);
  for (const Fd* fd : {&in.write, &out->read, &err->read})
    if (*fd) set_nonblocking(*fd);
  started.in = in.write.release();
  started.out = out->read.release();
  started.err = err->read.release();
  return started;
}

Ended run(const Command& command, const std::function<bool()>& stop) {
  try {
    return Child(start(command)).wait(command.timeout, stop);
  } catch (const std::system_error& error) {
    return {.what = error.what(), .was_too_long = error.code().value() == E2BIG};
  }
}

void block_broken_pipes() {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
}

std::string find_program(const std::string& name) {
  const auto may_run = [](const std::string& path) {
    std::error_code none;
    return std::filesystem::is_regular_file(path, none) && ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) return may_run(name) ? name : "";
  const char* given = std::getenv("PATH");
  std::string_view path = given ? given : "/usr/local/bin:/usr/bin:/bin";
  while (!name.empty() && !path.empty()) {
    const std::size_t colon = path.find(':');
    const std::string candidate = std::string(path.substr(0, colon)) + "/" + name;
    if (may_run(candidate)) return candidate;
    path.remove_prefix(colon == std::string_view::npos ? path.size() : colon + 1);
  }
  return {};
}

std::string variable_name(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += !fits ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (const std::string_view line = text.substr(0, end); !line.empty()) lines.emplace_back(line);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

}  // namespace fastmqtt::exec
