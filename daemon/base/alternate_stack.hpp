// Where signal handlers of this thread run, so that one can tell of a stack that has overflowed.
#pragma once

#include <signal.h>

#include <cstddef>
#include <memory>

namespace fastmqttd {

// For the thread that makes it, until it ends; sigaltstack(2).
class AlternateStack {
 public:
  AlternateStack() : memory_(std::make_unique<std::byte[]>(kSize)) {
    stack_t stack{};
    stack.ss_sp = memory_.get();
    stack.ss_size = kSize;
    ::sigaltstack(&stack, &before_);
  }
  ~AlternateStack() { ::sigaltstack(&before_, nullptr); }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

 private:
  static constexpr std::size_t kSize = 64 << 10;

  const std::unique_ptr<std::byte[]> memory_;
  stack_t before_{};
};

}  // namespace fastmqttd
