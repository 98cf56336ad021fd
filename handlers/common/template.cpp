#include "handlers/common/template.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace fastmqtt::common {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 100;
constexpr std::size_t kLongestTime = 1024;
constexpr std::size_t kLongestName = 255;  // of a file, NAME_MAX

// For a report, which ends at a zero byte.
std::string in_quotes(std::string_view text) {
  std::string shown(text);
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  return "'" + shown + "'";
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

void add_percent(std::string& to, char c) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  to += '%';
  to += kDigits[byte >> 4];
  to += kDigits[byte & 15];
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<int> to_int(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string_view> level_of(std::string_view topic, int level) {
  std::vector<std::string_view> levels;
  for (;;) {
    const std::size_t slash = topic.find('/');
    levels.push_back(topic.substr(0, slash));
    if (slash == std::string_view::npos) break;
    topic.remove_prefix(slash + 1);
  }
  const int count = static_cast<int>(levels.size());
  const int index = level > 0 ? level - 1 : count + level;
  if (index < 0 || index >= count) return std::nullopt;
  return levels[static_cast<std::size_t>(index)];
}

// What a form comes to; nothing when that is longer than `limit`, for a width may stand in it.
std::optional<std::string> format_time(const std::tm& time, const std::string& form,
                                       std::size_t limit = kLongestTime) {
  std::string text(limit, '\0');
  // A form may come to nothing, which looks like one that found no room.
  const std::size_t size = std::strftime(text.data(), text.size(), (form + ".").c_str(), &time);
  if (size == 0) return std::nullopt;
  text.resize(size - 1);
  return text;
}

std::string time_text(std::chrono::system_clock::time_point at, const std::string& form, bool utc) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm time{};
  utc ? ::gmtime_r(&seconds, &time) : ::localtime_r(&seconds, &time);
  const auto written = [&](const std::string& as) { return format_time(time, as).value_or(""); };
  if (!form.empty()) return written(form);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch());
  const std::string fraction = std::to_string(1000 + ms.count() % 1000).substr(1);
  if (utc) return written("%FT%T." + fraction + "Z");
  const std::string zone = written("%z");  // +hhmm
  return written("%FT%T.") + fraction + zone.substr(0, 3) + ":" + zone.substr(3);
}

template <class Unit>
std::int64_t since_epoch(std::chrono::system_clock::time_point at) {
  return std::chrono::duration_cast<Unit>(at.time_since_epoch()).count();
}

std::optional<std::string_view> property_of(const Message& message, const std::string& name) {
  if (name == "content_type") return message.content_type();
  if (name == "response_topic") return message.response_topic();
  if (name == "correlation_data") return message.correlation_data();
  return message.user_property(name);
}

Value to_value(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null: return nullptr;
    case Json::value_t::boolean: return json.get<bool>();
    case Json::value_t::number_integer: return json.get<std::int64_t>();
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      if (number > kMost) return dump(json);  // a double would be another number
      return static_cast<std::int64_t>(number);
    }
    case Json::value_t::number_float: return json.get<double>();
    case Json::value_t::string: return json.get<std::string>();
    default: return dump(json);
  }
}

}  // namespace

// ---- escaping ----------------------------------------------------------------------------------

std::string plain(std::string_view text) { return std::string(text); }

std::string in_json(std::string_view text) {
  const std::string quoted = dump(Json(std::string(text)));
  return quoted.substr(1, quoted.size() - 2);
}

std::string in_url(std::string_view text) {
  std::string escaped;
  for (const char c : text) is_unreserved(c) ? void(escaped += c) : add_percent(escaped, c);
  return escaped;
}

std::string in_file_name(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || c == '%' || byte < 0x20 || byte == 0x7F)
      add_percent(name, c);
    else
      name += c;
  }
  if (name == "." || name == "..") name.replace(0, 1, "%2E");
  if (name.empty()) name = "%";
  if (name.size() > kLongestName) name.resize(kLongestName);
  return name;
}

// ---- the message -------------------------------------------------------------------------------

struct Source::Json {
  nlohmann::json value;
  bool good = false;
};

Source::Source(const Message& message, std::string_view handler)
    : message_(message), handler_(handler) {}
Source::~Source() = default;

const Source::Json& Source::json() {
  if (!json_) {
    json_ = std::make_unique<Json>();
    // What is nested without end would be written out by as many calls.
    bool too_deep = false;
    const auto look = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
      too_deep = too_deep || depth > kDeepest;
      return depth <= kDeepest;
    };
    json_->value = nlohmann::json::parse(message_.payload(), look, /*allow_exceptions=*/false);
    json_->good = !json_->value.is_discarded() && !too_deep;
  }
  return *json_;
}

void Source::begin() {
  missing_.clear();
  found_nothing_ = false;
}

void Source::miss(std::string what) {
  missing_ = std::move(what);
  found_nothing_ = true;
}

// ---- the template ------------------------------------------------------------------------------

Template::Template(std::string_view text) {
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) parts_.push_back({.argument = std::exchange(literal, {})});
  };
  const auto fail = [&](std::size_t at, const std::string& what) {
    throw std::invalid_argument("at character " + std::to_string(at + 1) + ": " + what);
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      literal += c;
      ++i;
    } else if (c == '}') {
      fail(i, "a '}' without its '{': write '}}' for one that stands for itself");
    } else if (c == '{') {
      const std::size_t end = text.find('}', i);
      if (end == std::string_view::npos)
        fail(i,
             "a '{' without its '}': write '{{' for one that "
             "stands for itself");
      end_literal();
      try {
        parts_.push_back(placeholder(text.substr(i + 1, end - i - 1)));
      } catch (const std::invalid_argument& error) {
        fail(i, error.what());
      }
      i = end;
    } else {
      literal += c;
    }
  }
  end_literal();
}

Template::Part Template::placeholder(std::string_view text) {
  Part part;
  if (const std::size_t bar = text.find('|'); bar != std::string_view::npos) {
    part.fallback = text.substr(bar + 1);
    text = text.substr(0, bar);
  }
  const auto is = [&](std::string_view word, Kind kind) {
    if (text != word) return false;
    part.kind = kind;
    return true;
  };
  const auto begins = [&](std::string_view word, Kind kind) {
    if (!text.starts_with(word)) return false;
    part.kind = kind;
    part.argument = text.substr(word.size());
    return true;
  };
  if (is("topic", Kind::topic) || is("payload", Kind::payload) || is("number", Kind::number) ||
      is("time", Kind::time) || is("utc", Kind::utc) || is("time.s", Kind::seconds) ||
      is("time.ms", Kind::milliseconds) || is("time.ns", Kind::nanoseconds) ||
      is("qos", Kind::qos) || is("retain", Kind::retain) || is("handler", Kind::handler) ||
      is("message_id", Kind::message_id))
    return part;
  if (begins("topic.", Kind::level)) {
    const auto level = to_int(part.argument);
    if (!level || *level == 0)
      throw std::invalid_argument(in_quotes(text) +
                                  ": expected the number of a level, from 1, or from -1 for the "
                                  "last");
    part.level = *level;
    return part;
  }
  if (begins("json:", Kind::json)) {
    try {
      static_cast<void>(Json::json_pointer(part.argument));
    } catch (const Json::exception&) {
      throw std::invalid_argument(in_quotes(part.argument) +
                                  " is no JSON pointer: expected one such as /a/b");
    }
    return part;
  }
  if (begins("time:", Kind::time) || begins("utc:", Kind::utc)) {
    const bool is_form = part.argument.find('%') != std::string::npos &&
                         part.argument.find('\0') == std::string::npos &&
                         format_time({}, part.argument, kLongestTime / 2);
    if (!is_form)
      throw std::invalid_argument(in_quotes(text) +
                                  ": expected a form of strftime(3) such as %F, not a long one");
    return part;
  }
  if (begins("property.", Kind::property) && !part.argument.empty()) return part;
  // Not the text: it may be a body of JSON, with a secret in it.
  if (text.find_first_of("{\"\n") != std::string_view::npos)
    throw std::invalid_argument(
        "a '{' that begins no placeholder: write '{{' and '}}' for braces that stand for "
        "themselves");
  throw std::invalid_argument(
      in_quotes("{" + std::string(text) + "}") +
      " is no placeholder: expected topic, topic.N, payload, number, json:/POINTER, time, "
      "time:FORM, utc, time.s, time.ms, time.ns, property.NAME, qos, retain, handler or "
      "message_id; '{{' for a brace that stands for itself");
}

std::optional<Value> Template::find(const Part& part, Source& source) {
  const Message& message = source.message_;
  const auto text = [](std::optional<std::string_view> found) {
    return found ? std::optional<Value>(std::string(*found)) : std::nullopt;
  };
  std::optional<Value> found;
  std::string missing;
  switch (part.kind) {
    case Kind::text: return part.argument;
    case Kind::topic: return std::string(message.topic());
    case Kind::level:
      found = text(level_of(message.topic(), part.level));
      missing = "the topic has no level " + std::to_string(part.level);
      break;
    case Kind::payload: return std::string(message.payload());
    case Kind::number:
      if (const auto whole = detail::OptionType<std::int64_t>::read(message.payload()))
        found = *whole;
      else if (const auto number = message.number())
        found = *number;
      missing = "the payload is no number";
      break;
    case Kind::json:
      if (!source.json().good) {
        missing = "the payload is no JSON";
      } else {
        const Json::json_pointer pointer(part.argument);
        missing = "the payload has no " + part.argument;
        const Json& json = source.json().value;
        if (json.contains(pointer)) found = to_value(json.at(pointer));
      }
      break;
    case Kind::time: return time_text(message.received(), part.argument, /*utc=*/false);
    case Kind::utc: return time_text(message.received(), part.argument, /*utc=*/true);
    case Kind::seconds: return since_epoch<std::chrono::seconds>(message.received());
    case Kind::milliseconds: return since_epoch<std::chrono::milliseconds>(message.received());
    case Kind::nanoseconds: return since_epoch<std::chrono::nanoseconds>(message.received());
    case Kind::property:
      found = text(property_of(message, part.argument));
      missing = "the message has no property " + part.argument;
      break;
    case Kind::qos: return std::int64_t{message.qos()};
    case Kind::retain: return message.retained();
    case Kind::handler: return std::string(source.handler_);
    case Kind::message_id: return static_cast<std::int64_t>(message.message_id());
  }
  if (!found && part.fallback) return Value(*part.fallback);
  if (!found) source.miss(std::move(missing));
  return found;
}

std::optional<std::string> Template::fill(Source& source, Escape escape) const {
  source.begin();
  std::string filled;
  for (const Part& part : parts_) {
    const auto found = find(part, source);
    if (!found) return std::nullopt;
    auto text = to_text(*found);
    if (!text) text = part.fallback;  // null
    if (!text) {
      source.miss("the payload has null at " + part.argument);
      return std::nullopt;
    }
    filled += part.kind == Kind::text ? *text : escape(*text);
  }
  return filled;
}

std::optional<Value> Template::value(Source& source) const {
  source.begin();
  if (parts_.size() == 1) return find(parts_.front(), source);
  const auto text = fill(source);
  return text ? std::optional<Value>(*text) : std::nullopt;
}

std::optional<Value> Template::json(Source& source) const {
  source.begin();
  const Kind kind = parts_.size() == 1 ? parts_.front().kind : Kind::text;
  if (kind == Kind::payload || kind == Kind::json) {
    const Part& part = parts_.front();
    const Json& json = source.json().value;
    if (source.json().good) {
      const Json::json_pointer pointer(part.argument);
      if (json.contains(pointer)) {
        const Json& found = json.at(pointer);
        if (found.is_null()) return Value(nullptr);
        return Value(kind == Kind::payload ? std::string(source.message_.payload()) : dump(found));
      }
    } else if (!part.fallback) {
      source.miss("the payload is no JSON");
      return std::nullopt;
    }
  }
  const auto found = value(source);
  if (!found) return std::nullopt;
  try {
    const Json json = std::visit([](const auto& plain) { return Json(plain); }, *found);
    return json.is_null() ? Value(nullptr) : Value(json.dump());
  } catch (const Json::type_error&) {
    source.missing_ = "it is no UTF-8";
    return std::nullopt;
  }
}

bool Template::always_fills() const {
  return std::ranges::all_of(parts_, [](const Part& part) {
    const bool may_miss = part.kind == Kind::level || part.kind == Kind::number ||
                          part.kind == Kind::json || part.kind == Kind::property;
    return !may_miss || part.fallback;
  });
}

Template::Holds Template::holds() const {
  if (parts_.size() != 1) return Holds::text;
  switch (parts_.front().kind) {
    case Kind::number: return Holds::number;
    case Kind::json: return Holds::json;
    case Kind::time:
    case Kind::utc: return parts_.front().argument.empty() ? Holds::time : Holds::text;
    case Kind::seconds:
    case Kind::milliseconds:
    case Kind::nanoseconds:
    case Kind::qos:
    case Kind::message_id: return Holds::integer;
    case Kind::retain: return Holds::boolean;
    default: return Holds::text;
  }
}

bool Template::is_constant() const {
  return parts_.empty() || (parts_.size() == 1 && parts_.front().kind == Kind::text);
}

std::optional<std::string> to_text(const Value& value) {
  if (std::holds_alternative<std::nullptr_t>(value)) return std::nullopt;
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  if (const auto* number = std::get_if<double>(&value)) return dump(Json(*number));
  return std::get<std::string>(value);
}

Template template_option(const Host& host, const std::string& path, const char* fallback) {
  try {
    return Template(fallback ? host.option(path, fallback) : host.required<std::string>(path));
  } catch (const std::invalid_argument& error) {
    throw OptionError(path, error.what());
  }
}

}  // namespace fastmqtt::common
