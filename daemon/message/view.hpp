// The C ABI's view as a standard one.
#pragma once

#include <string_view>

#include "fastmqtt/handler.h"

namespace fastmqttd {

inline std::string_view text_of(fastmqtt_view view) {
  return {view.data, view.data ? view.size : 0};
}

}  // namespace fastmqttd
