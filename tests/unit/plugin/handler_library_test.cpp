#include "daemon/plugin/handler_library.hpp"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/files.hpp"

namespace fastmqttd {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;

class HandlerLibraryTest : public ::testing::Test {
 protected:
  // Copies a test plugin into the directory; all names differ per test program, since a plugin that
  // was loaded once stays.
  std::string add(const std::string& plugin, const std::string& as = "") {
    const fs::path to = directory_ / ((as.empty() ? plugin : as) + ".so");
    fs::copy_file(fs::path(FASTMQTTD_TESTS_HANDLERS) / (plugin + ".so"), to);
    testing::set_mode(to, 0755);
    return to;
  }
  std::vector<HandlerLibrary> load(const std::set<std::string>& skip = {}) {
    return load_from({directory_.path()}, skip);
  }
  std::vector<HandlerLibrary> load_from(const std::vector<std::string>& directories,
                                        const std::set<std::string>& skip = {},
                                        bool may_be_absent = false) {
    problems_.clear();
    unsafe_.clear();
    std::vector<Problem> problems;
    auto libraries = load_handler_libraries(directories, may_be_absent, skip, problems);
    for (const Problem& problem : problems) {
      problems_.push_back(to_string(problem));
      unsafe_.push_back(problem.unsafe);
    }
    return libraries;
  }

  TempDir directory_;
  std::vector<std::string> problems_;
  std::vector<bool> unsafe_;
};

TEST_F(HandlerLibraryTest, LoadsAPluginWithItsTopicsAndOptions) {
  add("dropin_recorder");
  const auto libraries = load();
  EXPECT_THAT(problems_, IsEmpty());
  ASSERT_EQ(libraries.size(), 1u);
  EXPECT_EQ(libraries[0].name, "dropin_recorder");
  ASSERT_EQ(libraries[0].topics.size(), 1u);
  EXPECT_EQ(libraries[0].topics[0].text(), "dropin/#");
  EXPECT_TRUE(libraries[0].names_options);
  EXPECT_THAT(libraries[0].options, ::testing::Contains("file"));
}

TEST_F(HandlerLibraryTest, ReportsEveryBadPluginInOneRun) {
  for (const char* bad : {"no_symbol", "short_struct", "bad_name", "null_create", "bad_filter"})
    add(bad);
  testing::write_file(directory_ / "text.so",
                      "this is no shared object, but it is long enough to "
                      "hold the header of one");
  testing::write_file(directory_ / "empty.so", "");
  add("recorder");
  const auto libraries = load();
  EXPECT_EQ(libraries.size(), 1u);
  EXPECT_THAT(
      problems_,
      ElementsAre(
          EndsWith("bad_filter.so: its default topic filter 'a/#/b' is not valid: '#' stands alone "
                   "as the last level"),
          EndsWith("bad_name.so: its handler has no valid name: 1 to 64 of a-z, 0-9, '_' and '-'"),
          EndsWith("empty.so: is not an ELF file: a shared object for this machine"),
          HasSubstr("no_symbol.so: has no symbol fastmqtt_handler_v1: build it with"),
          HasSubstr("null_create.so: its handler lacks create, destroy or on_messages"),
          HasSubstr("short_struct.so: its fastmqtt_handler_v1 has size "),
          EndsWith("text.so: is not an ELF file: a shared object for this machine")));
}

TEST_F(HandlerLibraryTest, RefusesAnotherArchitecture) {
  const std::string path = add("recorder", "foreign");
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(offsetof(Elf64_Ehdr, e_machine));
  file.put(static_cast<char>(EM_S390));
  file.close();
  EXPECT_THAT(load(), IsEmpty());
  EXPECT_THAT(problems_, ElementsAre(HasSubstr("was built for another processor architecture")));
}

TEST_F(HandlerLibraryTest, RefusesAFileThatIsStillBeingCopied) {
  const std::string path = add("recorder", "cut_short");
  for (const unsigned size : {9000u, 2000u, 40u}) {
    fs::resize_file(path, size);
    EXPECT_THAT(load(), IsEmpty());
    EXPECT_THAT(problems_, ElementsAre(EndsWith(
                               "cut_short.so: is cut short or garbled: a shared object for this "
                               "machine")))
        << size;
  }
}

TEST_F(HandlerLibraryTest, SaysWhatTheLinkerSays) {
  add("unresolved");
  EXPECT_THAT(load(), IsEmpty());
  EXPECT_THAT(
      problems_,
      ElementsAre(EndsWith("unresolved.so: cannot be loaded: undefined symbol: no_such_function")));
}

TEST_F(HandlerLibraryTest, RefusesWhatOthersCouldHaveWritten) {
  testing::set_mode(add("recorder", "by_all"), 0757);
  testing::set_mode(add("recorder", "by_group"), 0775);
  EXPECT_THAT(load(), IsEmpty());
  EXPECT_THAT(problems_,
              ElementsAre(EndsWith("by_all.so: can be written by others: chmod go-w it"),
                          EndsWith("by_group.so: can be written by others: chmod go-w it")));
  EXPECT_THAT(unsafe_, ElementsAre(true, true));
}

TEST_F(HandlerLibraryTest, RefusesStrangersFiles) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  ASSERT_EQ(::chown(add("recorder", "strange").c_str(), 12345, 0), 0);
  EXPECT_THAT(load(), IsEmpty());
  EXPECT_THAT(problems_, ElementsAre(HasSubstr("belongs to user 12345: must belong to root")));
}

TEST_F(HandlerLibraryTest, RefusesSymbolicLinksAndOtherKinds) {
  fs::create_symlink(fs::path(FASTMQTTD_TESTS_HANDLERS) / "recorder.so", directory_ / "link.so");
  fs::create_directory(directory_ / "folder.so");
  EXPECT_THAT(load(), IsEmpty());
  EXPECT_THAT(problems_, ElementsAre(EndsWith("folder.so: is not a regular file"),
                                     HasSubstr("link.so: is a symbolic link")));
}

TEST_F(HandlerLibraryTest, RefusesADirectoryThatOthersCanWrite) {
  const fs::path inner = directory_ / "inner";
  fs::create_directory(inner);
  testing::set_mode(inner, 0777);
  load_from({inner});
  EXPECT_THAT(problems_, ElementsAre(HasSubstr("inner can be written by others")));
  EXPECT_THAT(unsafe_, ElementsAre(true));

  testing::set_mode(inner, 01777);
  load_from({inner});
  EXPECT_EQ(problems_.size(), 1u) << "sticky is good enough for a parent only";

  testing::set_mode(inner, 0755);
  testing::set_mode(directory_.path(), 0777);
  load_from({inner});
  EXPECT_THAT(problems_,
              ElementsAre(HasSubstr(directory_.path().string() + " can be written by others")));
  testing::set_mode(directory_.path(), 01777);
  load_from({inner, inner.string() + "/"});
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(HandlerLibraryTest, FollowsALinkedDirectoryToWhereItLeads) {
  const fs::path open = directory_ / "open", closed = open / "closed";
  fs::create_directories(closed);
  testing::set_mode(open, 0777);
  fs::create_directory_symlink(closed, directory_ / "link");
  load_from({directory_ / "link"});
  EXPECT_THAT(problems_, ElementsAre(HasSubstr("open can be written by others")));
}

TEST_F(HandlerLibraryTest, WantsDirectoriesUnlessTheyMayBeAbsent) {
  load_from({directory_ / "none"}, {}, /*may_be_absent=*/true);
  EXPECT_THAT(problems_, IsEmpty());
  testing::write_file(directory_ / "file", "");
  load_from({directory_ / "none", directory_ / "file"});
  EXPECT_THAT(problems_, ElementsAre(HasSubstr("none: plugin_directories: is not a directory"),
                                     HasSubstr("file: plugin_directories: is not a directory")));
}

TEST_F(HandlerLibraryTest, RefusesTheSameHandlerTwice) {
  add("recorder", "one");
  add("recorder", "two");
  fs::create_hard_link(directory_ / "one.so", directory_ / "zero.so");
  EXPECT_EQ(load().size(), 1u);
  EXPECT_THAT(problems_,
              ElementsAre(HasSubstr("two.so: is a second handler named 'recorder', after "),
                          HasSubstr("zero.so: is the same file as ")));
}

TEST_F(HandlerLibraryTest, RefusesASecondPluginOfASoname) {
  add("soname_first");
  add("soname_second");
  EXPECT_EQ(load().size(), 1u);
  EXPECT_THAT(problems_, ElementsAre(::testing::AllOf(
                             HasSubstr("soname_second.so: has the same soname as "),
                             HasSubstr("soname_first.so, libtwin.so.1: build it with a soname of "
                                       "its own, or with none"))));
}

TEST_F(HandlerLibraryTest, LoadsAPluginOfTheFuture) {
  add("future_struct");
  const auto libraries = load();
  EXPECT_THAT(problems_, IsEmpty());
  ASSERT_EQ(libraries.size(), 1u);
  EXPECT_EQ(libraries[0].name, "future_struct");
  EXPECT_EQ(libraries[0].topics.size(), 1u);
}

TEST_F(HandlerLibraryTest, RefusesAnEssentialFlagThatItDoesNotKnow) {
  add("unknown_flag");
  EXPECT_THAT(load(), IsEmpty());
  EXPECT_THAT(problems_, ElementsAre(EndsWith(
                             "unknown_flag.so: its flags 0x20000 are unknown to this version: a "
                             "newer fastmqttd, or a plugin that does without")));
}

TEST_F(HandlerLibraryTest, SurvivesConstructorsThatDoNot) {
  for (const char* bad : {"constructor_exits", "constructor_crashes", "constructor_throws"})
    add(bad);
  add("recorder");
  EXPECT_EQ(load().size(), 1u);
  EXPECT_THAT(problems_,
              ElementsAre(HasSubstr("constructor_crashes.so: its constructor "),
                          HasSubstr("constructor_exits.so: its constructor ends the process, with "
                                    "status 3"),
                          HasSubstr("constructor_throws.so: its constructor crashes: SIGABRT: it "
                                    "says: what():  no licence found")));
}

TEST_F(HandlerLibraryTest, LoadsOneFileInSpiteOfDoubts) {
  const std::string path = add("recorder");
  testing::set_mode(path, 0757);
  std::vector<Problem> doubts;
  EXPECT_EQ(load_handler_library(path, doubts).name, "recorder");
  ASSERT_EQ(doubts.size(), 1u);
  EXPECT_THAT(to_string(doubts[0]),
              EndsWith("recorder.so: can be written by others: chmod go-w it"));
  EXPECT_THROW(load_handler_library(directory_ / "none.so", doubts), Problem);
}

TEST_F(HandlerLibraryTest, LeavesOthersAlone) {
  add("recorder");
  add("no_symbol", "broken_but_kept_off");
  testing::write_file(directory_ / "README.txt", "x");
  EXPECT_EQ(load({"broken_but_kept_off"}).size(), 1u);
  EXPECT_THAT(problems_, IsEmpty());
}

}  // namespace
}  // namespace fastmqttd
