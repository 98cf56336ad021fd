#include "daemon/base/utf8.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kMaxBytes = 65535;  // counted in 16 bits

}  // namespace

std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0);
  if (text.empty()) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if ((first & 0xF0) == 0xE0) {
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

const char* mqtt_string_error(std::string_view text) {
  if (text.size() > kMaxBytes) return "has at most 65535 bytes";
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '\0') return "has no null character";
    const std::size_t length = utf8_sequence(text.substr(i));
    if (length == 0) return "is UTF-8 text";
    i += length;
  }
  return nullptr;
}

}  // namespace fastmqttd
