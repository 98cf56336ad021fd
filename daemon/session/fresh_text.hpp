// Configured texts as they read at this moment.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "daemon/config/text.hpp"

namespace fastmqttd {

// What a configured text stands for now: a file behind `${file:...}` may have changed since the
// start.  Throws std::runtime_error that names the key, never what the text holds.
inline std::optional<std::string> fresh_text(std::string_view key,
                                             const std::optional<Text>& text) {
  if (!text) return std::nullopt;
  if (!text->has_references()) return text->value();
  try {
    return expand(text->source());
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(std::string(key) + ": " + error.what());
  }
}

}  // namespace fastmqttd
