#include "daemon/session/address_lookup.hpp"

#include <thread>

namespace fastmqttd {

AddressLookup::AddressLookup(const std::string& host, std::uint16_t port)
    : shared_(std::make_shared<Shared>()) {
  std::thread([shared = shared_, host, port] {
    const auto found = std::make_shared<Answer>();
    found->endpoints = resolve(host, port, found->why);
    *shared->answer.lock() = found;
    shared->answered.notify_one();
  }).detach();
}

const AddressLookup::Answer* AddressLookup::wait_until(TimePoint deadline) {
  auto answer = shared_->answer.lock();
  while (!*answer && Clock::now() < deadline) answer.wait_until(shared_->answered, deadline);
  return answer->get();
}

}  // namespace fastmqttd
