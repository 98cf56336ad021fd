#include "daemon/session/kept_session.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace fastmqttd {
namespace {

namespace fs = std::filesystem;

class Kept : public ::testing::Test {
 protected:
  Kept() { fs::create_directories(directory_); }
  ~Kept() override { fs::remove_all(directory_); }
  KeptSession open(const std::string& client_id = "me", bool keep = true) const {
    KeptSession kept(directory_, client_id, keep);
    kept.at("here:1883");
    return kept;
  }

  const fs::path directory_ = fs::path(::testing::TempDir()) /
                              ("kept-" + std::to_string(::getpid()) +
                               ::testing::UnitTest::GetInstance()->current_test_info()->name());
  const KeptSession::Filters filters_{
      {"a/#", {1, 7, 3}}, {"$share/g/\"quoted\"", {2, 268'435'455, 9}}, {"\xc3\xbc/+", {}}};
};

TEST_F(Kept, IsNothingAtFirst) {
  EXPECT_FALSE(open().known());
  EXPECT_TRUE(open().filters().empty());
}

TEST_F(Kept, IsThereForTheNextRun) {
  open().remember(filters_);
  EXPECT_TRUE(open().known());
  EXPECT_EQ(open().filters(), filters_);
}

TEST_F(Kept, IsOneEvenWithoutFilters) {
  open().remember({});
  EXPECT_TRUE(open().known());
}

TEST_F(Kept, IsOfOneClientIdentifier) {
  open().remember(filters_);
  EXPECT_FALSE(open("somebody").known());
}

TEST_F(Kept, IsForgotten) {
  open().remember(filters_);
  KeptSession kept = open();
  kept.forget();
  EXPECT_FALSE(kept.known());
  EXPECT_TRUE(kept.filters().empty());
  EXPECT_FALSE(open().known());
}

TEST_F(Kept, IsOfOneBroker) {
  KeptSession kept = open();
  kept.remember({{"a", {1}}, {"b", {2}}});
  kept.at("there:1883");
  EXPECT_FALSE(kept.known());
  // Which may be another door to the same one.
  EXPECT_EQ(kept.filters(), (KeptSession::Filters{{"a", {}}, {"b", {}}}));
  kept.remember({{"b", {0}}, {"c", {1}}});
  EXPECT_EQ(kept.filters(), (KeptSession::Filters{{"b", {0}}, {"c", {1}}}));
  EXPECT_EQ(open().filters(), (KeptSession::Filters{{"a", {1}}, {"b", {2}}}));
  kept.forget();
  EXPECT_FALSE(kept.known());
  EXPECT_TRUE(open().known());
}

TEST_F(Kept, IsForgottenByACleanSession) {
  open().remember(filters_);
  KeptSession clean = open("me", false);
  clean.remember(filters_);
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(Kept, LeavesNothingHalfWritten) {
  KeptSession kept = open();
  kept.remember(filters_);
  kept.remember({{"b", {1}}});
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    ++files;
    EXPECT_EQ(entry.path().filename(), "session.json");
  }
  EXPECT_EQ(files, 1u);
}

TEST_F(Kept, IsNothingWhenItCannotBeRead) {
  for (const char* text : {"", "{", "[]", "{\"client_id\": \"me\"}", "{\"client_id\": 1}",
                           "{\"client_id\": \"me\", \"sessions\": 7}",
                           "{\"client_id\": \"me\", \"sessions\": {\"b\": {\"f\": 1}}}"}) {
    std::ofstream(directory_ / "session.json") << text;
    EXPECT_FALSE(open().known()) << text;
  }
}

TEST_F(Kept, IsNothingWhenItIsADirectory) {
  fs::create_directory(directory_ / "session.json");
  EXPECT_FALSE(open().known());
}

TEST_F(Kept, GoesOnWithoutADirectory) {
  KeptSession kept(directory_ / "not there", "me", true);
  kept.remember(filters_);
  EXPECT_EQ(kept.filters(), filters_);  // for this run
}

}  // namespace
}  // namespace fastmqttd
