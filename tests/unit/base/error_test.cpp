#include "daemon/base/error.hpp"

#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

TEST(Problem, ReadsAsPlaceKeyWhatExpected) {
  EXPECT_EQ(to_string(Problem{{"a.yaml", 3, 7}, "mqtt.port", "not a number", "1 to 65535"}),
            "a.yaml:3:7: mqtt.port: not a number: 1 to 65535");
  EXPECT_EQ(to_string(Problem{{"a.so"}, "", "not an ELF file", ""}), "a.so: not an ELF file");
}

TEST(StartError, NamesEveryProblem) {
  const StartError error({{{"a", 1, 1}, "x", "wrong", ""}, {{"b", 2, 1}, "y", "bad", ""}});
  EXPECT_STREQ(error.what(), "a:1:1: x: wrong\nb:2:1: y: bad");
}

TEST(StartError, IsUnsafeOnlyWhenNothingElseIsWrong) {
  const Problem content{{"a"}, "", "wrong", "", false}, mode{{"b"}, "", "writable", "", true};
  EXPECT_EQ(StartError({content}).status(), ExitStatus::config);
  EXPECT_EQ(StartError({mode}).status(), ExitStatus::unsafe);
  EXPECT_EQ(StartError({mode, content}).status(), ExitStatus::config);
}

}  // namespace
}  // namespace fastmqttd
