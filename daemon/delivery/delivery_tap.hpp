// The latest deliveries, for whoever looks on; nothing is kept while nobody does.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/units.hpp"

namespace fastmqttd {

class DeliveryTap {
 public:
  static constexpr std::size_t kMost = 4096;  // that are kept
  static constexpr Duration kLooksOn = std::chrono::seconds(15);

  // One answer of a handler.
  struct One {
    std::uint64_t number = 0;  // in the order of the answers
    std::int64_t time_ns = 0;  // CLOCK_REALTIME
    std::string topic;
    std::string handler;
    const char* result = "";  // ok, retry, reject or dead
    std::uint32_t attempt = 0;
    std::int64_t took_ns = 0;  // in the handler's hands
  };

  // Whether somebody looks on: else add() need not be called.
  bool is_watched() const { return watched_until_.load(std::memory_order_relaxed) != TimePoint(); }
  void add(One one) {
    auto kept = kept_.lock();
    if (Clock::now() > watched_until_.load()) {
      watched_until_ = TimePoint();
      kept->clear();
      return;
    }
    one.number = ++last_;
    kept->push_back(std::move(one));
    if (kept->size() > kMost) kept->pop_front();
  }

  // The number of the latest.  From now on, for kLooksOn, somebody looks on.
  std::uint64_t watch() {
    watched_until_ = Clock::now() + kLooksOn;
    return last_;
  }
  // Those behind `after` that are still kept, at most `limit`.
  std::vector<One> read(std::uint64_t after, std::size_t limit) const {
    std::vector<One> all;
    const auto kept = kept_.lock();
    for (const One& one : *kept) {
      if (all.size() == limit) break;
      if (one.number > after) all.push_back(one);
    }
    return all;
  }

 private:
  std::atomic<TimePoint> watched_until_{TimePoint()};  // the epoch: nobody does
  std::atomic<std::uint64_t> last_{0};
  mutable Guarded<std::deque<One>> kept_;
};

}  // namespace fastmqttd
