// The MESSAGE_IDs of lines that stand for an event (systemd.journal-fields(7), journalctl
// --catalog). An id never changes its meaning and is never used again.
#pragma once

#include <string_view>

namespace fastmqttd::event {

inline constexpr std::string_view kConnected = "2a5a680dcc7c4bac9282f9d9448f2680";
inline constexpr std::string_view kConnectionLost = "7ba21c2aea2248d2866b5898e1a950c5";
inline constexpr std::string_view kCannotConnect = "245442465600424793629c91ffc95b9b";
inline constexpr std::string_view kConnectionRefused = "9913428f6b2c47539c253b4055bec1f4";
inline constexpr std::string_view kSessionLost = "4f08906ead5245f6b12293dcbe8789e6";
inline constexpr std::string_view kDowngraded = "5279e39b672547d184770c5527901e19";
inline constexpr std::string_view kSubscriptionRefused = "de71ae0071a944d7a924a970ebd95886";
inline constexpr std::string_view kHandlerSuspended = "590e26fc677e4c8cbdcf412617be6634";
inline constexpr std::string_view kHandlerResumed = "5ac6aaf0f53b4b1ebbc22523edcc1d3d";
inline constexpr std::string_view kDeadLetter = "45dec18a86e6419b9c57a7813c035d12";
inline constexpr std::string_view kSpoolFull = "d1610625ca524e59aa83a9f94e13e23d";
inline constexpr std::string_view kSpoolRecovered = "474b0aea72004b3db693c1f1bd2b7143";
inline constexpr std::string_view kHandlerStuck = "3653ba9a64c24581a6019e56b2a4ee82";
inline constexpr std::string_view kHandlerDied = "28fe813cd72c44e782d05fbc56642ab8";
inline constexpr std::string_view kReloadApplied = "462cdd7659e74c1f9b9818b4b2b71196";
inline constexpr std::string_view kReloadRefused = "b9e3f57542f147a9a9b15fd89beac277";
inline constexpr std::string_view kConfigError = "86a38961db5f43e1b7ae0a62621dcefc";
inline constexpr std::string_view kSpoolUnusable = "3d02891dff7f4fcf8f813caf926927d5";
inline constexpr std::string_view kPluginRefused = "3dfd0bf4827f497fae5da6702292926d";

}  // namespace fastmqttd::event
