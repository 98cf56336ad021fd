#include "daemon/session/reason.hpp"

#include <MQTTAsync.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <map>

namespace fastmqttd {
namespace {

using namespace reason;

// Paho has names like "Bad user name or password", too, but some of them are mistaken or terse.
std::string name_of(int code) {
  static const std::map<int, std::string> texts{
      {kOldVersion, "unacceptable protocol version"},
      {kOldClientId, "client identifier rejected"},
      {3, "server unavailable"},
      {kOldBadCredentials, "bad user name or password"},
      {kOldNotAuthorized, "not authorized"},
      {kUseAnotherServer, "use another server"},
      {kServerMoved, "server moved"},
  };
  if (const auto text = texts.find(code); text != texts.end()) return text->second;
  const char* name = ::MQTTReasonCode_toString(static_cast<MQTTReasonCodes>(code));
  return name ? name : "unknown reason";
}

}  // namespace

std::string reason_text(int code) {
  return fmt::format("{} (0x{:02x})", name_of(code), static_cast<unsigned>(code));
}

bool refuses_for_good(int code) {
  constexpr std::array kForGood{
      kOldVersion,   kOldClientId,    kOldBadCredentials, kOldNotAuthorized, kUnsupportedVersion,
      kBadClientId,  kBadCredentials, kNotAuthorized,     kBanned,           kBadAuthentication,
      kBadTopicName, kPacketTooLarge, kBadPayloadFormat,  kNoRetain,         kNoSuchQos,
      kServerMoved};
  return std::ranges::find(kForGood, code) != kForGood.end();
}

std::string refusal_hint(int code) {
  switch (code) {
    case kOldVersion:
    case kUnsupportedVersion: return "set mqtt.version to one that the broker speaks";
    case kOldClientId:
    case kBadClientId: return "set another mqtt.client_id";
    case kOldBadCredentials:
    case kOldNotAuthorized:
    case kBadCredentials:
    case kNotAuthorized:
    case kBadAuthentication:
      return "check mqtt.username, mqtt.password and the broker's access rules";
    case kBanned: return "ask whoever runs the broker";
    case kBadTopicName:
    case kPacketTooLarge:
    case kBadPayloadFormat:
    case kNoRetain:
    case kNoSuchQos: return "the broker does not take the will as it is configured";
    case kUseAnotherServer:
    case kServerMoved: return "set mqtt.host to the server that it names, or ask who runs it";
    default: return {};
  }
}

}  // namespace fastmqttd
