#include "daemon/config/values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <stdexcept>

#include "daemon/base/utf8.hpp"

namespace fastmqttd {
namespace {

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// A plain decimal number.  Neither 010, which is 8 to some readers, nor 0x10.
std::optional<std::int64_t> whole_number(const Tree& tree) {
  const std::string& text = tree.text;
  if (tree.kind != Tree::Kind::scalar || !tree.plain) return std::nullopt;
  const std::string_view digits = std::string_view(text).substr(text.starts_with('-') ? 1 : 0);
  if (!all_digits(digits) || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  return number;
}

std::string from_to(Range range) {
  return "from " + std::to_string(range.min) + " to " + std::to_string(range.max);
}

template <class T>
bool read_number(const Given& given, T& value, Range range) {
  const auto number = whole_number(given.tree);
  if (!number || *number < range.min || *number > range.max) {
    given.refuse("expected a number " + from_to(range));
    return false;
  }
  value = static_cast<T>(*number);
  return true;
}

template <class T>
bool read_number(const Given& given, std::optional<T>& value, Range range) {
  T number{};
  if (!read_number(given, number, range)) return false;
  value = number;
  return true;
}

// What may be a number or text with a unit: a number in quotes is neither.
bool number_or_unit(const Tree& tree) {
  return tree.kind == Tree::Kind::scalar && (tree.plain || !all_digits(tree.text));
}

std::optional<Duration> duration(const Tree& tree) {
  return number_or_unit(tree) ? parse_duration(tree.text) : std::nullopt;
}

std::optional<std::chrono::seconds> whole_seconds(const Tree& tree, Range range) {
  const auto read = duration(tree);
  if (!read || read->count() % 1000 != 0) return std::nullopt;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*read);
  if (seconds.count() < range.min || seconds.count() > range.max) return std::nullopt;
  return seconds;
}

template <class T>
bool read_duration(const Given& given, T& value, Between between) {
  const auto read = duration(given.tree);
  if (!read || *read < between.min || *read > between.max) {
    given.refuse("expected " + std::string(kDurationForm) + ", from " +
                 format_duration(between.min) + " to " + format_duration(between.max));
    return false;
  }
  value = *read;
  return true;
}

bool says(const Tree& tree, std::string_view word) {
  return tree.kind == Tree::Kind::scalar && tree.text == word;
}

// Lists where a single string may stand too, as Given for each item.
std::vector<Given> string_or_list(const Given& given) {
  std::vector<Given> items;
  if (given.tree.kind != Tree::Kind::list) return {given};
  for (std::size_t i = 0; i < given.tree.items.size(); ++i)
    items.push_back({given.reading, given.tree.items[i], join_path(given.key, std::to_string(i))});
  return items;
}

// Whether what a text stands for is known, so that it can be judged.
bool known(const Given& given, const Text& text) {
  return given.reading.expand_references || text.source().find('$') == std::string::npos;
}

std::string host_error(std::string_view host) {
  if (host.empty() || host.find('\0') != host.npos) return "expected a name or an address";
  if (host.find_first_of(" \t\n/@") != std::string_view::npos)
    return "expected a name or an address alone, without scheme, user or path";
  // More than one colon is an IPv6 address.
  if (std::ranges::count(host, ':') == 1) return "expected a name or an address; the port is a key";
  return {};
}

// A text or a list of them; `error_of` says what is wrong with one.
template <class ErrorOf>
bool read_texts(const Given& given, std::vector<Text>& value, std::string_view expected,
                ErrorOf error_of) {
  std::vector<Text> texts;
  bool good = true;
  for (const Given& item : string_or_list(given)) {
    auto text = read_text(item, expected);
    const std::string error = text && known(item, *text) ? error_of(text->value()) : std::string();
    if (!error.empty()) item.refuse(error);
    good = good && text && error.empty();
    if (text) texts.push_back(std::move(*text));
  }
  if (given.tree.kind == Tree::Kind::list && given.tree.items.empty()) {
    given.report("is an empty list", std::string(expected));
    good = false;
  }
  if (good) value = std::move(texts);
  return good;
}

}  // namespace

void Given::report(std::string what, std::string expected) const {
  reading.problems->push_back({tree.place, key, std::move(what), std::move(expected)});
}

void Given::refuse(std::string expected) const {
  if (tree.kind != Tree::Kind::scalar) return refuse_kind(std::move(expected));
  const char* quote = tree.plain ? "'" : "\"";
  report("cannot be " + (quote + printable(tree.text)) + quote, std::move(expected));
}

void Given::refuse_kind(std::string expected) const {
  static constexpr std::array<std::string_view, 4> kKinds{"empty", "text", "a list", "a map"};
  report("cannot be " + std::string(kKinds.at(static_cast<std::size_t>(tree.kind))),
         std::move(expected));
}

bool is_name(std::string_view text) {
  return !text.empty() && text.find_first_not_of(kNameCharacters) == std::string_view::npos;
}

std::optional<Text> read_text(const Given& given, std::string_view expected) {
  if (given.tree.kind != Tree::Kind::scalar) {
    given.refuse(std::string(expected));
    return std::nullopt;
  }
  const std::string& source = given.tree.text;
  if (!given.reading.expand_references) return Text(source);
  try {
    return Text(source, expand(source));
  } catch (const std::runtime_error& error) {
    given.report(error.what(), "");
    return std::nullopt;
  }
}

bool read(const Given& given, bool& value, Any) {
  const Tree& tree = given.tree;
  const auto is = [&](std::initializer_list<std::string_view> words) {
    return tree.kind == Tree::Kind::scalar && tree.plain &&
           std::ranges::find(words, tree.text) != words.end();
  };
  if (is({"true", "True", "TRUE"})) {
    value = true;
  } else if (is({"false", "False", "FALSE"})) {
    value = false;
  } else {
    given.refuse("expected true or false");
    return false;
  }
  return true;
}

bool read(const Given& given, int& value, Range range) { return read_number(given, value, range); }

bool read(const Given& given, int& value, Workers workers) {
  if (!read_number(given, value, Range{workers.min, workers.max})) return false;
  *workers.place = given.tree.place;
  return true;
}

bool read(const Given& given, std::uint16_t& value, Range range) {
  return read_number(given, value, range);
}

bool read(const Given& given, std::uint64_t& value, Range range) {
  return read_number(given, value, range);
}

bool read(const Given& given, std::optional<std::uint16_t>& value, Range range) {
  return read_number(given, value, range);
}

bool read(const Given& given, std::optional<std::uint32_t>& value, Range range) {
  return read_number(given, value, range);
}

bool read(const Given& given, std::uint64_t& value, Bytes bytes) {
  const auto size = number_or_unit(given.tree) ? parse_size(given.tree.text) : std::nullopt;
  if (!size || *size < bytes.min || *size > bytes.max) {
    given.refuse("expected " + std::string(kSizeForm) + ", from " + format_size(bytes.min) +
                 " to " + format_size(bytes.max));
    return false;
  }
  value = *size;
  return true;
}

bool read(const Given& given, std::optional<std::uint32_t>& value, Attempts) {
  if (says(given.tree, "unlimited")) {
    value.reset();
    return true;
  }
  const auto number = whole_number(given.tree);
  if (!number || *number < 1 || *number > std::numeric_limits<std::uint32_t>::max()) {
    given.refuse("expected a number from 1 to 4294967295, or unlimited");
    return false;
  }
  value = static_cast<std::uint32_t>(*number);
  return true;
}

bool read(const Given& given, std::chrono::seconds& value, Range range) {
  const auto seconds = whole_seconds(given.tree, range);
  if (seconds)
    value = *seconds;
  else
    given.refuse("expected a number of seconds " + from_to(range));
  return seconds.has_value();
}

bool read(const Given& given, std::optional<std::chrono::seconds>& value, Never) {
  if (says(given.tree, "never")) {
    value.reset();
    return true;
  }
  constexpr Range kExpiry{0, kMostSeconds};
  const auto seconds = whole_seconds(given.tree, kExpiry);
  if (seconds)
    value = seconds;
  else
    given.refuse("expected a duration in whole seconds, " + from_to(kExpiry) + ", or never");
  return seconds.has_value();
}

bool read(const Given& given, Duration& value, Between between) {
  return read_duration(given, value, between);
}

bool read(const Given& given, std::optional<Duration>& value, Between between) {
  return read_duration(given, value, between);
}

bool read(const Given& given, std::optional<Text>& value, String rule) {
  auto text = read_text(given, "expected text");
  if (!text) return false;
  const std::size_t size = text->value().size();
  if (known(given, *text) && (size < rule.min || size > rule.max)) {
    given.report("has " + std::to_string(size) + " bytes",
                 "expected " + std::to_string(rule.min) + " to " + std::to_string(rule.max));
    return false;
  }
  if (!rule.bytes && known(given, *text) && text->value().find('\0') != std::string::npos) {
    given.report("has a null character", "expected text without one [MQTT-1.5.4-2]");
    return false;
  }
  if (!rule.bytes && !rule.topic && known(given, *text) && mqtt_string_error(text->value())) {
    given.report("is not UTF-8 text", "expected a string of MQTT [MQTT-1.5.4-1]");
    return false;
  }
  if (rule.topic && known(given, *text)) {
    if (const std::string error = topic_name_error(text->value()); !error.empty()) {
      given.refuse(error);
      return false;
    }
  }
  value = std::move(text);
  return true;
}

bool read(const Given& given, std::optional<Text>& value, Path rule) {
  auto text = read_text(given, "expected an absolute path");
  if (!text) return false;
  if (known(given, *text) && !text->value().starts_with('/')) {
    given.refuse("expected an absolute path");
    return false;
  }
  if (rule.place) *rule.place = given.tree.place;
  value = std::move(text);
  return true;
}

bool read(const Given& given, std::optional<ListenAddress>& value, Listen rule) {
  const auto text = read_text(given, "expected host:port");
  if (!text) return false;
  *rule.place = given.tree.place;
  if (!known(given, *text)) return true;
  const std::string& whole = text->value();
  const std::size_t colon = whole.rfind(':');
  const std::string port = colon == whole.npos ? "" : whole.substr(colon + 1);
  std::string host = whole.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  const bool good = error == std::errc() && end == port.data() + port.size() && number > 0 &&
                    !host.empty() && (bracketed || host.find(':') == host.npos) &&
                    host.find_first_of(" /@") == host.npos;
  if (!good) {
    given.refuse("expected an address and a port, such as 127.0.0.1:9464 or [::1]:9464");
    return false;
  }
  value = ListenAddress{host, number};
  return true;
}

bool read(const Given& given, std::vector<Text>& value, Hosts) {
  return read_texts(given, value, "expected a name or an address, or a list of them", host_error);
}

bool read(const Given& given, std::vector<Text>& value, Names) {
  // RFC 7301 section 3.1.
  return read_texts(given, value, "expected a protocol's name, or a list of them",
                    [](std::string_view name) {
                      return name.empty() || name.size() > 255 ? "expected 1 to 255 bytes" : "";
                    });
}

bool read(const Given& given, std::vector<std::string>& value, Directories) {
  constexpr std::string_view kExpected = "expected a list of absolute paths";
  if (given.tree.kind != Tree::Kind::list || given.tree.items.empty()) {
    if (given.tree.kind == Tree::Kind::list)
      given.report("is an empty list", std::string(kExpected));
    else
      given.refuse(std::string(kExpected));
    return false;
  }
  std::vector<std::string> directories;
  bool good = true;
  for (const Given& item : string_or_list(given)) {
    const auto text = read_text(item, "expected an absolute path");
    const bool absolute = text && (!known(item, *text) || text->value().starts_with('/'));
    if (text && !absolute) item.refuse("expected an absolute path");
    if (absolute) directories.push_back(text->value());
    good = good && absolute;
  }
  if (good) value = std::move(directories);
  return good;
}

bool read(const Given& given, std::string& value, PluginName) {
  if (given.tree.kind != Tree::Kind::scalar || !is_name(given.tree.text)) {
    given.refuse("expected a name of small letters, digits, '_' and '-'");
    return false;
  }
  value = given.tree.text;
  return true;
}

bool read(const Given& given, TopicFilter& value, Filter filter) {
  const auto text = read_text(given, "expected a topic filter; one that begins with '#' in quotes");
  if (!text) return false;
  if (!known(given, *text)) return true;
  if (const std::string error = topic_filter_error(text->value()); !error.empty()) {
    given.refuse(error);
    return false;
  }
  value = TopicFilter(text->value());
  if (text->has_references()) *filter.written = text->source();
  return true;
}

}  // namespace fastmqttd
