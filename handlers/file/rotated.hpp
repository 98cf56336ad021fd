// Rotated files: readings.jsonl~20261127-004753.123, then readings.jsonl~20261127-004753.123.gz.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/file/directory.hpp"

namespace fastmqtt::file {

struct Rotation {
  std::uint64_t size = 0;       // bytes; 0: whatever it is
  std::chrono::seconds age{0};  // 0: whatever it is
  std::size_t keep = 0;         // rotated files of each name; 0: all
  bool compress = false;

  bool is_wanted() const { return size > 0 || age.count() > 0; }
};

// A name for what was NAME until then, that is not taken.
std::string free_rotated_name(int directory, const std::string& name,
                              std::chrono::system_clock::time_point when);
// NAME of NAME~20261127-004753.123, and nothing of any other name.
std::optional<std::string> name_before_rotation(std::string_view rotated);

// Compresses what was rotated and deletes what is beyond `keep`, in a thread of its own.  What it
// does to a file is done in whole or not seen; what a kill has interrupted is done at the next
// resume(), or the next time that the file is rotated.
class Tidier {
 public:
  // `patterns` as in Path.
  Tidier(const Host& host, const Rotation& rotation, std::string root,
         std::vector<std::string> patterns);
  // Gives up what it is at.
  ~Tidier();
  Tidier(const Tidier&) = delete;
  Tidier& operator=(const Tidier&) = delete;

  // The file of this path has been rotated.
  void rotated(const std::string& path);
  // Looks for what was left of all that match the patterns.
  void resume();

 private:
  struct Forms {
    bool plain = false, compressed = false, half = false;
  };
  using Names = std::map<std::string, std::map<std::string, Forms>>;  // by the name before rotation

  void run();
  void tidy(const std::string& path);
  void tidy_all(const Fd& directory, const std::string& path, std::size_t level);
  void tidy_name(const Fd& directory, const std::string& path,
                 const std::map<std::string, Forms>& files);
  static Names rotated_in(const Fd& directory);
  void compress(const Fd& directory, const std::string& path, const std::string& name);
  bool is_stopping();
  void report(const std::string& what);

  const Host host_;
  const Rotation rotation_;
  const std::string root_;
  const std::vector<std::string> patterns_;
  bool in_trouble_ = false;  // and said so; the thread's own

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> paths_;  // to be tidied; root_ itself: all of them
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fastmqtt::file
