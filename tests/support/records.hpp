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
};
std::ostream& operator<<(std::ostream& out, const Record& record);

using Records = std::vector<Record>;

// Those written so far, in order; none when there is no such file.
Records read_records(const std::filesystem::path& file);

std::vector<std::string> payloads(const Records& records);
// With the first of equal ones only.
std::vector<std::string> distinct(const std::vector<std::string>& texts);

}  // namespace fastmqttd::testing
