#include "daemon/delivery/outbox.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/delivery/queue_room.hpp"

namespace fastmqttd {
namespace {

constexpr auto kLineInterval = std::chrono::seconds(10);

}  // namespace

class Outbox::Sender {
 public:
  Sender(std::string of_handler, std::string of_plugin, HandlerKey of_key,
         const QueueConfig& limits)
      : handler(std::move(of_handler)), plugin(std::move(of_plugin)), key(of_key), room(limits) {}

  const std::string handler;
  const std::string plugin;
  const HandlerKey key;
  QueueRoom room;
  std::atomic<std::uint64_t> published{0};
  std::atomic<std::uint64_t> failed{0};
  // Of the journal; guarded by the outbox.
  std::optional<TimePoint> last_line;
  std::uint64_t unsaid = 0;  // failures since then
};

Outbox::Outbox(Spool* spool) : spool_(spool), core_(std::make_shared<Core>()) {
  if (!spool_) return;
  left_ = spool_->unpublished();
  if (!left_.empty()) core_->state.lock()->next_number = left_.back().number + 1;
}

Outbox::SenderPtr Outbox::make_sender(std::string handler, std::string plugin,
                                      const QueueConfig& limits, const SenderPtr& before) const {
  if (before) return before;
  const HandlerKey key = spool_ ? spool_->handler(handler) : 0;
  return std::make_shared<Sender>(std::move(handler), std::move(plugin), key, limits);
}

void Outbox::set_limits(const SenderPtr& sender, const QueueConfig& limits) {
  sender->room.set_limits(limits);
}

Outbox::Counts Outbox::counts(const SenderPtr& sender) {
  return {sender->published, sender->failed, sender->room.messages()};
}

std::size_t Outbox::restore(const std::vector<SenderPtr>& senders) {
  std::map<std::string, SenderPtr> by_name;
  for (const SenderPtr& sender : senders) by_name[sender->handler] = sender;
  const auto left = std::exchange(left_, {});
  auto state = core_->state.lock();
  for (const auto& [number, handler, message] : left) {
    SenderPtr& sender = by_name[handler];
    if (!sender) sender = make_sender(handler, "", {});
    sender->room.add(message->memory_bytes());
    state->wait_in_place({number, message, sender, arrival(*message)});
  }
  return left.size();
}

bool Outbox::reserve(const SenderPtr& sender, const Message& message) {
  const std::size_t bytes = message.memory_bytes();
  auto state = core_->state.lock();
  // Under the lock, since a handler may publish from several threads.
  if (state->closed || !sender->room.fits(bytes)) return false;
  sender->room.add(bytes);
  return true;
}

std::uint64_t Outbox::number(State& state, const SenderPtr& sender, MessagePtr message) {
  const std::uint64_t number = state.next_number++;
  state.unwritten[number] = {number, std::move(message), sender, Clock::now()};
  return number;
}

bool Outbox::publish(const SenderPtr& sender, MessagePtr message) {
  if (!reserve(sender, *message)) return false;
  const bool stored = spool_ && message->qos() > 0;
  const std::uint64_t its_number = number(*core_->state.lock(), sender, message);
  if (stored && !spool_->write_now({{Publish{its_number, sender->key, message}}, true, {}})) {
    withdraw(its_number);
    return false;
  }
  core_->release({its_number});
  return true;
}

void Outbox::publish_with(Changes& changes, const SenderPtr& sender,
                          std::vector<MessagePtr> messages) {
  if (messages.empty()) return;
  std::vector<std::uint64_t> numbers;
  {
    auto state = core_->state.lock();
    for (MessagePtr& message : messages) {
      numbers.push_back(number(*state, sender, message));
      changes.list.emplace_back(Publish{numbers.back(), sender->key, std::move(message)});
    }
  }
  changes.together = true;
  changes.written = [core = core_, numbers] { core->release(numbers); };
}

void Outbox::State::wait_in_place(Item item) {
  const auto at = std::ranges::upper_bound(waiting, item.number, {}, &Item::number);
  waiting.insert(at, std::move(item));
}

// They are where they are safe: now they may go out.
void Outbox::Core::release(const std::vector<std::uint64_t>& numbers) {
  {
    auto locked = state.lock();
    for (const std::uint64_t number : numbers)
      locked->wait_in_place(std::move(locked->unwritten.extract(number).mapped()));
  }
  (*more.lock())();
}

void Outbox::withdraw(std::uint64_t number) {
  const auto item = core_->state.lock()->unwritten.extract(number).mapped();
  item.sender->room.remove(item.message->memory_bytes());
}

std::optional<Outbox::Item> Outbox::take() {
  auto state = core_->state.lock();
  if (state->waiting.empty()) return std::nullopt;
  Item item = std::move(state->waiting.front());
  state->waiting.pop_front();
  state->on_way.emplace(item.number, item);
  return item;
}

std::optional<std::uint64_t> Outbox::take_equal(std::string_view topic, std::string_view payload,
                                                int qos) {
  auto state = core_->state.lock();
  const auto found = std::ranges::find_if(state->waiting, [&](const Item& item) {
    const Message& message = *item.message;
    return message.qos() == qos && message.topic() == topic && message.payload() == payload;
  });
  if (found == state->waiting.end()) return std::nullopt;
  const std::uint64_t number = found->number;
  state->on_way.emplace(number, std::move(*found));
  state->waiting.erase(found);
  return number;
}

void Outbox::acknowledge(std::uint64_t number) {
  if (const auto item = finish(number)) ++item->sender->published;
}

void Outbox::give_back(std::uint64_t number) {
  auto state = core_->state.lock();
  const auto found = state->on_way.extract(number);
  if (!found.empty()) state->wait_in_place(std::move(found.mapped()));
}

void Outbox::give_up(std::uint64_t number, const std::string& why, int reason_code) {
  const std::optional<Item> item = finish(number);
  if (!item) return;
  std::string more;
  {
    auto state = core_->state.lock();  // which guards the sender's lines too
    Sender& sender = *item->sender;
    ++sender.failed;
    const TimePoint now = Clock::now();
    if (sender.last_line && now - *sender.last_line < kLineInterval) {
      ++sender.unsaid;
      return;
    }
    sender.last_line = now;
    if (const std::uint64_t unsaid = std::exchange(sender.unsaid, 0); unsaid > 0)
      more = fmt::format(", and {} more since the last such line", unsaid);
  }
  const Sender& sender = *item->sender;
  const std::string reason = reason_code != 0 ? std::to_string(reason_code) : "";
  std::vector<log::Field> fields{{"MQTT_HANDLER", sender.handler},
                                 {"MQTT_PLUGIN", sender.plugin},
                                 {"MQTT_TOPIC", item->message->topic()}};
  if (!reason.empty()) fields.push_back({"MQTT_REASON", reason});
  log::write(log::Level::error,
             fmt::format("{}: gave up publishing to {}: {}{}", sender.handler,
                         log::shown_topic(item->message->topic()), why, more),
             fields);
}

std::size_t Outbox::waiting() {
  auto state = core_->state.lock();
  return state->unwritten.size() + state->waiting.size() + state->on_way.size();
}

// No more in here, nor, if it was there, in the spool.
std::optional<Outbox::Item> Outbox::finish(std::uint64_t number) {
  auto state = core_->state.lock();
  const auto found = state->on_way.extract(number);
  if (found.empty()) return std::nullopt;
  state.unlock();
  Item item = std::move(found.mapped());
  item.sender->room.remove(item.message->memory_bytes());
  if (spool_ && item.message->qos() > 0) spool_->write({{Published{number}}, false, {}});
  return item;
}

}  // namespace fastmqttd
