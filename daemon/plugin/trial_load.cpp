#include "daemon/plugin/trial_load.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "daemon/base/log.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/plugin/dl_error.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kMaxOutput = 64 << 10;
constexpr std::size_t kMaxShown = 200;

// pidfd_open(2); the header of glibc 2.36 forgets C++.
int open_pidfd(pid_t process) { return static_cast<int>(::syscall(SYS_pidfd_open, process, 0)); }

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return {};
  ::fcntl(fds[0], F_SETFL, O_NONBLOCK);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// What there is to read now.
void drain(int fd, std::string& text) {
  char buffer[4096];
  for (ssize_t got; (got = ::read(fd, buffer, sizeof buffer)) > 0;)
    if (text.size() < kMaxOutput) text.append(buffer, static_cast<std::size_t>(got));
}

// In the child: the verdict is "loaded", or why not, and nothing when it does not get that far.
[[noreturn]] void load_and_exit(const std::string& path, int verdict, int output) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setpgid(0, 0);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) ::signal(signal, SIG_DFL);
  ::dlerror();
  const bool loaded = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr;
  write_all(verdict, loaded ? "loaded" : "cannot be loaded: " + dl_error(path));
  ::_exit(0);
}

// The last line that is one, for a report.
std::string last_line(std::string_view output) {
  while (!output.empty() && (output.back() == '\n' || output.back() == ' '))
    output.remove_suffix(1);
  const std::size_t newline = output.rfind('\n');
  if (newline != output.npos) output.remove_prefix(newline + 1);
  while (output.starts_with(' ')) output.remove_prefix(1);
  std::string line(output.substr(0, kMaxShown));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  return line.empty() ? line : ": it says: " + line;
}

std::string how_it_ended(int status, std::string_view output) {
  std::string how;
  if (WIFSIGNALED(status))
    how = "its constructor crashes: SIG" + std::string(::sigabbrev_np(WTERMSIG(status)));
  else
    how = "its constructor ends the process, with status " + std::to_string(WEXITSTATUS(status));
  return how + last_line(output);
}

}  // namespace

std::string trial_load(const std::string& path, Duration limit) {
  const Pipe verdict = make_pipe();
  Pipe output = make_pipe();
  const pid_t child = verdict.read && output.read ? ::fork() : -1;
  if (child == 0) load_and_exit(path, verdict.write.get(), output.write.get());
  const UniqueFd watch(child > 0 ? open_pidfd(child) : -1);
  if (!watch) {
    // Short of processes or descriptors: the load itself will tell.
    log::warning("cannot try {} in a process of its own: {}, ignoring", path, std::strerror(errno));
    if (child > 0) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    return {};
  }
  output.write = UniqueFd();
  std::string said;
  const TimePoint deadline = Clock::now() + limit;
  bool ended = false, listening = true;
  while (!ended && Clock::now() < deadline) {
    pollfd events[] = {{watch.get(), POLLIN, 0}, {listening ? output.read.get() : -1, POLLIN, 0}};
    const auto left = std::chrono::ceil<Duration>(deadline - Clock::now());
    if (::poll(events, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) break;
    if ((events[1].revents & POLLIN) != 0)
      drain(output.read.get(), said);
    else if (events[1].revents != 0)
      listening = false;  // all writers are gone
    ended = events[0].revents != 0;
  }
  if (!ended) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ::kill(-child, SIGKILL);  // what its constructors have started
  drain(output.read.get(), said);
  if (!ended)
    return "its constructor has not returned for " + format_duration(limit) + last_line(said);
  std::string judged;
  drain(verdict.read.get(), judged);
  if (judged == "loaded") return {};
  return judged.empty() ? how_it_ended(status, said) : judged;
}

}  // namespace fastmqttd
