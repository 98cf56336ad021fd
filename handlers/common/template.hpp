// Texts with placeholders that are filled from a message; what the handlers of this tree have in
// common for their topics, file names, columns, URLs and payloads:
//
//     {topic}             the topic; {topic.2} its second level, {topic.-1} its last
//     {payload}           the payload
//     {number}            the payload, which has to be a decimal number
//     {json:/a/b}         a value in a payload that is JSON, by its pointer (RFC 6901)
//     {time} {time:%F}    when it was received, in local time: ISO 8601, or as strftime(3) says;
//     {utc} {utc:%F}      the same in UTC; {time.s} {time.ms} {time.ns} since 1970, as a number
//     {property.x}        a property of MQTT 5: content_type, response_topic, correlation_data, or
//                         the user property x
//     {qos} {retain} {handler}
//     {message_id}        a number of the message's own, the same at each attempt
//     {...|text}          `text` when there is nothing of that kind
//     {{ }}               braces
//
// A placeholder that finds nothing, and says no default, leaves the whole text unfilled: nothing is
// better than an empty field that nobody meant.  Plain objects, no locks, no exceptions but from
// Template's constructor.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::common {

// Makes text fit for where it goes.
using Escape = std::string (*)(std::string_view);
std::string plain(std::string_view text);
// Between the quotes of a JSON string; what is no UTF-8 becomes U+FFFD.
std::string in_json(std::string_view text);
// A part of a URL: all but unreserved characters (RFC 3986 section 2.3) as %XX.
std::string in_url(std::string_view text);
// One level of a path: no '/', no control characters, not "." or ".." or empty, 255 bytes at most;
// what cannot stand there becomes %XX.
std::string in_file_name(std::string_view text);

// As it is: true, 7, 7.5, text; null where JSON says so.
using Value = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string>;

// A message, with what is read out of it only once.  Valid as long as the message.
class Source {
 public:
  explicit Source(const Message& message, std::string_view handler = {});
  ~Source();
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Why the last template was not filled: "the payload has no /a/b"; empty when it was.
  const std::string& missing() const { return missing_; }
  // Whether that is because a placeholder found nothing, and not because it found what will not do.
  bool found_nothing() const { return found_nothing_; }

 private:
  friend class Template;
  struct Json;

  const Json& json();
  void begin();  // of a template
  void miss(std::string what);

  const Message message_;
  const std::string_view handler_;
  std::unique_ptr<Json> json_;
  std::string missing_;
  bool found_nothing_ = false;
};

class Template {
 public:
  // Throws std::invalid_argument with what is wrong and where.
  explicit Template(std::string_view text);

  // Nothing when a placeholder finds nothing: see Source::missing().
  std::optional<std::string> fill(Source& source, Escape escape = plain) const;
  // The same; what is one placeholder and nothing else keeps its type.
  std::optional<Value> value(Source& source) const;
  // The same as JSON: what is one {json:...}, or {payload}, as it stands there, anything else as a
  // number, true, false or a string.  A JSON null stays null; all else is text.
  std::optional<Value> json(Source& source) const;
  // No message changes it.
  bool is_constant() const;
  // No message leaves it unfilled, but for a null within text.
  bool always_fills() const;
  // What value() comes to; it is text unless the template is one placeholder and nothing else.
  enum class Holds { text, integer, number, boolean, json, time };
  Holds holds() const;

 private:
  enum class Kind {
    text,  // itself
    topic,
    level,
    payload,
    number,
    json,
    time,
    utc,
    seconds,
    milliseconds,
    nanoseconds,
    property,
    qos,
    retain,
    handler,
    message_id,
  };
  struct Part {
    Kind kind = Kind::text;
    std::string argument = {};  // text, JSON pointer, form of a time, name of a property
    int level = 0;
    std::optional<std::string> fallback = {};
  };

  static Part placeholder(std::string_view text);
  static std::optional<Value> find(const Part& part, Source& source);

  std::vector<Part> parts_;
};

// As text: a JSON null is nothing.
std::optional<std::string> to_text(const Value& value);

// The option as a template; throws OptionError.
Template template_option(const Host& host, const std::string& path, const char* fallback);

}  // namespace fastmqtt::common
