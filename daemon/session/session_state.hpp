// What main and the operator want to know of the session.  Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fastmqttd {

struct SessionState {
  enum class Phase {
    connecting,  // an attempt is being made
    connected,   // and subscribed
    waiting,     // for the next attempt
    refusing,    // a message could not be stored: away until there is room again
    stopped,
  };

  Phase phase = Phase::connecting;
  std::string broker;         // "host:port" as configured
  std::string reason;         // why it waits, or why it has to connect again
  bool first_answer = false;  // the first attempt succeeded or failed
  bool gave_up = false;       // stopped by itself, after mqtt.reconnect_retries
  bool changing = false;      // what Session::change() has asked for is still to be done
  std::string client_id;
  std::string protocol;              // the version of MQTT that is spoken, "5"
  std::int64_t since_ns = 0;         // the phase; CLOCK_REALTIME
  std::uint64_t connects = 0;        // connections that were made
  std::vector<std::string> refused;  // filters that the broker would not subscribe
};

// For people: "not connected to localhost:1883 (Connection refused)".
std::string describe(const SessionState& session);

}  // namespace fastmqttd
