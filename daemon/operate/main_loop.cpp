#include "daemon/operate/main_loop.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <system_error>

namespace fastmqttd {
namespace {

constexpr std::uint64_t kAccuracyUs = 10'000;

void check(int result, const char* what) {
  if (result < 0) throw std::system_error(-result, std::generic_category(), what);
}

sigset_t handled_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

std::uint64_t to_us(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::microseconds(duration).count());
}

}  // namespace

MainLoop::MainLoop(Action woken) : wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!wake_fd_) throw std::system_error(errno, std::generic_category(), "eventfd");
  check(::sd_event_new(&loop_), "sd_event_new");
  Source& source = add([this, woken = std::move(woken)] {
    std::uint64_t count = 0;
    // Emptied first: a wake-up that comes during `woken` makes another round.
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_.get(), &count, sizeof count);
    woken();
  });
  const auto run_action = [](sd_event_source*, int, std::uint32_t, void* data) {
    static_cast<Source*>(data)->action();
    return 0;
  };
  check(::sd_event_add_io(loop_, &source.source, wake_fd_.get(), EPOLLIN, run_action, &source),
        "sd_event_add_io");
}

MainLoop::~MainLoop() {
  for (const auto& source : sources_) ::sd_event_source_unref(source->source);
  ::sd_event_unref(loop_);
}

void MainLoop::block_signals() {
  const sigset_t signals = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

void MainLoop::unblock_signals() {
  const sigset_t signals = handled_signals();
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

void MainLoop::on_signal(int signal, Action action) {
  Source& source = add(std::move(action));
  const auto run_action = [](sd_event_source*, const signalfd_siginfo*, void* data) {
    static_cast<Source*>(data)->action();
    return 0;
  };
  check(::sd_event_add_signal(loop_, &source.source, signal, run_action, &source),
        "sd_event_add_signal");
}

void MainLoop::every(Duration interval, Action action) {
  Source& source = add(std::move(action), interval);
  check(::sd_event_add_time_relative(loop_, &source.source, CLOCK_MONOTONIC, to_us(interval),
                                     kAccuracyUs, on_time, &source),
        "sd_event_add_time");
}

void MainLoop::once_after(Duration delay, Action action) {
  Source& source = add(std::move(action));
  check(::sd_event_add_time_relative(loop_, &source.source, CLOCK_MONOTONIC, to_us(delay),
                                     kAccuracyUs, on_time, &source),
        "sd_event_add_time");
}

int MainLoop::on_time(sd_event_source* event, std::uint64_t, void* data) {
  Source& source = *static_cast<Source*>(data);
  source.action();
  if (source.interval > Duration(0)) {
    ::sd_event_source_set_time_relative(event, to_us(source.interval));
    ::sd_event_source_set_enabled(event, SD_EVENT_ONESHOT);
  } else {
    ::sd_event_source_unref(event);
    source.loop.sources_.remove_if([&](const auto& other) { return other.get() == &source; });
  }
  return 0;
}

void MainLoop::wake() {
  const std::uint64_t one = 1;
  // It fails only when the counter is full, and then the loop is awake anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_.get(), &one, sizeof one);
}

int MainLoop::run() {
  const int status = ::sd_event_loop(loop_);
  check(status, "sd_event_loop");
  return status;
}

void MainLoop::finish(int status) { ::sd_event_exit(loop_, status); }

MainLoop::Source& MainLoop::add(Action action, Duration interval) {
  return *sources_.emplace_back(
      std::make_unique<Source>(Source{*this, std::move(action), interval, nullptr}));
}

}  // namespace fastmqttd
