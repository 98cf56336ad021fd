#include "daemon/ctl/terminal.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "daemon/base/utf8.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kShort = 80;
constexpr std::string_view kGap = "  ";

std::string escaped(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return text;
}

// C0, C1, DEL; and of the characters for both directions of writing, those that change it.
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7F;
  if (first == 0xC2) return static_cast<unsigned char>(character[1]) < 0xA0;
  return (character >= "\u2028" && character <= "\u202E") ||
         (character >= "\u2066" && character <= "\u2069");
}

bool continues_utf8(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::size_t width(std::string_view text) {
  return text.size() - static_cast<std::size_t>(std::ranges::count_if(text, continues_utf8));
}

}  // namespace

std::string shown(std::string_view text, bool newlines) {
  std::string safe;
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(utf8_sequence(text), 1);
    const std::string_view character = text.substr(0, length);
    const bool valid = utf8_sequence(text) > 0;
    if (valid && (!is_control(character) || (newlines && character == "\n")))
      safe += character;
    else
      safe += escaped(character);
    text.remove_prefix(length);
  }
  return safe;
}

std::string shown_short(std::string_view text) {
  if (text.size() <= kShort) return shown(text);
  std::size_t end = kShort;
  while (end > 0 && continues_utf8(text[end])) --end;
  return shown(text.substr(0, end)) + "...";
}

std::string text(const nlohmann::ordered_json& object, const char* key) {
  return shown(object.at(key).get<std::string>());
}

void print_line(const char* title, const std::string& value, int width) {
  std::printf("%-*s%s\n", width, title, value.c_str());
}

std::string roughly(std::uint64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.{}f}{}", value, value < 100 ? 1 : 0, kUnits[unit]);
}

std::string in_seconds(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.0f}us", seconds * 1e6);
  return seconds < 1 ? fmt::format("{:.3g}ms", seconds * 1e3) : fmt::format("{:.3g}s", seconds);
}

std::string to_seconds(const std::string& time) {
  const std::size_t fraction = time.find('.'), zone = time.find_first_of("+-Z", fraction);
  if (fraction == std::string::npos || zone == std::string::npos) return time;
  return time.substr(0, fraction) + time.substr(zone);
}

std::string time_of_day(const std::string& time) {
  const std::size_t begin = time.find('T'), zone = time.find_first_of("+-Z", begin);
  if (begin == std::string::npos || zone == std::string::npos) return time;
  return time.substr(begin + 1, zone - begin - 1);
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  widths_.resize(columns_.size());
  add(std::move(titles));
}

void Table::add(std::vector<std::string> row) {
  for (std::size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], width(row[i]));
  rows_.push_back(std::move(row));
}

void Table::print() {
  for (const auto& row : rows_) print_row(row);
  rows_.clear();
}

void Table::print_row(const std::vector<std::string>& row) const {
  std::string line;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::string fill(widths_[i] - width(row[i]), ' ');
    line += columns_[i].right ? fill + row[i] : row[i] + fill;
    line += kGap;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  std::puts(line.c_str());
}

}  // namespace fastmqttd
