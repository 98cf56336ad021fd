// Which version of MQTT the next attempt to connect speaks: the configured one, until the broker
// says, or shows, that it cannot do 5.  Pure.
#pragma once

#include "daemon/config/config.hpp"

namespace fastmqttd {

class ProtocolVersion {
 public:
  ProtocolVersion(MqttVersion configured, bool fallback)
      : fallback_(fallback && configured == MqttVersion::v5), next_(configured) {}

  MqttVersion next() const { return next_; }

  // The broker refused the attempt because of its version.  True when another is to be made at
  // once.
  bool refused() {
    if (!can_fall_back()) return false;
    next_ = MqttVersion::v3_1_1;
    return true;
  }
  // It ended the connection without a word.  Some brokers do so to what they do not understand, but
  // so does one that is just being stopped, or a proxy without a broker: 3.1.1 is tried once, and
  // spoken for good only when that is answered.  Never by a broker that has answered to 5 before.
  bool ended_without_a_word() {
    if (on_trial_) {
      on_trial_ = false;
      next_ = MqttVersion::v5;
      return false;
    }
    if (!can_fall_back() || spoken_ || ++silent_ < kTwice) return false;
    silent_ = 0;
    on_trial_ = true;
    next_ = MqttVersion::v3_1_1;
    return true;
  }
  // It accepted the connection, or refused it for another reason.
  void answered() {
    on_trial_ = false;
    silent_ = 0;
    spoken_ = spoken_ || next_ == MqttVersion::v5;
  }
  // It could not be reached; others of its addresses may be.
  void unreachable() {
    if (on_trial_) ended_without_a_word();
  }

 private:
  static constexpr int kTwice = 2;

  bool can_fall_back() const { return fallback_ && next_ == MqttVersion::v5; }

  const bool fallback_;
  MqttVersion next_;
  bool on_trial_ = false;
  bool spoken_ = false;  // MQTT 5 was answered once
  int silent_ = 0;       // in a row
};

// "3.1.1"
constexpr const char* version_text(MqttVersion version) {
  switch (version) {
    case MqttVersion::v3_1: return "3.1";
    case MqttVersion::v3_1_1: return "3.1.1";
    case MqttVersion::v5: break;
  }
  return "5";
}

}  // namespace fastmqttd
