#include "handlers/file/rotated.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <memory>
#include <system_error>

#include "handlers/file/gzip.hpp"
#include "handlers/file/path.hpp"

namespace fastmqtt::file {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kTimeForm = "00000000-000000.000";
constexpr std::string_view kCompressed = ".gz";

bool is_time(std::string_view text) {
  return std::ranges::equal(text, kTimeForm, [](char c, char form) {
    return form == '0' ? c >= '0' && c <= '9' : c == form;
  });
}

// In UTC, so that the order of the names is the order of time.
std::string time_of(std::chrono::system_clock::time_point when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  const auto ms = std::chrono::duration_cast<milliseconds>(when.time_since_epoch()).count() % 1000;
  std::tm time{};
  ::gmtime_r(&seconds, &time);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S.", &time);
  return std::string(text.data(), size) + std::to_string(1000 + ms).substr(1);
}

bool is_taken(int directory, const std::string& name) {
  struct stat status {};
  return ::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

// The names in a directory but those that begin it.
std::vector<std::string> names_in(const Fd& directory) {
  // A description of its own: where it is read to would be shared.
  const int fd = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
  if (!entries) {
    if (fd >= 0) ::close(fd);
    fail("readdir", errno);
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

}  // namespace

std::string free_rotated_name(int directory, const std::string& name,
                              std::chrono::system_clock::time_point when) {
  for (;; when += milliseconds(1)) {
    std::string made = name + kRotatedMark + time_of(when);
    if (!is_taken(directory, made) && !is_taken(directory, made + std::string(kCompressed)))
      return made;
  }
}

std::optional<std::string> name_before_rotation(std::string_view rotated) {
  const std::size_t mark = rotated.rfind(kRotatedMark);
  if (mark == std::string_view::npos || mark == 0 || !is_time(rotated.substr(mark + 1)))
    return std::nullopt;
  return std::string(rotated.substr(0, mark));
}

Tidier::Tidier(const Host& host, const Rotation& rotation, std::string root,
               std::vector<std::string> patterns)
    : host_(host),
      rotation_(rotation),
      root_(std::move(root)),
      patterns_(std::move(patterns)),
      thread_([this] { run(); }) {}

Tidier::~Tidier() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Tidier::rotated(const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    paths_.insert(path);
  }
  changed_.notify_all();
}

void Tidier::resume() { rotated(root_); }

bool Tidier::is_stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Tidier::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !paths_.empty(); });
    if (stopping_) return;
    const std::string path = paths_.extract(paths_.begin()).value();
    lock.unlock();
    try {
      if (path == root_)
        tidy_all(open_directory(root_, root_), root_, 0);
      else
        tidy(path);
    } catch (const std::system_error& error) {
      // Nothing was written there yet, or all of it is gone.
      if (error.code() != std::errc::no_such_file_or_directory) report(error.what());
    }
    lock.lock();
  }
}

void Tidier::tidy(const std::string& path) {
  const Fd directory = open_directory(root_, path);
  const Names all = rotated_in(directory);
  if (const auto files = all.find(name_of(path)); files != all.end())
    tidy_name(directory, path, files->second);
}

void Tidier::tidy_all(const Fd& directory, const std::string& path, std::size_t level) {
  const auto matches = [&](const std::string& name) {
    return ::fnmatch(patterns_[level].c_str(), name.c_str(), 0) == 0;
  };
  if (level + 1 == patterns_.size()) {
    for (const auto& [name, files] : rotated_in(directory))
      if (matches(name)) tidy_name(directory, path + "/" + name, files);
    return;
  }
  for (const std::string& name : names_in(directory)) {
    if (is_stopping()) return;
    if (!matches(name)) continue;
    const Fd next(
        ::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (next) tidy_all(next, path + "/" + name, level + 1);
  }
}

Tidier::Names Tidier::rotated_in(const Fd& directory) {
  const auto cut = [](std::string& name, std::string_view ending) {
    if (!name.ends_with(ending)) return false;
    name.resize(name.size() - ending.size());
    return true;
  };
  Names all;
  for (std::string name : names_in(directory)) {
    const bool half = cut(name, half_name(""));
    const bool compressed = !half && cut(name, kCompressed);
    const auto before = name_before_rotation(name);
    if (!before) continue;
    Forms& forms = all[*before][name];
    (half ? forms.half : compressed ? forms.compressed : forms.plain) = true;
  }
  return all;
}

// From the oldest on, by their names.
void Tidier::tidy_name(const Fd& directory, const std::string& path,
                       const std::map<std::string, Forms>& files) {
  const auto drop = [&](const std::string& name) {
    if (::unlinkat(directory.get(), name.c_str(), 0) != 0 && errno != ENOENT) fail(name, errno);
  };
  std::size_t beyond =
      rotation_.keep > 0 && files.size() > rotation_.keep ? files.size() - rotation_.keep : 0;
  for (const auto& [name, forms] : files) {
    if (is_stopping()) return;
    const bool too_old = beyond > 0;
    if (too_old) --beyond;
    if (forms.half && (too_old || !forms.plain)) drop(half_name(name));
    if (too_old && forms.compressed) drop(name + std::string(kCompressed));
    if (too_old && forms.plain) drop(name);
    if (!too_old && forms.plain && rotation_.compress) compress(directory, path, name);
  }
}

void Tidier::compress(const Fd& directory, const std::string& path, const std::string& name) {
  try {
    compress_file(directory.get(), name, [this] { return is_stopping(); });
    in_trouble_ = false;
  } catch (const std::system_error& error) {
    report(path.substr(0, path.rfind('/') + 1) + error.what());
  }
}

void Tidier::report(const std::string& what) {
  if (!std::exchange(in_trouble_, true))
    host_.log(Level::error, what + ": rotated files stay as they are until the next rotation");
}

}  // namespace fastmqtt::file
