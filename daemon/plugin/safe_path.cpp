#include "daemon/plugin/safe_path.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace fastmqttd {
namespace {

namespace fs = std::filesystem;

std::string owner_or_mode_problem(const struct stat& info, bool sticky_will_do) {
  if (info.st_uid != 0 && info.st_uid != ::geteuid())
    return "belongs to user " + std::to_string(info.st_uid) + ": must belong to root or user " +
           std::to_string(::geteuid());
  const bool sticky = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !(sticky && sticky_will_do))
    return sticky ? "can be written by others: choose another directory"
                  : "can be written by others: chmod go-w it";
  return {};
}

std::string chain_problem(const fs::path& directory) {
  fs::path path;
  for (const fs::path& part : directory) {
    path /= part;
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return path.string() + ": " + std::strerror(errno);
    const bool is_parent = path != directory;
    if (const std::string problem = owner_or_mode_problem(info, is_parent); !problem.empty())
      return "directory " + path.string() + " " + problem;
  }
  return {};
}

}  // namespace

std::string unsafe_directory(const std::string& directory) {
  // A trailing slash would make an empty last part.
  const fs::path named = fs::path(directory + "/").lexically_normal().parent_path();
  if (std::string problem = chain_problem(named); !problem.empty()) return problem;
  std::error_code error;
  const fs::path real = fs::canonical(named, error);
  if (error) return directory + ": " + error.message();
  return real == named ? std::string() : chain_problem(real);
}

UniqueFd open_safe_file(const std::string& path, std::string& why, bool& unsafe) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0)
    why = errno == ELOOP ? "is a symbolic link: put the file itself there" : std::strerror(errno);
  else if (!S_ISREG(info.st_mode))
    why = "is not a regular file";
  else
    why = owner_or_mode_problem(info, false), unsafe = !why.empty();
  return why.empty() ? std::move(fd) : UniqueFd();
}

}  // namespace fastmqttd
