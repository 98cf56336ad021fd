#include "daemon/spool/crash_note.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>

namespace fastmqttd {
namespace {

constexpr const char* kName = "crash";
constexpr std::size_t kMostMessages = 256;  // of one call

// Nothing may be allocated where it is needed.
std::array<char, 4096> file{};

void write_text(int fd, const char* text, std::size_t size) {
  [[maybe_unused]] const ssize_t written = ::write(fd, text, size);
}

void write_line(int fd, const char* text) {
  write_text(fd, text, std::strlen(text));
  write_text(fd, "\n", 1);
}

}  // namespace

void set_crash_note_directory(const std::filesystem::path& directory) {
  const std::string path = directory / kName;
  if (path.size() < file.size()) std::ranges::copy(path + '\0', file.begin());
}

void write_crash_note(const char* handler, const char* what, const std::uint64_t* messages,
                      std::size_t count) noexcept {
  count = std::min(count, kMostMessages);
  const bool any = std::any_of(messages, messages + count, [](std::uint64_t id) { return id > 0; });
  if (!any || file[0] == '\0') return;
  const int fd = ::open(file.data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) return;
  write_line(fd, handler);
  write_line(fd, what);
  for (std::size_t i = 0; i < count; ++i) {
    if (messages[i] == 0) continue;
    std::array<char, 24> number{};
    char* const end = std::to_chars(number.begin(), number.end() - 1, messages[i]).ptr;
    *end = '\n';
    write_text(fd, number.data(), static_cast<std::size_t>(end + 1 - number.data()));
  }
  ::close(fd);
}

std::optional<CrashNote> read_crash_note() {
  std::ifstream in(file.data());
  CrashNote note;
  if (!std::getline(in, note.handler) || !std::getline(in, note.what)) return std::nullopt;
  for (std::uint64_t id = 0; note.messages.size() < kMostMessages && in >> id;)
    note.messages.push_back(id);
  if (note.messages.empty()) return std::nullopt;
  return note;
}

void remove_crash_note() noexcept {
  if (file[0] != '\0') ::unlink(file.data());
}

}  // namespace fastmqttd
