#include "handlers/republish/topic.hpp"

#include <cstdint>
#include <optional>

namespace fastmqtt::republish {
namespace {

constexpr std::size_t kLongest = 65'535;  // [MQTT-1.5.4]: its length has two bytes

// Takes one character of UTF-8 off the front; nothing when there is none (RFC 3629).
std::optional<std::uint32_t> next_character(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  text.remove_prefix(1);
  if (lead < 0x80) return lead;
  if (lead < 0xC2 || lead > 0xF4) return std::nullopt;
  const std::size_t more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  if (text.size() < more) return std::nullopt;
  std::uint32_t character = lead & (0x3Fu >> more);
  for (std::size_t i = 0; i < more; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return std::nullopt;
    character = character << 6 | (next & 0x3Fu);
  }
  text.remove_prefix(more);
  constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x1'0000};
  if (character < kLeast[more] || character > 0x10'FFFF) return std::nullopt;
  return character;
}

bool is_control(std::uint32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }

bool is_surrogate(std::uint32_t c) { return c >= 0xD800 && c < 0xE000; }

bool is_no_character(std::uint32_t c) {
  return (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE;
}

}  // namespace

bool is_text(std::string_view text) {
  while (!text.empty()) {
    const auto character = next_character(text);
    if (!character || is_surrogate(*character) || is_control(*character) ||
        is_no_character(*character))
      return false;
  }
  return true;
}

std::string topic_error(std::string_view topic) {
  if (topic.empty()) return "is empty";
  if (topic.size() > kLongest)
    return "has " + std::to_string(topic.size()) + " bytes, more than 65535";
  while (!topic.empty()) {
    const auto character = next_character(topic);
    if (!character || is_surrogate(*character)) return "is no UTF-8 text";
    if (*character == 0) return "has a zero byte";
    if (*character == '+' || *character == '#')
      return std::string("has the wildcard '") + static_cast<char>(*character) + "'";
    if (is_control(*character) || is_no_character(*character))
      return "has a control character, or what is none at all";
  }
  return {};
}

std::string constant_parts(std::string_view text) {
  std::string parts;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool brace = c == '{' || c == '}';
    if (brace && i + 1 < text.size() && text[i + 1] == c)
      ++i;
    else if (brace && (i = text.find('}', i)) == std::string_view::npos)
      break;
    else if (brace)
      continue;
    parts += c;
  }
  return parts;
}

}  // namespace fastmqtt::republish
