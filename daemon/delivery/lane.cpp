#include "daemon/delivery/lane.hpp"

#include <algorithm>
#include <string_view>

namespace fastmqttd {
namespace {

template <class Number>
Number sum(const std::vector<std::unique_ptr<Worker>>& workers, Number (Worker::*of)()) {
  Number sum = 0;
  for (const auto& worker : workers) sum += (*worker.*of)();
  return sum;
}

}  // namespace

Lane::Lane(const HandlerConfig& config, const HandlerLibrary& library, Outbox& outbox, Spool* spool,
           std::function<void()> attention)
    : config_(config),
      library_(library),
      spool_(spool),
      key_(spool ? spool->handler(config.name) : 0),
      sender_(outbox.make_sender(config.name, library.name, config.queue)) {
  Worker::Shared shared{.config = config_,
                        .library = library,
                        .outbox = outbox,
                        .sender = sender_,
                        .spool = spool_,
                        .key = key_,
                        .is_for = {},
                        .attention = std::move(attention)};
  if (config_.workers > 1)
    shared.is_for = [this](int place, std::string_view topic) {
      return place_of(topic) == static_cast<std::size_t>(place);
    };
  for (int place = 0; place < config_.workers; ++place)
    workers_.push_back(std::make_unique<Worker>(shared, place));
}

Lane::~Lane() { abandon(); }

void Lane::start() {
  for (const auto& worker : workers_) worker->start();
}

void Lane::restore() {
  for (const auto& worker : workers_) worker->restore();
}

std::size_t Lane::place_of(std::string_view topic) const {
  if (config_.workers == 1) return 0;
  return std::hash<std::string_view>()(topic) % static_cast<std::size_t>(config_.workers);
}

void Lane::leave(std::uint64_t id) {
  for (const auto& worker : workers_) worker->leave(id);
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
    sum.expired += one.expired;
  }
  return sum;
}

std::map<std::string, std::uint64_t> Lane::handler_counters() const {
  std::map<std::string, std::uint64_t> sum;
  for (const auto& worker : workers_)
    for (const auto& [name, value] : worker->handler_counters()) sum[name] += value;
  return sum;
}

std::size_t Lane::waiting() const { return unstored() + (spool_ ? spool_->waiting(key_) : 0); }

std::size_t Lane::unstored() const { return sum(workers_, &Worker::unstored); }

std::size_t Lane::retrying() const { return sum(workers_, &Worker::retrying); }

bool Lane::suspended() const {
  return std::ranges::any_of(workers_, [](const auto& worker) { return worker->suspended(); });
}

bool Lane::at_rest() const {
  return std::ranges::all_of(workers_, [](const auto& worker) { return worker->at_rest(); });
}

std::uint64_t Lane::take_unreported_drops() {
  return sum(workers_, &Worker::take_unreported_drops);
}

std::uint64_t Lane::take_unreported_expired() {
  return sum(workers_, &Worker::take_unreported_expired);
}

}  // namespace fastmqttd
