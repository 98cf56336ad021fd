// fastmqttctl, as far as it works without a daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Finished ctl(const std::vector<std::string>& arguments) {
  Command command{.argv = {FASTMQTTCTL_PROGRAM}};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return run(command);
}

TEST(Ctl, MatchSaysYesAndNo) {
  const Finished yes = ctl({"match", "home/+/temperature", "home/hall/temperature"});
  EXPECT_EQ(yes.exit, Exit{});
  EXPECT_EQ(yes.output, "match\n");
  const Finished no = ctl({"match", "home/+", "home/hall/temperature"});
  EXPECT_EQ(no.exit, Exit{.status = 1});
  EXPECT_EQ(no.output, "no match\n");
  EXPECT_EQ(ctl({"match", "$share/g/a/#", "a"}).exit, Exit{});
  EXPECT_EQ(ctl({"match", "#", "$SYS/x"}).exit, Exit{.status = 1});
}

TEST(Ctl, MatchNamesWhatIsNotValid) {
  const Finished filter = ctl({"match", "a/#/b", "a"});
  EXPECT_EQ(filter.exit, Exit{.status = 65});
  EXPECT_EQ(filter.errors,
            "fastmqttctl: topic filter 'a/#/b' is not valid: '#' stands alone as the last level\n");
  const Finished topic = ctl({"match", "a", "a/+"});
  EXPECT_EQ(topic.exit, Exit{.status = 65});
  EXPECT_THAT(topic.errors, HasSubstr("topic 'a/+' is not valid"));
}

TEST(Ctl, WrongUsage) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{}, {"match"}, {"match", "a"}, {"frobnicate"}}) {
    const Finished done = ctl(arguments);
    EXPECT_EQ(done.exit, Exit{.status = 64});
    EXPECT_THAT(done.errors, ::testing::Not(IsEmpty()));
  }
}

}  // namespace
}  // namespace fastmqttd::testing
