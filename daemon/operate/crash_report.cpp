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

// With nothing that is not safe in a signal handler, signal-safety(7).
void write_text(const char* text) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
}

extern "C" void report_signal(int signal) {
  if (const char* handler = HandlerCall::current()) {
    write_text("handler ");
    write_text(handler);
    write_text(" crashed, and the daemon with it: SIG");
    write_text(::sigabbrev_np(signal));
    write_text("\n");
    std::array<char, 32> what{};
    ::stpcpy(::stpcpy(::stpcpy(what.data(), "crashed (SIG"), ::sigabbrev_np(signal)), ")");
    write_crash_note(handler, what.data(), HandlerCall::messages(), HandlerCall::message_count());
  }
  ::raise(signal);  // SA_RESETHAND: this time with its default action
}

void report_exit() {
  const char* handler = HandlerCall::current();
  if (!handler) return;
  log::error("handler {} ended the process by exit(): that is not for a handler to do", handler);
  write_crash_note(handler, "ended the process by exit()", HandlerCall::messages(),
                   HandlerCall::message_count());
  ::_exit(static_cast<int>(ExitStatus::internal));
}

}  // namespace

void install_crash_report() {
  std::atexit(report_exit);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they have their own
  struct sigaction action {};
  action.sa_handler = report_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_NODEFER | SA_ONSTACK;
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL})
    ::sigaction(signal, &action, nullptr);
#endif
}

}  // namespace fastmqttd
