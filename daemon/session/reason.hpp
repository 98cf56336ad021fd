// Reason codes of MQTT 5.0 section 2.4 and return codes of MQTT 3.1.1 section 3.2.2.3: their names,
// and what they mean for whoever is refused.  Pure functions.
#pragma once

#include <string>

namespace fastmqttd {

// The codes that something here depends on; the two lists share no number.
namespace reason {
inline constexpr int kOldVersion = 1;
inline constexpr int kOldClientId = 2;
inline constexpr int kOldBadCredentials = 4;
inline constexpr int kOldNotAuthorized = 5;
inline constexpr int kUnspecified = 0x80;
inline constexpr int kUnsupportedVersion = 0x84;
inline constexpr int kBadClientId = 0x85;
inline constexpr int kBadCredentials = 0x86;
inline constexpr int kNotAuthorized = 0x87;
inline constexpr int kBanned = 0x8A;
inline constexpr int kBadAuthentication = 0x8C;
inline constexpr int kSessionTakenOver = 0x8E;
inline constexpr int kBadTopicName = 0x90;
inline constexpr int kPacketTooLarge = 0x95;
inline constexpr int kBadPayloadFormat = 0x99;
inline constexpr int kNoRetain = 0x9A;
inline constexpr int kNoSuchQos = 0x9B;
inline constexpr int kUseAnotherServer = 0x9C;
inline constexpr int kServerMoved = 0x9D;
inline constexpr int kNoSharedSubscriptions = 0x9E;
inline constexpr int kNoWildcards = 0xA2;
}  // namespace reason

// "not authorized (0x87)"
std::string reason_text(int code);

// Whether a broker that refuses a connection so will go on refusing it until somebody changes
// something, here or there.
bool refuses_for_good(int code);
// What that somebody should look at; empty when there is nothing to say.
std::string refusal_hint(int code);

}  // namespace fastmqttd
