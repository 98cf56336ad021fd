// log - writes each message to the journal, its payload as text or in hex.  The topic, QoS and
// attempt stand beside it: the daemon adds them to every line about a message.
#include <algorithm>
#include <string>

#include "fastmqtt/handler.hpp"

namespace {

// Whether a terminal or a journal can show it as it is: well-formed UTF-8 without control
// characters, apart from tab.  Line breaks are refused too: one message, one line.
bool is_text(std::string_view bytes) {
  std::size_t i = 0;
  while (i < bytes.size()) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    if (lead < 0x80) {
      if ((lead < 0x20 && lead != '\t') || lead == 0x7F) return false;
      ++i;
      continue;
    }
    const std::size_t tail = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || i + tail >= bytes.size()) return false;
    unsigned code = lead & (0x3Fu >> tail);
    for (std::size_t k = 1; k <= tail; ++k) {
      const auto next = static_cast<unsigned char>(bytes[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      code = code << 6 | (next & 0x3Fu);
    }
    constexpr unsigned kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[tail] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    if (code < 0xA0) return false;  // the C1 control characters
    // Line separators, and marks that would turn the order of what a terminal shows.
    if ((code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069)) return false;
    i += tail + 1;
  }
  return true;
}

std::string hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "0x";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// The first `limit` bytes, not ending inside a UTF-8 sequence.
std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

class Log {
 public:
  static constexpr const char* options[] = {"max_payload"};

  explicit Log(fastmqtt::Host host)
      : host_(host), max_payload_(host.option<std::size_t>("max_payload", 256, 0, 65'536)) {}

  fastmqtt::Result on_message(const fastmqtt::Message& message) {
    host_.log(fastmqtt::Level::info, line(message), message);
    return fastmqtt::Result::ok;
  }

 private:
  std::string line(const fastmqtt::Message& message) const {
    const std::string_view payload = message.payload();
    const bool text = is_text(payload);
    const std::string_view shown =
        text ? cut(payload, max_payload_) : payload.substr(0, max_payload_);
    std::string line = message.retained() ? "(retained) " : "";
    line += text ? std::string(shown) : hex(shown);
    if (shown.size() < payload.size()) line += "... (" + std::to_string(payload.size()) + " bytes)";
    return line;
  }

  fastmqtt::Host host_;
  std::size_t max_payload_;  // bytes
};

}  // namespace

FASTMQTT_HANDLER(Log, "log", "1.0", FASTMQTT_SHARDABLE);
