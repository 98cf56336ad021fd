// A configured string that may hold `${env:NAME}`, `${file:/path}` or `${credential:NAME}`.
//
// Both sides are kept: what was written, to be printed, and what it stands for, to be used.
#pragma once

#include <string>
#include <string_view>

namespace fastmqttd {

class Text {
 public:
  Text() = default;
  // Text without references.
  explicit Text(std::string_view value) : source_(value), value_(value) {}
  Text(std::string source, std::string value)
      : source_(std::move(source)), value_(std::move(value)) {}

  const std::string& source() const { return source_; }  // as written: safe to show
  const std::string& value() const { return value_; }
  bool has_references() const { return source_ != value_; }

 private:
  std::string source_;
  std::string value_;
};

// What `source` stands for.  References are replaced (a file's trailing newline is cut, a
// credential is a file in $CREDENTIALS_DIRECTORY), `$$` becomes `$`.  Reads files: not for the
// message path.  Throws std::runtime_error that says which reference fails and why, never with
// what it holds.
std::string expand(std::string_view source);

}  // namespace fastmqttd
