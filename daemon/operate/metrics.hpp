// The daemon in numbers, in the format that Prometheus scrapes
// (prometheus.io/docs/instrumenting/exposition_formats), read when it does.
//
// Any thread.
#pragma once

#include <prometheus/collectable.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "daemon/delivery/dispatcher.hpp"
#include "daemon/session/session.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

// Reloads, by their result.
struct ReloadCounts {
  std::atomic<std::uint64_t> applied{0}, refused{0};
};

class Metrics : public prometheus::Collectable {
 public:
  // All must outlive it.
  Metrics(Dispatcher& dispatcher, const Session& session, Spool& spool, const ReloadCounts& reloads)
      : dispatcher_(dispatcher), session_(session), spool_(spool), reloads_(reloads) {}

  std::vector<prometheus::MetricFamily> Collect() const override;
  // All of it as text.
  std::string text() const;

 private:
  Dispatcher& dispatcher_;
  const Session& session_;
  Spool& spool_;
  const ReloadCounts& reloads_;
};

}  // namespace fastmqttd
