#include "handlers/file/open_files.hpp"

#include <cerrno>
#include <system_error>

namespace fastmqtt::file {
namespace {

constexpr int kMostMoves = 10;  // of a file's name between its opening and its lock

class Unlock {
 public:
  explicit Unlock(AppendFile& file) : file_(file) {}
  ~Unlock() { file_.unlock(); }
  Unlock(const Unlock&) = delete;
  Unlock& operator=(const Unlock&) = delete;

 private:
  AppendFile& file_;
};

}  // namespace

void OpenFiles::append(const std::string& path, std::string_view lines) {
  try {
    for (int i = 0; i < kMostMoves; ++i) {
      AppendFile& file = at(path);
      if (write(file, path, lines)) {
        if (writing_.sync) file.sync();
        return;
      }
      close(path);
    }
    throw std::system_error(EBUSY, std::generic_category(), path + ": it is moved all the time");
  } catch (...) {
    close(path);
    throw;
  }
}

// False when its path leads elsewhere by now: another worker, logrotate, or this has moved it.
bool OpenFiles::write(AppendFile& file, const std::string& path, std::string_view lines) {
  if (!file.lock()) return false;
  const Unlock unlock(file);
  if (is_due(file, lines.size()) && rotate(file, path)) return false;
  file.append(lines);
  return true;
}

bool OpenFiles::is_due(const AppendFile& file, std::size_t more) const {
  if (!rotation_.is_wanted()) return false;
  const std::uint64_t size = file.size();
  if (size == 0) return false;
  return (rotation_.size > 0 && size + more > rotation_.size) ||
         (rotation_.age.count() > 0 && AppendFile::Clock::now() - file.begun() >= rotation_.age);
}

// What cannot be rotated is written to all the same.
bool OpenFiles::rotate(AppendFile& file, const std::string& path) {
  try {
    file.rotate();
  } catch (const std::system_error& error) {
    if (!std::exchange(rotation_fails_, true))
      host_.log(Level::error, std::string(error.what()) + ": cannot be rotated, and grows");
    return false;
  }
  rotation_fails_ = false;
  rotated_(path);
  return true;
}

AppendFile& OpenFiles::at(const std::string& path) {
  if (const auto known = by_path_.find(path); known != by_path_.end()) {
    files_.splice(files_.begin(), files_, known->second);
    files_.front().used = host_.now();
    return files_.front().file;
  }
  while (files_.size() >= most_) close(std::string(files_.back().path));
  files_.push_front({path, AppendFile(host_, writing_, path), host_.now()});
  by_path_[path] = files_.begin();
  return files_.front().file;
}

void OpenFiles::close(const std::string& path) {
  const auto known = by_path_.find(path);
  if (known == by_path_.end()) return;
  files_.erase(known->second);
  by_path_.erase(known);
}

void OpenFiles::close_unused_since(std::chrono::nanoseconds when) {
  while (!files_.empty() && files_.back().used <= when) close(std::string(files_.back().path));
}

}  // namespace fastmqtt::file
