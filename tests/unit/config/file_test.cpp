#include "daemon/config/file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/config/temp_files.hpp"

namespace fastmqttd {
namespace {

using testing::TempFiles;

std::string error_of(const std::string& path, std::size_t limit = 10) {
  try {
    return "no error: " + read_all(open_regular(path), limit);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

TEST(SmallFile, ReadsUpToItsLimit) {
  const TempFiles files;
  const std::string file = files.write("a", "0123456789");
  EXPECT_EQ(read_all(open_regular(file), 10), "0123456789");
  EXPECT_EQ(error_of(file, 9), "is larger than 9");
}

TEST(SmallFile, RefusesAllButRegularFiles) {
  const TempFiles files;
  const std::string fifo = files.path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(error_of(fifo), "is not a regular file");  // and does not wait for a writer
  EXPECT_EQ(error_of(files.path("")), "is not a regular file");
  EXPECT_EQ(error_of(files.path("none")), "cannot be opened: No such file or directory");
  EXPECT_EQ(error_of(std::string("/etc\0/x", 7)),
            "cannot be opened: its name holds a null character");
}

TEST(SmallFile, FollowsLinks) {
  const TempFiles files;
  std::filesystem::create_symlink(files.write("a", "x"), files.path("link"));
  EXPECT_EQ(read_all(open_regular(files.path("link")), 10), "x");
}

TEST(UnsafeReason, NamesOwnerAndMode) {
  struct stat status {};
  status.st_mode = S_IFREG | 0664;
  EXPECT_EQ(unsafe_reason(status), "");
  status.st_uid = ::geteuid();
  EXPECT_EQ(unsafe_reason(status), "");
  status.st_mode = S_IFREG | 0602;
  EXPECT_EQ(unsafe_reason(status), "may be written by everybody: chmod o-w it");
  status.st_uid = ::geteuid() + 12345;
  EXPECT_EQ(unsafe_reason(status), "belongs to user " + std::to_string(status.st_uid));
}

}  // namespace
}  // namespace fastmqttd
