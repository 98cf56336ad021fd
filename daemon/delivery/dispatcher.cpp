#include "daemon/delivery/dispatcher.hpp"

#include <algorithm>
#include <optional>

#include "daemon/base/log.hpp"
#include "daemon/config/words.hpp"

namespace fastmqttd {
namespace {

constexpr Duration kStoreAgain = std::chrono::seconds(1);
constexpr Duration kStoreAgainMost = std::chrono::minutes(1);

std::vector<std::unique_ptr<Lane>> make_lanes(const std::vector<HandlerToRun>& handlers,
                                              Outbox& outbox, Spool* spool,
                                              const std::function<void()>& attention) {
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<Problem> problems;
  for (const HandlerToRun& handler : handlers) {
    try {
      lanes.push_back(
          std::make_unique<Lane>(handler.config, *handler.library, outbox, spool, attention));
    } catch (const StartError& error) {
      if (error.status() == ExitStatus::spool) throw;
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  }
  if (!problems.empty()) throw StartError(problems);
  return lanes;
}

std::vector<std::vector<SubscriptionConfig>> filters_of(const std::vector<HandlerToRun>& handlers) {
  std::vector<std::vector<SubscriptionConfig>> filters;
  for (const HandlerToRun& handler : handlers)
    filters.push_back(handler.config.subscribe.value_or(std::vector<SubscriptionConfig>()));
  return filters;
}

}  // namespace

Dispatcher::Dispatcher(const std::vector<HandlerToRun>& handlers,
                       const std::function<void()>& attention, Spool* spool, bool optimistic)
    : spool_(spool),
      optimistic_(optimistic),
      outbox_(spool),
      lanes_(make_lanes(handlers, outbox_, spool, attention)),
      routing_(filters_of(handlers)),
      attention_(attention) {}

Dispatcher::Restored Dispatcher::restore() {
  Restored restored;
  if (!spool_) return restored;
  std::vector<Outbox::SenderPtr> senders;
  for (const auto& lane : lanes_) {
    senders.push_back(lane->sender());
    const std::size_t messages = spool_->waiting(lane->key());
    if (messages > 0) lane->restore();
    restored.deliveries += messages;
  }
  restored.publishes = outbox_.restore(senders);
  for (const auto& [name, left] : left_for_others())
    log::write(log::Level::warning,
               fmt::format("{} wait in the spool for the handler {}, which is not configured: they "
                           "stay there until it is, or until 'fastmqttctl forget {}' drops the "
                           "messages, and 'fastmqttctl dead-letters drop' the dead letters",
                           what_waits(left.waiting, left.dead_letters), name, name),
               {{"MQTT_HANDLER", name}});
  return restored;
}

void Dispatcher::start() {
  for (const auto& lane : lanes_) lane->start();
}

bool Dispatcher::accept(const Message::Parts& parts, const PacketRecord* record, bool* was_stored) {
  auto targets = in_order_.lock_first();
  Message::Parts whole = parts;
  whole.received_ns = realtime_ns();
  whole.id = next_message_id();
  const auto message = std::make_shared<const Message>(whole);
  choose_targets(*message, *targets);
  if (!store(*message, record, *targets)) return false;
  if (was_stored) *was_stored = !targets->stored.empty();
  for (const auto& [lane, stored] : targets->all) lane->push(message, stored);
  return true;
}

// The lanes that want it, and for which of them it is to be stored.
void Dispatcher::choose_targets(const Message& message, Targets& targets) {
  targets.all.clear();
  targets.stored.clear();
  if (!routing_.find(message, targets.lanes)) {
    auto unrouted = unrouted_.lock();
    unrouted->topic = message.topic();
    if (unrouted->messages++ == 0) attention_();
  }
  const bool promised = is_promised(message);
  for (const std::uint32_t number : targets.lanes) {
    Lane& lane = *lanes_[number];
    if (lane.config().skip_retained && message.retain()) continue;
    const bool may_spill = spool_ && lane.config().queue.when_full == WhenFull::spool;
    const bool stored = promised || (may_spill && !lane.takes(message));
    targets.all.push_back({&lane, stored});
    if (stored) targets.stored.push_back(lane.key());
  }
}

// What nothing was promised for is dropped when it cannot be stored.
bool Dispatcher::store(const Message& message, const PacketRecord* record, Targets& targets) {
  if (targets.stored.empty()) return true;
  std::string why;
  const bool promised = is_promised(message);
  if (spool_->append(message, targets.stored, promised ? record : nullptr, why)) {
    store_pause_ = {};
    return true;
  }
  if (promised) {
    refuse("a message cannot be stored: " + why);
    return false;
  }
  std::erase_if(targets.all, [](const Targets::One& target) {
    if (target.stored) target.lane->drop();
    return target.stored;
  });
  targets.stored.clear();
  return true;
}

void Dispatcher::refuse(const std::string& why) {
  store_pause_ = std::clamp<Duration>(2 * store_pause_, kStoreAgain, kStoreAgainMost);
  store_again_ = Clock::now() + store_pause_;
  *why_refused_.lock() = why;
}

// Below four fifths it is worth a try at once; after an error of the disk, after a pause.
bool Dispatcher::has_drained() {
  if (!spool_) return true;
  return spool_->has_room() && Clock::now() >= store_again_.load();
}

std::string Dispatcher::what_stays() {
  if (!spool_ || waiting() > 0) return {};
  std::uint64_t letters = 0, messages = 0;
  std::string whose;
  const auto add = [&](const std::string& name, const Spool::Left& left) {
    letters += left.dead_letters;
    messages += left.waiting;
    if (left.dead_letters + left.waiting > 0)
      whose += fmt::format("{}{}: {}", whose.empty() ? "" : ", ", name,
                           left.dead_letters + left.waiting);
  };
  for (const auto& lane : lanes_) add(lane->name(), {0, lane->dead_letters()});
  for (const auto& [name, left] : left_for_others()) add(name, left);
  if (whose.empty()) return {};
  return fmt::format(
      "{} stay in the spool ({}): 'fastmqttctl dead-letters' replays or drops dead letters, "
      "'fastmqttctl forget' drops the messages of handlers that are not configured",
      what_waits(messages, letters), whose);
}

bool Dispatcher::replay(std::int64_t dead_letter) {
  // Of many in a row none holds up what is being received.
  const auto in_order = in_order_.lock_behind();
  const std::uint64_t id = next_message_id();
  const std::optional<HandlerKey> handler = spool_->replay(dead_letter, id);
  if (!handler) return false;
  for (const auto& lane : lanes_)
    if (lane->key() == *handler) lane->leave(id);
  return true;
}

void Dispatcher::close() {
  for (const auto& lane : lanes_) lane->close();
}

void Dispatcher::abandon() {
  for (const auto& lane : lanes_) lane->abandon();
}

bool Dispatcher::finished() const {
  return std::ranges::all_of(lanes_, [](const auto& lane) { return lane->finished(); });
}

bool Dispatcher::at_rest() const {
  return std::ranges::all_of(lanes_, [](const auto& lane) { return lane->at_rest(); });
}

std::size_t Dispatcher::waiting() {
  std::size_t messages = 0;
  for (const auto& lane : lanes_) messages += lane->waiting();
  return messages;
}

bool Dispatcher::has(const std::string& handler) const {
  return std::ranges::any_of(lanes_, [&](const auto& lane) { return lane->name() == handler; });
}

std::map<std::string, Spool::Left> Dispatcher::left_for_others() const {
  if (!spool_) return {};
  std::vector<std::string> names;
  for (const auto& lane : lanes_) names.push_back(lane->name());
  return spool_->left_for_others(names);
}

}  // namespace fastmqttd
