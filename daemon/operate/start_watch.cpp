#include "daemon/operate/start_watch.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <cstdint>
#include <cstdlib>

#include "daemon/base/log.hpp"
#include "daemon/base/units.hpp"
#include "daemon/plugin/handler_call.hpp"

namespace fastmqttd {
namespace {

constexpr Duration kLong = std::chrono::seconds(5);

UniqueFd stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC));
}

}  // namespace

StartWatch::StartWatch() : done_(::eventfd(0, EFD_CLOEXEC)), thread_([this] { watch(); }) {}

StartWatch::~StartWatch() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(done_.get(), &one, sizeof one);
  thread_.join();
}

void StartWatch::watch() const {
  const UniqueFd signals = stop_signals();
  for (;;) {
    pollfd events[] = {{done_.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    const int ready = ::poll(events, 2, static_cast<int>(kLong.count()));
    if (events[0].revents != 0) return;
    const char* handler = HandlerCall::starting();
    if (ready > 0) {
      log::info("stopped while starting{}{}", handler ? " the handler " : "",
                handler ? handler : "");
      std::_Exit(0);
    }
    if (ready == 0 && handler)
      log::warning("the handler {} has been starting for more than {}", handler,
                   format_duration(kLong));
  }
}

}  // namespace fastmqttd
