// log - writes each message to the journal, its payload as text or in hex.  The topic, QoS and
// attempt stand beside it: the daemon adds them to every line about a message.
#include <optional>
#include <string>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/missing.hpp"
#include "handlers/common/template.hpp"

namespace {

using fastmqtt::Level;
using fastmqtt::Message;
using fastmqtt::OptionError;
using fastmqtt::Result;
using fastmqtt::common::Source;
using fastmqtt::common::Template;
using fastmqtt::common::template_option;

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

// Said of the map: at the name's own place stands what is in the field, with which nothing is
// wrong.
void check_field_name(const std::string& name) {
  if (!fastmqtt_is_field_name(fastmqtt::to_view(name)))
    throw OptionError("fields", "the name '" + name +
                                    "': expected one of A-Z, 0-9 and _, a letter first, and none "
                                    "that the journal uses itself, or that begins with MQTT_");
}

class Log {
 public:
  static constexpr const char* options[] = {"max_payload", "text",     "level",
                                            "fields",      "retained", "missing"};

  explicit Log(fastmqtt::Host host)
      : host_(host),
        max_payload_(host.option<std::size_t>("max_payload", 256, 0, 65'536)),
        level_(host.option("level", Level::info,
                           {{"debug", Level::debug},
                            {"info", Level::info},
                            {"warning", Level::warning},
                            {"error", Level::error}})),
        retained_(host.option(
            "retained", Retained::all,
            {{"all", Retained::all}, {"skip", Retained::skip}, {"only", Retained::only}})),
        missing_(host) {
    if (host.config("text")) text_.emplace(template_option(host, "text", nullptr));
    for (const auto& [name, text] : host.map("fields")) {
      check_field_name(name);
      fields_.push_back({name, template_option(host, "fields." + name, nullptr)});
    }
  }

  Result on_message(const Message& message) {
    if (retained_ != Retained::all && message.retained() != (retained_ == Retained::only))
      return Result::ok;
    if (!host_.logs(level_)) return Result::ok;
    Source source(message, host_.name());
    std::vector<fastmqtt::Field> fields;
    for (const auto& [name, value] : fields_) {
      auto text = value.fill(source);
      if (!text) return reject(message, source, "fields." + name);
      if (text->size() > kLongestField) text->resize(kLongestField);
      fields.push_back({name, std::move(*text)});
    }
    std::optional<std::string> text;
    if (text_ && !(text = text_->fill(source))) return reject(message, source, "text");
    host_.log(level_, line(message, text ? std::string_view(*text) : message.payload()), message,
              fields);
    return Result::ok;
  }

 private:
  enum class Retained { all, skip, only };
  static constexpr std::size_t kLongestField = 65'536;

  Result reject(const Message& message, const Source& source, const std::string& what) const {
    if (missing_.skips(source)) return Result::ok;
    host_.log(Level::error, source.missing() + ", which " + what + " needs", message);
    return Result::reject;
  }

  std::string line(const Message& message, std::string_view bytes) const {
    const bool text = is_text(bytes);
    const std::string_view shown = text ? cut(bytes, max_payload_) : bytes.substr(0, max_payload_);
    std::string line = message.retained() ? "(retained) " : "";
    line += text ? std::string(shown) : hex(shown);
    if (shown.size() < bytes.size()) line += "... (" + std::to_string(bytes.size()) + " bytes)";
    return line;
  }

  struct FieldOption {
    std::string name;
    Template value;
  };

  const fastmqtt::Host host_;
  const std::size_t max_payload_;  // bytes
  const Level level_;
  const Retained retained_;
  const fastmqtt::common::Missing missing_;
  std::optional<Template> text_;  // else the payload
  std::vector<FieldOption> fields_;
};

}  // namespace

FASTMQTT_HANDLER(Log, "log", "1.1", FASTMQTT_SHARDABLE);
