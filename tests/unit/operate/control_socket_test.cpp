#include "daemon/operate/control_socket.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "daemon/base/error.hpp"
#include "tests/unit/config/temp_files.hpp"

namespace fastmqttd {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Whether somebody listens there.
bool answers(const std::string& path) {
  const auto address = socket_address(path);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0;
}

std::string problem(const std::string& path) {
  try {
    const ControlSocket socket(path);
  } catch (const Problem& found) {
    return to_string(found);
  }
  return "";
}

// What a daemon that was killed leaves.
void leave_stale(const std::string& path) {
  const auto address = socket_address(path);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address), 0);
}

class ControlSocketTest : public ::testing::Test {
 protected:
  const testing::TempFiles files_;
  const std::string path_ = files_.path("control.sock");
};

TEST_F(ControlSocketTest, IsForItsUserAndGroupAndGoneAtTheEnd) {
  {
    const ControlSocket socket(path_);
    EXPECT_TRUE(answers(path_));
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0660u);
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(ControlSocketTest, ReplacesOneThatNobodyListensOn) {
  leave_stale(path_);
  ASSERT_FALSE(answers(path_));
  const ControlSocket socket(path_);
  EXPECT_TRUE(answers(path_));
}

TEST_F(ControlSocketTest, LeavesOneThatIsInUse) {
  const ControlSocket socket(path_);
  EXPECT_THAT(problem(path_), AllOf(StartsWith(path_ + ": another fastmqttd listens there: "),
                                    HasSubstr("a socket of its own for each")));
  EXPECT_TRUE(answers(path_));
}

TEST_F(ControlSocketTest, LeavesWhatIsNoSocket) {
  std::ofstream(path_) << "mine";
  EXPECT_THAT(problem(path_), HasSubstr("is there, and is no socket"));
  EXPECT_EQ(testing::slurp(path_), "mine");
}

TEST_F(ControlSocketTest, DoesNotRemoveASuccessor) {
  {
    const ControlSocket socket(path_);
    std::filesystem::remove(path_);
    leave_stale(path_);
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(ControlSocketTest, SaysWhyAPathWillNotDo) {
  EXPECT_THAT(problem("/" + std::string(kMostSocketPath, 'x')),
              EndsWith("is too long for a socket (108 bytes): expected at most 107"));
  EXPECT_THAT(problem(files_.path("none/control.sock")),
              HasSubstr("no socket can be made there: No such file or directory: expected a path "
                        "in a directory"));
}

TEST_F(ControlSocketTest, NamesThePlaceOfAKeyThatWillNotDo) {
  ControlConfig config{.socket = Text(files_.path("none/control.sock")),
                       .place = Place{"my.yaml", 3, 12}};
  for (const auto& act : {+[](const ControlConfig& c) { open_control_socket(c); },
                          +[](const ControlConfig& c) { check_control_socket(c); }}) {
    try {
      act(config);
      FAIL() << "no error";
    } catch (const StartError& error) {
      EXPECT_THAT(error.what(), StartsWith("my.yaml:3:12: control.socket: " +
                                           config.socket->value() + ": no socket can be made"));
      EXPECT_EQ(error.status(), ExitStatus::config);
    }
  }
}

TEST_F(ControlSocketTest, IsByDefaultWhereSystemdSays) {
  const char* before = std::getenv("RUNTIME_DIRECTORY");
  const std::string kept = before ? before : "";
  ::setenv("RUNTIME_DIRECTORY", (files_.path("") + ":/another").c_str(), 1);
  EXPECT_EQ(default_control_socket(), path_);
  EXPECT_EQ(open_control_socket({})->path(), path_);
  ::setenv("RUNTIME_DIRECTORY", files_.path("none").c_str(), 1);
  EXPECT_THROW(open_control_socket({}), StartError);
  ::unsetenv("RUNTIME_DIRECTORY");
  EXPECT_EQ(default_control_socket(), "/run/fastmqttd/control.sock");
  if (before) ::setenv("RUNTIME_DIRECTORY", kept.c_str(), 1);
}

}  // namespace
}  // namespace fastmqttd
