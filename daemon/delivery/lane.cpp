#include "daemon/delivery/lane.hpp"

#include <algorithm>
#include <string_view>

#include "daemon/base/log.hpp"
#include "daemon/config/words.hpp"

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
           DeliveryTap& tap, std::function<void()> attention, const Lane* before)
    : config_(config),
      library_(library),
      stats_(before ? before->stats_ : std::make_shared<HandlerStats>()),
      log_(config.name, library.name, tap),
      spool_(spool),
      key_(spool ? spool->handler(config.name) : 0),
      sender_(outbox.make_sender(config.name, library.name, config.queue,
                                 before ? before->sender_ : nullptr)) {
  Worker::Shared shared{.config = config_,
                        .library = library_,
                        .stats = *stats_,
                        .log = log_,
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
  if (spool_ ? spool_->paused(key_) : before && before->paused_) pause(true);
}

Lane::~Lane() { abandon(); }

bool Lane::files_have_changed() const {
  return std::ranges::any_of(workers_,
                             [](const auto& worker) { return worker->files_have_changed(); });
}

void Lane::start() {
  started_ = true;
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

void Lane::pause(bool paused) {
  paused_ = paused;
  for (const auto& worker : workers_) worker->pause(paused);
}

void Lane::retire() {
  for (const auto& worker : workers_) worker->retire();
}

void Lane::end() {
  for (const auto& worker : workers_) worker->end();
}

std::size_t Lane::keep_unstored() {
  std::vector<Delivery> all;
  for (const auto& worker : workers_)
    for (Delivery& delivery : worker->take_unstored()) all.push_back(std::move(delivery));
  if (all.empty()) return 0;
  std::ranges::sort(all, {}, [](const Delivery& delivery) { return delivery.message->id(); });
  std::vector<Kept> kept;
  for (const Delivery& delivery : all)
    kept.push_back({delivery.message, delivery.attempt, delivery.failures});
  std::string why = "there is no spool";
  const std::size_t lost = kept.size() - (spool_ ? spool_->keep(kept, key_, why) : 0);
  stats_->not_stored += lost;
  if (lost > 0)
    log::write(log::Level::error,
               fmt::format("{}: {} lost: what was in memory only cannot be stored: {}", name(),
                           count(lost, "message is", "messages are"), why),
               {{"MQTT_HANDLER", name()}});
  return kept.size();
}

void Lane::abandon() {
  for (const auto& worker : workers_) worker->abandon();
}

bool Lane::finished() const {
  return std::ranges::all_of(workers_, [](const auto& worker) { return worker->finished(); });
}

std::optional<Lane::Stuck> Lane::stuck(TimePoint now) {
  std::optional<Stuck> longest;
  std::vector<InHand> messages;
  for (const auto& worker : workers_) {
    auto stuck = worker->stuck(now);
    if (!stuck) continue;
    messages.insert(messages.end(), stuck->messages.begin(), stuck->messages.end());
    if (!longest || stuck->since > longest->since) longest = std::move(stuck);
  }
  if (longest) longest->messages = std::move(messages);
  return longest;
}

Lane::Counts Lane::counts() const {
  const HandlerStats& s = *stats_;
  return {s.ok, s.retry, s.reject, s.dead, s.dropped + s.not_stored, s.expired};
}

std::size_t Lane::waiting() const { return unstored() + (spool_ ? spool_->waiting(key_) : 0); }

std::size_t Lane::unstored() const { return sum(workers_, &Worker::unstored); }

std::size_t Lane::retrying() const { return sum(workers_, &Worker::retrying); }

bool Lane::suspended() const {
  return std::ranges::any_of(workers_, [](const auto& worker) { return worker->suspended(); });
}

std::optional<TimePoint> Lane::next_try() const {
  std::optional<TimePoint> soonest;
  for (const auto& worker : workers_)
    if (const auto next = worker->next_try(); next && (!soonest || *next < *soonest))
      soonest = next;
  return soonest;
}

bool Lane::at_rest() const {
  return std::ranges::all_of(workers_, [](const auto& worker) { return worker->at_rest(); });
}

}  // namespace fastmqttd
