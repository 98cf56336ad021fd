// Files of a test.  Failures throw: a test that cannot prepare itself has failed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace fastmqttd::testing {

// A directory of its own, mode 0755, removed at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

void set_mode(const std::filesystem::path& path, unsigned mode);
// Mode 0644, whatever the umask.
void write_file(const std::filesystem::path& path, std::string_view text);
// "" when there is no such file.
std::string read_file(const std::filesystem::path& path);

std::vector<std::string> split(std::string_view text, char separator);
// The lines of `text`; an unfinished last line is not one.
std::vector<std::string> lines_of(std::string_view text);
// Whether a line of `text` matches the extended regular expression (regex(7)), whatever its case.
bool any_line_matches(std::string_view text, const std::string& pattern);
// "00ff" to two bytes.
std::string from_hex(std::string_view digits);
// The last lines of `text`.
std::string tail(std::string_view text, std::size_t lines = 60);

}  // namespace fastmqttd::testing
