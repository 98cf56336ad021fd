#include "tests/support/files.hpp"

#include <regex.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace fastmqttd::testing {

TempDir::TempDir() {
  std::string name = std::filesystem::temp_directory_path() / "fastmqttd-test-XXXXXX";
  if (mkdtemp(name.data()) == nullptr)
    throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
  path_ = name;
  set_mode(path_, 0755);
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void set_mode(const std::filesystem::path& path, unsigned mode) {
  if (chmod(path.c_str(), static_cast<mode_t>(mode)) != 0)
    throw std::system_error(errno, std::generic_category(), "chmod " + path.string());
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
  set_mode(path, 0644);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t end; (end = text.find(separator)) != std::string_view::npos;
       text.remove_prefix(end + 1))
    parts.emplace_back(text.substr(0, end));
  parts.emplace_back(text);
  return parts;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines = split(text, '\n');
  lines.pop_back();
  return lines;
}

// Not std::regex: g++ 12 warns about it under its sanitizers.
bool any_line_matches(std::string_view text, const std::string& pattern) {
  regex_t expression{};
  if (regcomp(&expression, pattern.c_str(), REG_EXTENDED | REG_ICASE | REG_NOSUB) != 0)
    throw std::runtime_error("not a regular expression: " + pattern);
  const bool found = std::ranges::any_of(lines_of(text), [&](const std::string& line) {
    return regexec(&expression, line.c_str(), 0, nullptr, 0) == 0;
  });
  regfree(&expression);
  return found;
}

std::string from_hex(std::string_view digits) {
  std::string bytes;
  for (; digits.size() >= 2; digits.remove_prefix(2))
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(0, 2)), nullptr, 16));
  return bytes;
}

std::string tail(std::string_view text, std::size_t lines) {
  std::size_t start = text.size();
  if (text.ends_with('\n')) --start;
  for (; start > 0 && lines > 0; --lines) {
    const std::size_t newline = text.rfind('\n', start - 1);
    if (newline == std::string_view::npos) return std::string(text);
    start = newline;
  }
  return std::string(text.substr(start == 0 ? 0 : start + 1));
}

}  // namespace fastmqttd::testing
