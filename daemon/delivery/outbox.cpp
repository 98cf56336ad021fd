#include "daemon/delivery/outbox.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/delivery/lane_queue.hpp"

namespace fastmqttd {
namespace {

constexpr auto kLineInterval = std::chrono::seconds(10);

}  // namespace

class Outbox::Sender {
 public:
  Sender(std::string of_handler, std::string of_plugin, const QueueConfig& limits)
      : handler(std::move(of_handler)), plugin(std::move(of_plugin)), room(limits) {}

  const std::string handler;
  const std::string plugin;
  QueueRoom room;
  std::atomic<std::uint64_t> published{0};
  std::atomic<std::uint64_t> failed{0};
  // Of the journal; guarded by the outbox.
  std::optional<TimePoint> last_line;
  std::uint64_t unsaid = 0;  // failures since then
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
    if (state->closed || !sender->room.fits(bytes)) return false;
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
  auto state = state_.lock();
  if (const auto item = finish(*state, number)) ++item->sender->published;
}

void Outbox::give_back(std::uint64_t number) {
  auto state = state_.lock();
  const auto found = state->on_way.extract(number);
  if (found.empty()) return;
  const auto at = std::ranges::upper_bound(state->waiting, number, {}, &Item::number);
  state->waiting.insert(at, std::move(found.mapped()));
}

void Outbox::give_up(std::uint64_t number, const std::string& why, int reason_code) {
  std::optional<Item> item;
  std::string more;
  {
    auto state = state_.lock();
    item = finish(*state, number);
    if (!item) return;
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
  auto state = state_.lock();
  return state->waiting.size() + state->on_way.size();
}

// No more in here.
std::optional<Outbox::Item> Outbox::finish(State& state, std::uint64_t number) {
  const auto found = state.on_way.extract(number);
  if (found.empty()) return std::nullopt;
  Item item = std::move(found.mapped());
  item.sender->room.remove(item.message->memory_bytes());
  return item;
}

}  // namespace fastmqttd
