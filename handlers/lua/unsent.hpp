// What a call has published that has found no room yet, by the message of that call.  When the
// message comes again it is only sent on: the script is not asked twice, for it remembers what it
// did.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "handlers/lua/message.hpp"

namespace fastmqtt::lua {

// A call that has succeeded.
struct Done {
  Result answer;
  std::deque<Publication> published;
};

class Unsent {
 public:
  // `most` in bytes: beyond it the oldest are let go, whose messages may well never come again.
  explicit Unsent(std::size_t most) : most_(most) {}

  void keep(std::uint64_t message_id, Done done) {
    for (const Publication& one : done.published) size_ += one.size;
    done_.emplace(message_id, std::move(done));
    while (size_ > most_ && done_.size() > 1) take(done_.begin()->first);
  }
  std::optional<Done> take(std::uint64_t message_id) {
    const auto found = done_.find(message_id);
    if (found == done_.end()) return std::nullopt;
    Done done = std::move(found->second);
    for (const Publication& one : done.published) size_ -= one.size;
    done_.erase(found);
    return done;
  }

 private:
  const std::size_t most_;
  std::size_t size_ = 0;
  std::map<std::uint64_t, Done> done_;
};

}  // namespace fastmqtt::lua
