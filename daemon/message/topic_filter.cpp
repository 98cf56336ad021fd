#include "daemon/message/topic_filter.hpp"

#include <stdexcept>

#include "daemon/base/utf8.hpp"

namespace fastmqttd {
namespace {

constexpr std::string_view kSharePrefix = "$share/";

// What names and filters have in common [MQTT-4.7.3-1..3, MQTT-1.5.4-1..2].
std::string common_error(std::string_view text, const char* kind) {
  if (text.empty()) return std::string("a topic ") + kind + " has at least one character";
  if (const char* error = mqtt_string_error(text))
    return std::string("a topic ") + kind + " " + error;
  return {};
}

std::string wildcard_error(std::string_view pattern) {
  TopicLevels levels(pattern);
  while (!levels.done()) {
    const std::string_view level = levels.next();
    if (level.find('#') != std::string_view::npos && (level.size() > 1 || !levels.done()))
      return "'#' stands alone as the last level";
    if (level.find('+') != std::string_view::npos && level.size() > 1)
      return "'+' stands alone in its level";
  }
  return {};
}

// Where the pattern begins in a `$share/GROUP/PATTERN`, 0 in any other filter.
std::size_t shared_pattern(std::string_view text) {
  if (!text.starts_with(kSharePrefix)) return 0;
  const std::size_t slash = text.find('/', kSharePrefix.size());
  return slash == std::string_view::npos ? text.size() : slash + 1;
}

bool wildcard(std::string_view level) { return level == "+" || level == "#"; }

// Both walk the levels of a pattern beside those of a topic, or of a narrower pattern.
bool covers_pattern(std::string_view wide, std::string_view narrow) {
  if (!narrow.empty() && narrow.front() == '$' && wildcard(wide.substr(0, wide.find('/'))))
    return false;
  TopicLevels w(wide), n(narrow);
  while (!w.done()) {
    const std::string_view level = w.next();
    if (level == "#") return true;
    if (n.done()) return false;
    const std::string_view other = n.next();
    if (other == "#") return false;
    if (level != "+" && level != other) return false;
    // "a/#" matches "a" itself too [MQTT-4.7.1-2].
    if (n.done() && !w.done()) return w.next() == "#" && w.done();
  }
  return n.done();
}

}  // namespace

std::string topic_name_error(std::string_view text) {
  if (std::string error = common_error(text, "name"); !error.empty()) return error;
  if (text.find_first_of("+#") != std::string_view::npos)
    return "a topic name has no wildcards ('+', '#')";
  return {};
}

std::string topic_filter_error(std::string_view text) {
  if (std::string error = common_error(text, "filter"); !error.empty()) return error;
  if (text.starts_with(kSharePrefix)) {
    const std::size_t start = shared_pattern(text);
    const std::string_view group =
        text.substr(kSharePrefix.size(), text.find('/', kSharePrefix.size()) - kSharePrefix.size());
    if (group.empty() || group.find_first_of("+#") != std::string_view::npos)
      return "a shared subscription is $share/GROUP/FILTER, its GROUP without wildcards";
    if (start >= text.size())
      return "a shared subscription is $share/GROUP/FILTER with a FILTER of at least one character";
    return wildcard_error(text.substr(start));
  }
  return wildcard_error(text);
}

TopicFilter::TopicFilter(std::string_view text) : text_(text), topic_part_(shared_pattern(text)) {
  if (const std::string error = topic_filter_error(text); !error.empty())
    throw std::invalid_argument(error);
}

bool TopicFilter::matches(std::string_view topic) const {
  return !topic.empty() && covers_pattern(pattern(), topic);
}

bool TopicFilter::overlaps(const TopicFilter& other) const {
  TopicLevels a(pattern()), b(other.pattern());
  while (!a.done() && !b.done()) {
    const std::string_view one = a.next(), two = b.next();
    if (one == "#" || two == "#") return true;
    if (one != two && one != "+" && two != "+") return false;
  }
  // What is left may be the '#' that stands for the parent level, too [MQTT-4.7.1-2].
  TopicLevels& rest = a.done() ? b : a;
  return rest.done() || rest.next() == "#";
}

bool TopicFilter::covers(const TopicFilter& other) const {
  return covers_pattern(pattern(), other.pattern());
}

}  // namespace fastmqttd
