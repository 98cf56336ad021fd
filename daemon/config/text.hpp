// A configured string that may hold `${env:NAME}`, `${file:/path}` or `${credential:NAME}`.
//
// Both sides are kept: what was written, to be printed, and what it stands for, to be used.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace fastmqttd {

class Text {
 public:
  Text() = default;
  // Text without references.
  explicit Text(std::string_view value) : source_(value), value_(value) {}
  Text(std::string source, std::string value)
      : source_(std::move(source)), value_(std::move(value)) {}

  // As written: safe to show, unless the key is a secret (see only_references).
  const std::string& source() const { return source_; }
  const std::string& value() const { return value_; }
  bool has_references() const { return source_ != value_; }
  // Whatever was written.
  bool operator==(const Text& other) const { return value_ == other.value_; }

 private:
  std::string source_;
  std::string value_;
};

// What `source` stands for.  References are replaced (a file's trailing newline is cut, a
// credential is a file in $CREDENTIALS_DIRECTORY), `$$` becomes `$`.  Reads files: not for the
// message path.  Throws std::runtime_error that says which reference fails and why, never with
// what it holds.
std::string expand(std::string_view source);

// What expands to `value`: its dollars doubled where they would begin a reference.
std::string escape_references(std::string_view value);

// Whether `source` is made of references and nothing else.  Only then may a secret be shown as
// written: `abc${env:X}` and `pa$$word` hold literal parts of it.
bool only_references(std::string_view source);

}  // namespace fastmqttd
