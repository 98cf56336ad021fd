// What the handler plugin `recorder` was given, from the file that it writes.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace fastmqttd::testing {

// One message that it answered.
struct Record {
  std::string topic;
  int qos = 0;
  bool retain = false;
  bool dup = false;
  int attempt = 0;
  std::string payload;
  std::string identifiers;  // "7 9 "
};
std::ostream& operator<<(std::ostream& out, const Record& record);

using Records = std::vector<Record>;

// Those written so far, in order; none when there is no such file.
Records read_records(const std::filesystem::path& file);

std::vector<std::string> payloads(const Records& records);
// With the first of equal ones only.
std::vector<std::string> distinct(const std::vector<std::string>& texts);
// What of `sent`, all different, is missing in `got`, and what came out of order; "" when `got` is
// `sent`, some of it perhaps repeated.  Short, where a matcher would print every element.
std::string losses(const std::vector<std::string>& sent, const std::vector<std::string>& got);

}  // namespace fastmqttd::testing
