#include "tests/support/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>
#include <stdexcept>
#include <system_error>

#include "tests/support/files.hpp"

namespace fastmqttd::testing {
namespace {

std::vector<std::string> merged_environment(const std::vector<std::string>& changes) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) all.emplace_back(*entry);
  for (const std::string& change : changes) {
    const std::string name = change.substr(0, change.find('='));
    std::erase_if(all, [&](const std::string& entry) { return entry.starts_with(name + "="); });
    if (change.size() > name.size()) all.push_back(change);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

bool redirect(const char* path, int flags, int descriptor) {
  const int opened = open(path, flags | O_CLOEXEC, 0644);
  return opened >= 0 && dup2(opened, descriptor) >= 0;
}

// Between fork and exec nothing may allocate: other threads of the test may hold locks.
[[noreturn]] void become(const Command& command, char* const* argv, char* const* environment,
                         pid_t parent) {
  constexpr int kAppend = O_WRONLY | O_CREAT | O_APPEND;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent && redirect(command.input.c_str(), O_RDONLY, 0) &&
      redirect(command.output.c_str(), kAppend, 1) && redirect(command.errors.c_str(), kAppend, 2))
    execvpe(argv[0], argv, environment);
  _exit(127);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Exit& exit) {
  if (exit.signal != 0) return out << "killed by signal " << exit.signal;
  return out << "exit status " << exit.status;
}

Process::Process(const Command& command) {
  std::vector<std::string> arguments = command.argv;
  std::vector<std::string> environment = merged_environment(command.environment);
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(environment);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) become(command, argv.data(), envp.data(), parent);
}

Process::~Process() {
  signal(SIGKILL);
  wait();
}

bool Process::running() { return !wait(0ms); }

void Process::signal(int number) {
  if (!exit_) ::kill(pid_, number);
}

std::optional<Exit> Process::wait(Milliseconds within) {
  const auto ended = [this] {
    int status = 0;
    if (exit_) return true;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
    exit_ = WIFSIGNALED(status) ? Exit{.signal = WTERMSIG(status)}
                                : Exit{.status = WEXITSTATUS(status)};
    return true;
  };
  return eventually(within, ended) ? exit_ : std::nullopt;
}

Finished run(Command command, Milliseconds within) {
  const TempDir directory;
  command.output = directory / "output";
  command.errors = directory / "errors";
  Process process(command);
  const std::optional<Exit> exit = process.wait(within);
  if (!exit) throw std::runtime_error(command.argv[0] + " does not end");
  return {*exit, read_file(command.output), read_file(command.errors)};
}

}  // namespace fastmqttd::testing
