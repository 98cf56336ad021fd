#include "daemon/plugin/trial_load.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::string trial(const std::string& plugin, Duration limit = 10s) {
  return trial_load(FASTMQTTD_TESTS_HANDLERS "/" + plugin + ".so", limit);
}

TEST(TrialLoad, IsSilentAboutAGoodPlugin) {
  EXPECT_EQ(trial("recorder"), "");
  EXPECT_EQ(trial("no_symbol"), "") << "what it exports is looked at later";
}

TEST(TrialLoad, KillsAConstructorThatHangs) {
  EXPECT_EQ(trial("constructor_hangs", 100ms), "its constructor has not returned for 100ms");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they report in their own way
TEST(TrialLoad, QuotesTheLastWordsOfAConstructorThatCrashes) {
  EXPECT_EQ(trial("constructor_crashes"),
            "its constructor crashes: SIGABRT: it says: no licence found");
}
#endif

TEST(TrialLoad, SaysWhatTheLinkerSays) {
  EXPECT_EQ(trial("unresolved"), "cannot be loaded: undefined symbol: no_such_function");
  EXPECT_THAT(trial("does_not_exist"), HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace fastmqttd
