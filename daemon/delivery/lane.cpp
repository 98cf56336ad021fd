#include "daemon/delivery/lane.hpp"

#include <algorithm>
#include <string_view>

namespace fastmqttd {

Lane::Lane(const HandlerConfig& config, const HandlerLibrary& library, Outbox& outbox,
           bool drops_any, std::function<void(const Message&)> settled,
           std::function<void()> attention)
    : config_(config),
      room_(std::make_shared<QueueRoom>(config.queue)),
      sender_(Outbox::make_sender(config.name, library.name, config.queue)) {
  const Worker::Shared shared{config_,
                              library,
                              room_,
                              outbox,
                              sender_,
                              drops_any,
                              std::move(settled),
                              std::move(attention)};
  for (int place = 0; place < config_.workers; ++place)
    workers_.push_back(std::make_unique<Worker>(shared, place));
}

Lane::~Lane() { abandon(); }

void Lane::start() {
  for (const auto& worker : workers_) worker->start();
}

Worker& Lane::worker_for(const Message& message) {
  if (workers_.size() == 1) return *workers_.front();
  const std::size_t spread = std::hash<std::string_view>()(message.topic());
  return *workers_[spread % workers_.size()];
}

void Lane::close() {
  for (const auto& worker : workers_) worker->close();
}

void Lane::abandon() {
  for (const auto& worker : workers_) worker->abandon();
}

bool Lane::finished() const {
  return std::ranges::all_of(workers_, [](const auto& worker) { return worker->finished(); });
}

std::optional<Lane::Stuck> Lane::stuck(TimePoint now) {
  std::optional<Stuck> longest;
  for (const auto& worker : workers_)
    if (auto stuck = worker->stuck(now); stuck && (!longest || stuck->since > longest->since))
      longest = std::move(stuck);
  return longest;
}

Lane::Counts Lane::counts() const {
  Counts sum;
  for (const auto& worker : workers_) {
    const Counts one = worker->counts();
    sum.ok += one.ok;
    sum.retry += one.retry;
    sum.reject += one.reject;
    sum.dead += one.dead;
    sum.dropped += one.dropped;
  }
  return sum;
}

std::map<std::string, std::uint64_t> Lane::handler_counters() const {
  std::map<std::string, std::uint64_t> sum;
  for (const auto& worker : workers_)
    for (const auto& [name, value] : worker->handler_counters()) sum[name] += value;
  return sum;
}

std::uint64_t Lane::take_unreported_drops() {
  std::uint64_t drops = 0;
  for (const auto& worker : workers_) drops += worker->take_unreported_drops();
  return drops;
}

}  // namespace fastmqttd
