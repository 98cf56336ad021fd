// Which messages of a topic wait in the spool behind one that holds the topic up: their ids, by
// topic, in a file of its own that nobody needs after this run.
//
// Millions may wait behind one message, and all the others are to pass by them without reading them
// again and again.  Where the disk has no room for that, the ids are kept in memory.  For one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/spool/sqlite.hpp"

namespace fastmqttd {

class Parked {
 public:
  // Makes the file anew and takes its name away: nothing of it is left when the process ends.
  explicit Parked(const std::filesystem::path& file);

  // In the order of ids.
  void add(std::string_view topic, std::uint64_t id);
  // The first ones of the topic.  Throws sqlite::Error.
  std::vector<std::uint64_t> first(std::string_view topic, std::size_t limit);
  // These, which first() has given, are parked no more.
  void remove(const std::string& topic, const std::vector<std::uint64_t>& ids);

 private:
  struct File {
    explicit File(const std::filesystem::path& file);
    sqlite::Database database;
    sqlite::Statement add, first, remove;
  };

  std::optional<File> file_;
  // Behind those in the file.
  std::map<std::string, std::deque<std::uint64_t>, std::less<>> in_memory_;
};

}  // namespace fastmqttd
