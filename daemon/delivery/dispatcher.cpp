#include "daemon/delivery/dispatcher.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "daemon/base/log.hpp"
#include "daemon/config/words.hpp"
#include "daemon/delivery/crash_blame.hpp"

namespace fastmqttd {
namespace {

constexpr Duration kStoreAgain = std::chrono::seconds(1);
constexpr Duration kStoreAgainMost = std::chrono::minutes(1);

Routing::Filters filters_of(const Lanes& lanes) {
  Routing::Filters filters;
  for (const LanePtr& lane : lanes)
    filters.push_back(lane->config().subscribe.value_or(std::vector<SubscriptionConfig>()));
  return filters;
}

LanePtr find(const Lanes& lanes, const std::string& name) {
  const auto found =
      std::ranges::find(lanes, name, [](const LanePtr& lane) { return lane->name(); });
  return found == lanes.end() ? nullptr : *found;
}

}  // namespace

Dispatcher::Dispatcher(const std::vector<HandlerToRun>& handlers,
                       const std::function<void()>& attention, Spool* spool, bool optimistic)
    : spool_(spool),
      attention_(attention),
      outbox_(spool),
      lanes_(std::make_shared<const Lanes>()),
      routing_(filters_of(*begin_with(prepare(handlers, optimistic)))) {}

LanesPtr Dispatcher::begin_with(Lineup lineup) {
  auto receiving = in_order_.lock();
  receiving->optimistic = lineup.optimistic;
  return receiving->lanes = *lanes_.lock() = std::make_shared<const Lanes>(std::move(lineup.lanes));
}

Dispatcher::Lineup Dispatcher::prepare(const std::vector<HandlerToRun>& handlers, bool optimistic) {
  const Lanes now = lanes();
  Lineup lineup{{}, optimistic};
  std::vector<Problem> problems;
  const auto still_busy = handovers();
  // A third instance has to wait until the first is gone.
  const auto refuse_if_busy = [&](const std::string& name, const Place& place) {
    const bool busy = std::ranges::any_of(
        still_busy, [&](const auto& handover) { return handover->lane()->name() == name; });
    if (busy)
      problems.push_back({place, "handlers." + name,
                          "cannot change again: it is still busy with a message as it was before",
                          "a reload once that is done, or a restart", false});
    return busy;
  };
  for (const auto& handover : still_busy) {
    const std::string& name = handover->lane()->name();
    if (handover->successor() && std::ranges::find(handlers, name, [](const HandlerToRun& h) {
                                   return h.config.name;
                                 }) == handlers.end())
      refuse_if_busy(name, handover->lane()->config().place);
  }
  for (const HandlerToRun& handler : handlers) {
    const LanePtr before = find(now, handler.config.name);
    if (before && before->config() == handler.config &&
        before->library().handler == handler.library->handler && !before->files_have_changed()) {
      lineup.lanes.push_back(before);
      continue;
    }
    if (refuse_if_busy(handler.config.name, handler.config.place)) continue;
    try {
      lineup.lanes.push_back(std::make_shared<Lane>(handler.config, *handler.library, outbox_,
                                                    spool_, tap_, attention_, before.get()));
    } catch (const StartError& error) {
      if (error.status() == ExitStatus::spool) throw;
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  }
  if (!problems.empty()) throw StartError(problems);
  return lineup;
}

Dispatcher::Changed Dispatcher::change_to(Lineup lineup) {
  const Lanes before = lanes();
  Changed changed;
  std::vector<std::optional<std::uint32_t>> numbers;
  for (const LanePtr& lane : lineup.lanes) {
    const auto was = std::ranges::find(before, lane);
    numbers.push_back(was == before.end() ? std::nullopt
                                          : std::optional(static_cast<std::uint32_t>(
                                                std::distance(before.begin(), was))));
    if (numbers.back()) continue;
    (find(before, lane->name()) ? changed.replaced : changed.added).push_back(lane->name());
    // What waits for it from here on, and what has before.
    if (spool_) lane->restore();
    Outbox::set_limits(lane->sender(), lane->config().queue);
  }
  {
    const std::lock_guard lock(changing_);
    for (const LanePtr& lane : lineup.lanes)
      if (spool_) lane->pause(spool_->paused(lane->key()));  // it may have been since it was made
    auto receiving = in_order_.lock_first();
    receiving->lanes = *lanes_.lock() = std::make_shared<const Lanes>(lineup.lanes);
    receiving->optimistic = lineup.optimistic;
    routing_.change(filters_of(lineup.lanes), numbers);
  }
  for (const LanePtr& lane : before) {
    if (std::ranges::find(lineup.lanes, lane) != lineup.lanes.end()) continue;
    const LanePtr after = find(lineup.lanes, lane->name());
    if (!after) changed.removed.push_back(lane->name());
    handovers_.lock()->push_back(std::make_shared<Handover>(lane, after, spool_, attention_));
  }
  for (const std::string& name : changed.added) find(lineup.lanes, name)->start();
  return changed;
}

std::vector<std::shared_ptr<const Handover>> Dispatcher::handovers() const {
  std::vector<std::shared_ptr<const Handover>> all;
  for (const auto& handover : *handovers_.lock())
    if (!handover->is_over()) all.push_back(handover);
  return all;
}

bool Dispatcher::is_changing() {
  std::vector<std::shared_ptr<Handover>> over;  // ended without the lock
  auto handovers = handovers_.lock();
  std::erase_if(*handovers, [&](const auto& handover) {
    if (handover->is_over()) over.push_back(handover);
    return handover->is_over();
  });
  const bool any = !handovers->empty();
  handovers.unlock();
  return any;
}

Lanes Dispatcher::all_lanes() const {
  Lanes all = lanes();
  for (const auto& handover : handovers()) all.push_back(handover->lane());
  return all;
}

std::optional<bool> Dispatcher::set_paused(const std::string& handler, bool paused) {
  const std::lock_guard lock(changing_);
  const LanePtr lane = this->lane(handler);
  if (!lane) return std::nullopt;
  // Written first: else it might be forgotten in the next run.
  if (spool_) spool_->set_paused(lane->key(), paused);
  const bool was = lane->paused();
  lane->pause(paused);
  attention_();
  return was;
}

std::optional<std::uint64_t> Dispatcher::forget(const std::string& handler, std::uint64_t limit) {
  const std::lock_guard lock(changing_);
  if (lane(handler)) return std::nullopt;
  return spool_ ? spool_->forget(handler, limit) : 0;
}

LanePtr Dispatcher::lane(const std::string& handler) const { return find(lanes(), handler); }

Dispatcher::Restored Dispatcher::restore() {
  Restored restored;
  if (!spool_) return restored;
  if (const auto note = read_crash_note()) blame_for(*note);
  std::vector<Outbox::SenderPtr> senders;
  for (const LanePtr& lane : lanes()) {
    if (lane->paused())
      log::write(log::Level::warning,
                 fmt::format("{}: is paused, as it was told to be: its messages wait until "
                             "'fastmqttctl resume {}'",
                             lane->name(), lane->name()),
                 {{"MQTT_HANDLER", lane->name()}});
    senders.push_back(lane->sender());
    const std::size_t messages = spool_->waiting(lane->key());
    if (messages > 0) lane->restore();
    restored.deliveries += messages;
  }
  restored.publishes = outbox_.restore(senders);
  warn_of_messages_for_others();
  return restored;
}

void Dispatcher::blame_for(const CrashNote& note) const {
  try {
    const LanePtr lane = this->lane(note.handler);
    if (lane) suspend_if_it_crashes_often(note, *lane);
    if (!lane || blame(note, *lane, *spool_)) return remove_crash_note();
    log::warning("{}: what it {} at in the last run cannot be noted: it is tried again as it was",
                 note.handler, note.what);
  } catch (const std::runtime_error& error) {
    spool_->end_if_damaged(error);
    log::warning("{}: what it {} at in the last run cannot be read: {}", note.handler, note.what,
                 error.what());
  }
}

void Dispatcher::warn_of_messages_for_others() const {
  for (const auto& [name, left] : left_for_others())
    log::write(log::Level::warning,
               fmt::format("{} in the spool for the handler {}, which is not configured: they "
                           "stay there until it is, or until 'fastmqttctl forget {}' drops the "
                           "messages, and 'fastmqttctl dead-letters drop' the dead letters",
                           what_waits(left.waiting, left.dead_letters), name, name),
               {{"MQTT_HANDLER", name}});
}

void Dispatcher::start() {
  for (const LanePtr& lane : lanes()) lane->start();
}

bool Dispatcher::accept(const Message::Parts& parts, const PacketRecord* record, bool* was_stored) {
  auto receiving = in_order_.lock_first();
  Message::Parts whole = parts;
  whole.received_ns = realtime_ns();
  whole.id = next_message_id();
  const auto message = std::make_shared<const Message>(whole);
  choose_targets(*message, *receiving);
  if (!store(*message, record, *receiving)) return false;
  if (was_stored) *was_stored = !receiving->stored.empty();
  for (const auto& [lane, stored] : receiving->targets) lane->push(message, stored);
  count(*message);
  return true;
}

// By the receiving thread alone.
void Dispatcher::count(const Message& message) {
  const auto add = [](std::atomic<std::uint64_t>& to, std::uint64_t by) {
    to.store(to.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  };
  add(messages_[static_cast<std::size_t>(message.qos())], 1);
  add(bytes_, message.topic().size() + message.payload().size());
}

// The lanes that want it, and for which of them it is to be stored.
void Dispatcher::choose_targets(const Message& message, Receiving& receiving) {
  receiving.targets.clear();
  receiving.stored.clear();
  if (!routing_.find(message, receiving.numbers)) {
    ++unrouted_messages_;
    auto unrouted = unrouted_.lock();
    unrouted->topic = message.topic();
    if (unrouted->messages++ == 0) attention_();
  }
  const bool promised = is_promised(message, receiving);
  for (const std::uint32_t number : receiving.numbers) {
    Lane& lane = *(*receiving.lanes)[number];
    if (lane.config().skip_retained && message.retain()) continue;
    const bool may_spill = spool_ && lane.config().queue.when_full == WhenFull::spool;
    const bool stored = promised || (may_spill && !lane.takes(message));
    receiving.targets.push_back({&lane, stored});
    if (stored) receiving.stored.push_back(lane.key());
  }
}

// What nothing was promised for is dropped when it cannot be stored.
bool Dispatcher::store(const Message& message, const PacketRecord* record, Receiving& receiving) {
  if (receiving.stored.empty()) return true;
  std::string why;
  const bool promised = is_promised(message, receiving);
  if (spool_->append(message, receiving.stored, promised ? record : nullptr, why)) {
    store_pause_ = {};
    return true;
  }
  if (promised) {
    refuse("a message cannot be stored: " + why);
    return false;
  }
  std::erase_if(receiving.targets, [](const Receiving::Target& target) {
    if (target.stored) target.lane->drop();
    return target.stored;
  });
  receiving.stored.clear();
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
  for (const LanePtr& lane : lanes()) add(lane->name(), {0, lane->dead_letters()});
  for (const auto& [name, left] : left_for_others()) add(name, left);
  if (whose.empty()) return {};
  return fmt::format(
      "{} in the spool ({}), and stay there: 'fastmqttctl dead-letters' replays or drops dead "
      "letters, "
      "'fastmqttctl forget' drops the messages of handlers that are not configured",
      what_waits(messages, letters), whose);
}

bool Dispatcher::replay(std::int64_t dead_letter) {
  // Of many in a row none holds up what is being received.
  const auto in_order = in_order_.lock_behind();
  const std::uint64_t id = next_message_id();
  const std::optional<HandlerKey> handler = spool_->replay(dead_letter, id);
  if (!handler) return false;
  for (const LanePtr& lane : lanes())
    if (lane->key() == *handler) lane->leave(id);
  return true;
}

void Dispatcher::close() {
  for (const LanePtr& lane : lanes()) lane->close();
}

void Dispatcher::abandon() {
  for (const LanePtr& lane : all_lanes()) lane->abandon();
}

bool Dispatcher::finished() const {
  return handovers().empty() &&
         std::ranges::all_of(lanes(), [](const auto& lane) { return lane->finished(); });
}

bool Dispatcher::at_rest() const {
  return handovers().empty() &&
         std::ranges::all_of(lanes(), [](const auto& lane) { return lane->at_rest(); });
}

std::size_t Dispatcher::waiting() {
  std::size_t messages = 0;
  for (const auto& handover : handovers()) messages += handover->lane()->unstored();
  for (const LanePtr& lane : lanes()) messages += lane->waiting();
  return messages;
}

std::map<std::string, Spool::Left> Dispatcher::left_for_others() const {
  if (!spool_) return {};
  std::vector<std::string> names;
  for (const LanePtr& lane : lanes()) names.push_back(lane->name());
  return spool_->left_for_others(names);
}

}  // namespace fastmqttd
