#include "handlers/republish/reason.hpp"

#include <MQTTAsync.h>

namespace fastmqtt::republish {
namespace {

// Of MQTT 3.1.1; the two lists share no number.
enum OldCode {
  kOldVersion = 1,
  kOldClientId,
  kOldUnavailable,
  kOldBadCredentials,
  kOldNotAuthorized
};

std::string name_of(int code) {
  switch (code) {
    case kOldVersion: return "unacceptable protocol version";
    case kOldClientId: return "client identifier rejected";
    case kOldUnavailable: return "server unavailable";
    case kOldBadCredentials: return "bad user name or password";
    case kOldNotAuthorized: return "not authorized";
    default: break;
  }
  const char* name = ::MQTTReasonCode_toString(static_cast<MQTTReasonCodes>(code));
  return name ? name : "unknown reason";
}

}  // namespace

std::string reason_text(int code) {
  constexpr char kDigits[] = "0123456789abcdef";
  return name_of(code) + " (0x" + kDigits[code >> 4 & 15] + kDigits[code & 15] + ")";
}

std::string connection_hint(int code) {
  switch (code) {
    case kOldVersion:
    case MQTTREASONCODE_UNSUPPORTED_PROTOCOL_VERSION:
      return "set broker.version to one that it speaks";
    case kOldClientId:
    case MQTTREASONCODE_CLIENT_IDENTIFIER_NOT_VALID: return "set another broker.client_id";
    case kOldBadCredentials:
    case kOldNotAuthorized:
    case MQTTREASONCODE_BAD_USER_NAME_OR_PASSWORD:
    case MQTTREASONCODE_NOT_AUTHORIZED:
    case MQTTREASONCODE_BAD_AUTHENTICATION_METHOD:
      return "check broker.username, broker.password and its access rules";
    case MQTTREASONCODE_BANNED: return "ask whoever runs it";
    case MQTTREASONCODE_SESSION_TAKEN_OVER:
      return "another client uses the same broker.client_id; with `workers` leave it out";
    case MQTTREASONCODE_USE_ANOTHER_SERVER:
    case MQTTREASONCODE_SERVER_MOVED:
      return "set broker.host to the server that it names, or ask who runs it";
    default: return {};
  }
}

bool is_taken_over(int code) { return code == MQTTREASONCODE_SESSION_TAKEN_OVER; }

bool refuses_message(int code) {
  switch (code) {
    case MQTTREASONCODE_MALFORMED_PACKET:
    case MQTTREASONCODE_PROTOCOL_ERROR:
    case MQTTREASONCODE_NOT_AUTHORIZED: return true;
    default: return ends_for_message(code);
  }
}

bool ends_for_message(int code) {
  switch (code) {
    case MQTTREASONCODE_TOPIC_NAME_INVALID:
    case MQTTREASONCODE_PACKET_TOO_LARGE:
    case MQTTREASONCODE_PAYLOAD_FORMAT_INVALID:
    case MQTTREASONCODE_RETAIN_NOT_SUPPORTED:
    case MQTTREASONCODE_QOS_NOT_SUPPORTED: return true;
    default: return false;  // a quota, for one, may have room again
  }
}

}  // namespace fastmqtt::republish
