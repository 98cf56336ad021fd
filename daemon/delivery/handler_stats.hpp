// What is counted of a handler, for as long as the daemon runs: its workers share it, and so do the
// instances that follow one another in a reload.
//
// Any thread.
#pragma once

#include <prometheus/histogram.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "daemon/base/units.hpp"
#include "daemon/plugin/handler_counters.hpp"

namespace fastmqttd {

struct HandlerStats {
  using Count = std::atomic<std::uint64_t>;

  // Answers.
  Count ok{0}, retry{0}, reject{0};
  Count dead{0};  // given up: rejected, retries used up, too old
  // What was never given to it.
  Count dropped{0};     // not stored, queue full
  Count not_stored{0};  // the same, since the spool could not take it
  Count expired{0};     // before it could be delivered
  // Of these, since the operator last heard of them.
  Count unreported_drops{0}, unreported_expired{0};

  // Seconds: of a message in the handler's hands, and from its arrival to that.
  prometheus::Histogram handling{buckets()}, waiting{buckets()};

  HandlerCounters own;  // what it counts itself

 private:
  static prometheus::Histogram::BucketBoundaries buckets() {
    return {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300};
  }
};

using HandlerStatsPtr = std::shared_ptr<HandlerStats>;

}  // namespace fastmqttd
