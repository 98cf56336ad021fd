#include "daemon/delivery/outbox.hpp"

#include <algorithm>
#include <atomic>

#include "daemon/base/log.hpp"
#include "daemon/delivery/lane_queue.hpp"

namespace fastmqttd {

class Outbox::Sender {
 public:
  Sender(std::string of_handler, std::string of_plugin, const QueueConfig& limits)
      : handler(std::move(of_handler)), plugin(std::move(of_plugin)), room(limits) {}

  const std::string handler;
  const std::string plugin;
  QueueRoom room;
  std::atomic<std::uint64_t> published{0};
  std::atomic<std::uint64_t> failed{0};
};

Outbox::SenderPtr Outbox::make_sender(std::string handler, std::string plugin,
                                      const QueueConfig& limits) {
  return std::make_shared<Sender>(std::move(handler), std::move(plugin), limits);
}

Outbox::Counts Outbox::counts(const SenderPtr& sender) {
  return {sender->published, sender->failed, sender->room.messages()};
}

bool Outbox::publish(const SenderPtr& sender, MessagePtr message) {
  const std::size_t bytes = message->memory_bytes();
  {
    auto state = state_.lock();
    // Under the lock, since a handler may publish from several threads.
    if (!sender->room.fits(bytes)) return false;
    sender->room.add(bytes);
    state->waiting.push_back({state->next_number++, std::move(message), sender, Clock::now()});
  }
  (*more_.lock())();
  return true;
}

std::optional<Outbox::Item> Outbox::take() {
  auto state = state_.lock();
  if (state->waiting.empty()) return std::nullopt;
  Item item = std::move(state->waiting.front());
  state->waiting.pop_front();
  state->on_way.emplace(item.number, item);
  return item;
}

void Outbox::acknowledge(std::uint64_t number) {
  if (const auto item = finish(number)) ++item->sender->published;
}

void Outbox::give_back(std::uint64_t number) {
  auto state = state_.lock();
  const auto found = state->on_way.extract(number);
  if (found.empty()) return;
  const auto at = std::ranges::upper_bound(state->waiting, number, {}, &Item::number);
  state->waiting.insert(at, std::move(found.mapped()));
}

void Outbox::give_up(std::uint64_t number, const std::string& why, int reason_code) {
  const auto item = finish(number);
  if (!item) return;
  ++item->sender->failed;
  const std::string reason = reason_code != 0 ? std::to_string(reason_code) : "";
  std::vector<log::Field> fields{{"MQTT_HANDLER", item->sender->handler},
                                 {"MQTT_PLUGIN", item->sender->plugin},
                                 {"MQTT_TOPIC", item->message->topic()}};
  if (!reason.empty()) fields.push_back({"MQTT_REASON", reason});
  log::write(log::Level::error,
             fmt::format("{}: gave up publishing to {}: {}", item->sender->handler,
                         log::shown_topic(item->message->topic()), why),
             fields);
}

std::size_t Outbox::waiting() {
  auto state = state_.lock();
  return state->waiting.size() + state->on_way.size();
}

bool Outbox::used() { return state_.lock()->next_number > 1; }

// No more in here.
std::optional<Outbox::Item> Outbox::finish(std::uint64_t number) {
  auto state = state_.lock();
  const auto found = state->on_way.extract(number);
  if (found.empty()) return std::nullopt;
  Item item = std::move(found.mapped());
  item.sender->room.remove(item.message->memory_bytes());
  return item;
}

}  // namespace fastmqttd
