#include "daemon/spool/crash_note.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <sstream>
#include <string_view>

#include "daemon/base/unique_fd.hpp"

namespace fastmqttd {
namespace {

constexpr const char* kName = "spool.crash";
constexpr const char* kEnd = "end";  // of one that is whole
constexpr std::size_t kMostBytes = 16 << 10;

UniqueFd file;
std::atomic<bool> crashing{false};
// The handler that has ended the last runs, and how many; written before any handler runs.
std::array<char, 256> last_handler{};
std::atomic<std::uint32_t> last_runs{0};

// Its text, in memory of its own: nothing may be allocated where it is needed.
class Text {
 public:
  void add(std::string_view text) {
    const std::size_t size = std::min(text.size(), bytes_.size() - size_);
    std::memcpy(bytes_.data() + size_, text.data(), size);
    size_ += size;
  }
  void add(std::uint64_t number) {
    std::array<char, 24> digits{};
    const char* const end = std::to_chars(digits.begin(), digits.end(), number).ptr;
    add({digits.data(), static_cast<std::size_t>(end - digits.data())});
  }
  void write() const {
    [[maybe_unused]] const ssize_t written = ::pwrite(file.get(), bytes_.data(), size_, 0);
  }

 private:
  std::array<char, kMostBytes> bytes_{};
  std::size_t size_ = 0;
};

void write_note(const char* kind, const char* handler, const char* what, const InHand* messages,
                std::size_t count) {
  if (!file) return;
  Text text;
  for (const char* line : {kind, handler, what}) {
    text.add(line);
    text.add("\n");
  }
  const bool again = std::strcmp(handler, last_handler.data()) == 0;
  text.add((again ? last_runs.load() : 0) + 1);
  text.add("\n");
  for (std::size_t i = 0; i < count; ++i) {
    if (messages[i].message == 0) continue;
    text.add(messages[i].message);
    text.add(" ");
    text.add(messages[i].attempt);
    text.add("\n");
  }
  text.add(kEnd);
  text.add("\n");
  text.write();
}

}  // namespace

void open_crash_note(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kName;
  UniqueFd opened(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (opened && ::posix_fallocate(opened.get(), 0, kMostBytes) == 0) file = std::move(opened);
}

void note_crash(const char* handler, const char* what, const InHand* messages,
                std::size_t count) noexcept {
  crashing = true;
  write_note("crashed", handler, what, messages, count);
}

void note_hang(const char* handler, const std::vector<InHand>& messages) noexcept {
  if (!crashing) write_note("hung", handler, "hung", messages.data(), messages.size());
}

void forget_crashed_runs() noexcept { last_runs = 0; }

void forget_hang() noexcept {
  if (!crashing) remove_crash_note();
}

std::optional<CrashNote> read_crash_note() {
  std::string bytes(kMostBytes, '\0');
  if (!file || ::pread(file.get(), bytes.data(), bytes.size(), 0) <= 0) return std::nullopt;
  std::istringstream in(bytes);
  CrashNote note;
  std::string kind, word;
  std::getline(in, kind);
  std::getline(in, note.handler);
  std::getline(in, note.what);
  note.crashed = kind == "crashed";
  in >> note.runs;
  while (in >> word && word != kEnd) {
    InHand one{};
    const auto read = std::from_chars(word.data(), word.data() + word.size(), one.message);
    if (read.ec != std::errc() || !(in >> one.attempt)) return std::nullopt;
    note.messages.push_back(one);
  }
  if (word != kEnd || (!note.crashed && kind != "hung")) return std::nullopt;
  if (note.crashed && note.handler.size() < last_handler.size()) {
    std::ranges::copy(note.handler + '\0', last_handler.begin());
    last_runs = note.runs;
  }
  return note;
}

void remove_crash_note() noexcept {
  const char nothing = '\0';
  if (file) [[maybe_unused]]
    const ssize_t written = ::pwrite(file.get(), &nothing, 1, 0);
}

}  // namespace fastmqttd
