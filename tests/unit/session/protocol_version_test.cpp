#include "daemon/session/protocol_version.hpp"

#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

using enum MqttVersion;

TEST(ProtocolVersion, ARefusalFallsBackForGood) {
  ProtocolVersion version(v5, true);
  EXPECT_TRUE(version.refused());
  EXPECT_EQ(version.next(), v3_1_1);
  EXPECT_FALSE(version.refused());
  version.unreachable();
  version.ended_without_a_word();
  EXPECT_EQ(version.next(), v3_1_1);
}

TEST(ProtocolVersion, TwoSilencesInARowAreATrial) {
  ProtocolVersion version(v5, true);
  EXPECT_FALSE(version.ended_without_a_word());
  ProtocolVersion other(v5, true);
  EXPECT_FALSE(other.ended_without_a_word());
  other.unreachable();  // another address of it
  EXPECT_TRUE(other.ended_without_a_word());
  EXPECT_EQ(other.next(), v3_1_1);
  EXPECT_TRUE(version.ended_without_a_word());
  EXPECT_EQ(version.next(), v3_1_1);
}

TEST(ProtocolVersion, ATrialWithoutAnAnswerGoesBack) {
  for (const bool reached : {true, false}) {
    ProtocolVersion version(v5, true);
    version.ended_without_a_word();
    version.ended_without_a_word();
    if (reached)
      EXPECT_FALSE(version.ended_without_a_word());
    else
      version.unreachable();
    EXPECT_EQ(version.next(), v5);
  }
}

TEST(ProtocolVersion, ATrialWithAnAnswerStays) {
  ProtocolVersion version(v5, true);
  version.ended_without_a_word();
  version.ended_without_a_word();
  version.answered();
  version.ended_without_a_word();
  version.unreachable();
  EXPECT_EQ(version.next(), v3_1_1);
}

TEST(ProtocolVersion, WhoSpokeFiveIsNotTakenForDumb) {
  ProtocolVersion version(v5, true);
  version.answered();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(version.ended_without_a_word());
  EXPECT_EQ(version.next(), v5);
  EXPECT_TRUE(version.refused());  // another broker stands there now
}

TEST(ProtocolVersion, NothingFallsBackThatMayNot) {
  for (const MqttVersion configured : {v5, v3_1_1, v3_1}) {
    ProtocolVersion version(configured, configured != v5);
    EXPECT_FALSE(version.refused());
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(version.ended_without_a_word());
    EXPECT_EQ(version.next(), configured);
  }
}

}  // namespace
}  // namespace fastmqttd
