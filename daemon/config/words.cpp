#include "daemon/config/words.hpp"

#include <array>
#include <cstdio>

namespace fastmqttd {
namespace {

constexpr std::size_t kMaxShown = 60;

std::string join(std::span<const std::string> words, std::string_view last_separator) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? last_separator : std::string_view(", ");
    text += words[i];
  }
  return text;
}

bool continues_utf8(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::string printable(std::string_view text) {
  std::size_t end = text.size();
  if (end > kMaxShown) {
    end = kMaxShown;
    while (end > 0 && continues_utf8(text[end])) --end;
  }
  std::string shown;
  for (const char c : text.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      shown += c;
      continue;
    }
    std::array<char, 8> code;
    std::snprintf(code.data(), code.size(), "\\x%02x", byte);
    shown += code.data();
  }
  return end < text.size() ? shown + "..." : shown;
}

std::string one_of(std::span<const std::string> words) { return join(words, " or "); }

std::string comma_list(std::span<const std::string> words) { return join(words, ", "); }

std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? printable(key) : path + "." + printable(key);
}

std::string count(std::uint64_t number, const std::string& what, const std::string& many) {
  return std::to_string(number) + " " + (number == 1 ? what : many.empty() ? what + "s" : many);
}

std::string what_waits(std::uint64_t messages, std::uint64_t dead_letters) {
  std::string text;
  if (messages > 0) text = count(messages, "message");
  if (dead_letters > 0) text += (text.empty() ? "" : " and ") + count(dead_letters, "dead letter");
  return text + (messages + dead_letters == 1 ? " waits" : " wait");
}

}  // namespace fastmqttd
