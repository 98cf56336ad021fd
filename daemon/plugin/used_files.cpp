#include "daemon/plugin/used_files.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "daemon/base/fnv.hpp"

namespace fastmqttd {
namespace {

// 0 when it cannot be read.  Of others than regular files nothing is read: that may never end.
std::uint64_t sum_of(const std::string& path) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return 0;
  std::uint64_t sum = fnv("");
  std::array<char, 65536> some;
  do {
    in.read(some.data(), some.size());
    sum = fnv({some.data(), static_cast<std::size_t>(in.gcount())}, sum);
  } while (in);
  return sum;
}

}  // namespace

void UsedFiles::add(const std::string& path) { files_.push_back({path, sum_of(path)}); }

bool UsedFiles::have_changed() const {
  return std::ranges::any_of(files_,
                             [](const File& file) { return sum_of(file.path) != file.contents; });
}

}  // namespace fastmqttd
