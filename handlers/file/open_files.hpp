// The files that are open, so many and no more: of all others the one that was written longest ago
// is closed.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "fastmqtt/handler.hpp"
#include "handlers/file/append_file.hpp"
#include "handlers/file/rotated.hpp"

namespace fastmqtt::file {

class OpenFiles {
 public:
  // `rotated` is told the path of each file that was rotated.
  OpenFiles(const Host& host, Writing writing, const Rotation& rotation, std::size_t most,
            std::function<void(const std::string&)> rotated)
      : host_(host),
        writing_(std::move(writing)),
        rotation_(rotation),
        most_(most),
        rotated_(std::move(rotated)) {}

  // All of the lines, or std::system_error and none, or none that is certain to stay.  A file that
  // could not be written is closed: the next write looks at everything anew.
  void append(const std::string& path, std::string_view lines);
  // Those that nothing was written to since that time of Host::now.
  void close_unused_since(std::chrono::nanoseconds when);
  bool empty() const { return files_.empty(); }

 private:
  struct Open {
    std::string path;
    AppendFile file;
    std::chrono::nanoseconds used;
  };

  AppendFile& at(const std::string& path);
  void close(const std::string& path);
  bool is_due(const AppendFile& file, std::size_t more) const;
  bool rotate(AppendFile& file, const std::string& path);
  bool write(AppendFile& file, const std::string& path, std::string_view lines);

  const Host host_;
  const Writing writing_;
  const Rotation rotation_;
  const std::size_t most_;
  const std::function<void(const std::string&)> rotated_;
  std::list<Open> files_;  // the latest in use first
  std::map<std::string, std::list<Open>::iterator, std::less<>> by_path_;
  bool rotation_fails_ = false;  // and said so
};

}  // namespace fastmqtt::file
