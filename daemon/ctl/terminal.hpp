// What goes to a terminal: nothing in it moves the cursor, and columns stand under each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace fastmqttd {

// With \xNN for bytes that are no text, that control a terminal, or that turn the direction of
// writing; of the lines of a text, `newlines` keeps the ends.
std::string shown(std::string_view text, bool newlines = false);
// The same, cut when it is long.
std::string shown_short(std::string_view text);

// The string that a member of an answer of the daemon's holds; throws when it does not.
std::string text(const nlohmann::ordered_json& object, const char* key);

// A line with its title, which takes up `width`.
void print_line(const char* title, const std::string& value, int width);

// "12.3MiB"
std::string roughly(std::uint64_t bytes);
// "840us", "4.2ms", "1.7s"
std::string in_seconds(double seconds);
// Of "2026-11-24T17:16:25.123+00:00": without the fraction, and without date and zone.
std::string to_seconds(const std::string& time);
std::string time_of_day(const std::string& time);

// Rows with a header.  Columns grow as more is printed, and never shrink.
class Table {
 public:
  struct Column {
    std::string title;
    bool right = false;  // numbers
  };
  explicit Table(std::vector<Column> columns);

  void add(std::vector<std::string> row);
  // To standard output: what was added since the last time, the first time under the header.
  void print();

 private:
  void print_row(const std::vector<std::string>& row) const;

  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace fastmqttd
