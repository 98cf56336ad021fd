// What an operator is told of a counterpart that fails: one line when that begins or turns into
// another trouble, one when it is over, however many messages are tried meanwhile.
#pragma once

#include <string>
#include <string_view>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::common {

// In the handler's turn.
class Outage {
 public:
  explicit Outage(const Host& host) : host_(host) {}

  // `kind` tells one trouble from another where the words differ each time.
  void begin(std::string_view kind, std::string_view what) {
    if (kind == kind_) return;
    kind_ = kind;
    host_.log(Level::error, what);
  }
  void end(std::string_view what) {
    if (kind_.empty()) return;
    kind_.clear();
    host_.log(Level::info, what);
  }

 private:
  const Host host_;
  std::string kind_;  // empty: all is well
};

}  // namespace fastmqtt::common
