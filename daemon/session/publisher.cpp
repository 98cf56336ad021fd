#include "daemon/session/publisher.hpp"

#include <utility>
#include <vector>

#include "daemon/base/fault_point.hpp"
#include "daemon/session/publish_packet.hpp"
#include "daemon/session/reason.hpp"

namespace fastmqttd {
namespace {

constexpr int kMostAtOnce = 256;

}  // namespace

Publisher::Publisher(Outbox& outbox, std::function<void()> more)
    : outbox_(outbox), more_(std::move(more)) {}

void Publisher::send(Client& client) {
  for (int i = 0; i < kMostAtOnce; ++i) {
    {
      auto state = state_.lock();
      if (state->on_way() >= client.window()) {
        state->window_full = true;
        return;
      }
    }
    const auto item = outbox_.take();
    if (!item) return;
    const auto waited = std::chrono::floor<std::chrono::seconds>(Clock::now() - item->accepted);
    if (const std::string no = client.cannot_publish(*item->message, waited); !no.empty()) {
      outbox_.give_up(item->number, no);
      continue;
    }
    // Before the client has it: the outcome may come at once.
    state_.lock()->packet_ids[item->number] = 0;
    std::string why;
    const auto packet_id = client.publish(*item->message, item->number, waited, why);
    auto state = state_.lock();
    const auto at = state->packet_ids.find(item->number);
    if (at == state->packet_ids.end()) continue;
    if (packet_id) {
      at->second = *packet_id;
      fault_point("publish.sent");
      continue;
    }
    state->packet_ids.erase(at);
    state->window_full = why.empty();
    state.unlock();
    if (why.empty()) return outbox_.give_back(item->number);  // until there is a connection again
    outbox_.give_up(item->number, why);
  }
  more_();  // the owner has other things to look at in between
}

void Publisher::outcome(std::uint64_t number, std::optional<int> reason_code) {
  {
    auto state = state_.lock();
    if (!reason_code && state->ending) return;
    if (state->packet_ids.erase(number) == 0) return;
    settled(state);
  }
  if (!reason_code)
    outbox_.give_back(number);
  else if (*reason_code == 0)
    outbox_.acknowledge(number);
  else
    outbox_.give_up(number, "the broker refuses it: " + reason_text(*reason_code), *reason_code);
}

void Publisher::record_gone(int packet_id) {
  auto state = state_.lock();
  const auto inherited = state->inherited.extract(packet_id);
  if (inherited.empty()) return;
  if (state->connecting) {
    state->undecided.push_back(inherited.mapped());
    return;
  }
  settled(state);
  state.unlock();
  outbox_.acknowledge(inherited.mapped());
}

std::optional<std::uint64_t> Publisher::number_of(int packet_id) {
  auto state = state_.lock();
  if (state->connecting || state->ending) return std::nullopt;
  if (const auto found = state->inherited.find(packet_id); found != state->inherited.end())
    return found->second;
  for (const auto& [number, id] : state->packet_ids)
    if (id == packet_id) return number;
  return std::nullopt;
}

void Publisher::connecting() { state_.lock()->connecting = true; }

void Publisher::connected(bool session_present) {
  std::vector<std::uint64_t> gone;
  {
    auto state = state_.lock();
    state->connecting = false;
    gone.swap(state->undecided);
  }
  if (!session_present) return give_back(gone);
  for (const std::uint64_t number : gone) outbox_.acknowledge(number);
}

void Publisher::client_ends() { state_.lock()->ending = true; }

void Publisher::client_ended(const PacketStore& store) {
  std::vector<std::uint64_t> unsent;
  {
    auto state = state_.lock();
    unsent.swap(state->undecided);  // never known: rather twice than not at all
    for (const auto& [number, packet_id] : state->packet_ids) {
      if (packet_id != 0 && store.has_sent(packet_id))
        state->inherited[packet_id] = number;
      else
        unsent.push_back(number);
    }
    state->packet_ids.clear();
    state->connecting = state->ending = state->window_full = false;
  }
  give_back(unsent);
}

void Publisher::disinherit() {
  std::vector<std::uint64_t> numbers;
  for (const auto& [packet_id, number] : std::exchange(state_.lock()->inherited, {}))
    numbers.push_back(number);
  give_back(numbers);
}

void Publisher::adopt(PacketStore& store, bool mqtt5) {
  for (const auto& [packet_id, packet] : store.sent_qos2(mqtt5)) {
    if (state_.lock()->inherited.contains(packet_id)) continue;
    const auto publish = parse_publish(packet, mqtt5);
    const auto number =
        publish ? outbox_.take_equal(publish->topic, publish->payload, publish->qos) : std::nullopt;
    if (number)
      state_.lock()->inherited[packet_id] = *number;
    else
      store.forget_sent(mqtt5, packet_id);
  }
}

void Publisher::give_back(const std::vector<std::uint64_t>& numbers) {
  for (const std::uint64_t number : numbers) outbox_.give_back(number);
}

// With some room in the window again it is worth sending on.
void Publisher::settled(Guarded<State>::Locked& state) {
  if (!state->window_full) return;
  state->window_full = false;
  state.unlock();
  more_();
  state.relock();
}

}  // namespace fastmqttd
