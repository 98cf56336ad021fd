#include "daemon/operate/main_loop.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

namespace fastmqttd {
namespace {

using namespace std::chrono_literals;

TEST(MainLoop, WakesFromAnyThread) {
  int woken = 0;
  MainLoop* self = nullptr;
  MainLoop loop([&] {
    ++woken;
    self->finish(7);
  });
  self = &loop;
  std::thread other([&] {
    loop.wake();
    loop.wake();
  });
  EXPECT_EQ(loop.run(), 7);
  EXPECT_EQ(woken, 1);
  other.join();
}

TEST(MainLoop, RunsTimersOnceAndRepeatedly) {
  MainLoop loop([] {});
  int ticks = 0, once = 0;
  loop.once_after(1ms, [&] { ++once; });
  loop.every(2ms, [&] {
    if (++ticks == 5) loop.finish(0);
  });
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(ticks, 5);
  EXPECT_EQ(once, 1);
}

TEST(MainLoop, DeliversSignals) {
  MainLoop::block_signals();
  MainLoop loop([] {});
  loop.on_signal(SIGHUP, [&] { loop.finish(3); });
  ::raise(SIGHUP);
  EXPECT_EQ(loop.run(), 3);
}

}  // namespace
}  // namespace fastmqttd
