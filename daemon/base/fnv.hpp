// FNV-1a, 64 bits (draft-eastlake-fnv): the same in every run and every build, as std::hash is not.
#pragma once

#include <cstdint>
#include <string_view>

namespace fastmqttd {

// Of `bytes`, or of what gave `before` and these behind it.
inline std::uint64_t fnv(std::string_view bytes, std::uint64_t before = 14695981039346656037u) {
  for (const char c : bytes) before = (before ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return before;
}

}  // namespace fastmqttd
