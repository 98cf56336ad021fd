// Topic names and topic filters, as MQTT 5.0 section 4.7 (names, wildcards, $-topics) and 4.8.2
// (shared subscriptions) define them.  Values without state; any thread.
#pragma once

#include <string>
#include <string_view>

namespace fastmqttd {

// Why `text` is no topic name or filter, in words for the operator; empty when it is one.
std::string topic_name_error(std::string_view text);
std::string topic_filter_error(std::string_view text);

// A valid filter.  Levels are separated by '/', `+` stands for one level, `#` for all that follow.
class TopicFilter {
 public:
  // Throws std::invalid_argument with topic_filter_error's text.
  explicit TopicFilter(std::string_view text);

  // As it is sent in SUBSCRIBE, `$share/GROUP/` included.
  const std::string& text() const { return text_; }
  bool shared() const { return topic_part_ != 0; }
  // What topics are matched against: the text without `$share/GROUP/`.
  std::string_view pattern() const { return std::string_view(text_).substr(topic_part_); }

  // Wildcards at the first level match no topic that begins with '$' [MQTT-4.7.2-1].
  bool matches(std::string_view topic) const;
  // Whether every topic that `other` matches is matched by this one too (both not shared).
  bool covers(const TopicFilter& other) const;
  // Whether there may be a topic that both match.
  bool overlaps(const TopicFilter& other) const;

  bool operator==(const TopicFilter& other) const { return text_ == other.text_; }

 private:
  std::string text_;
  std::size_t topic_part_ = 0;
};

// Walks the levels of a topic or filter: "a//b" has the levels "a", "" and "b".
class TopicLevels {
 public:
  explicit TopicLevels(std::string_view text) : rest_(text) {}

  bool done() const { return done_; }
  std::string_view next() {
    const std::size_t slash = rest_.find('/');
    const std::string_view level = rest_.substr(0, slash);
    if (slash == std::string_view::npos)
      done_ = true;
    else
      rest_.remove_prefix(slash + 1);
    return level;
  }

 private:
  std::string_view rest_;
  bool done_ = false;
};

}  // namespace fastmqttd
