#include "daemon/operate/crash_report.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "daemon/base/error.hpp"
#include "daemon/base/log.hpp"
#include "daemon/plugin/handler_call.hpp"
#include "daemon/spool/crash_note.hpp"

namespace fastmqttd {
namespace {

// A child that a handler has forked is not the daemon.
pid_t daemon_pid = 0;

// With nothing that is not safe in a signal handler, signal-safety(7).
void write_text(const char* text) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
}

void note(const char* handler, const char* what) {
  note_crash(handler, what, HandlerCall::messages(), HandlerCall::message_count());
}

extern "C" void report_signal(int signal) {
  const char* handler = ::getpid() == daemon_pid ? HandlerCall::current() : nullptr;
  if (handler) {
    std::array<char, 32> what{};
    ::stpcpy(::stpcpy(::stpcpy(what.data(), "crashed (SIG"), ::sigabbrev_np(signal)), ")");
    note(handler, what.data());
    write_text("handler ");
    write_text(handler);
    write_text(" crashed, and the daemon with it: SIG");
    write_text(::sigabbrev_np(signal));
    write_text("\n");
  }
  ::raise(signal);  // SA_RESETHAND: this time with its default action
}

void report_exit() {
  const char* handler = ::getpid() == daemon_pid ? HandlerCall::current() : nullptr;
  if (!handler) return;
  note(handler, "ended the process by exit()");
  log::error("handler {} ended the process by exit(): that is not for a handler to do", handler);
  ::_exit(static_cast<int>(ExitStatus::internal));
}

}  // namespace

void install_crash_report() {
  daemon_pid = ::getpid();
  std::atexit(report_exit);
  std::at_quick_exit(report_exit);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they have their own
  struct sigaction action {};
  action.sa_handler = report_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_NODEFER | SA_ONSTACK;
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP, SIGXFSZ})
    ::sigaction(signal, &action, nullptr);
#endif
}

}  // namespace fastmqttd
