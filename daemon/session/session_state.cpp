#include "daemon/session/session_state.hpp"

namespace fastmqttd {

std::string describe(const SessionState& session) {
  using Phase = SessionState::Phase;
  switch (session.phase) {
    case Phase::connecting:
      return "connecting to " + session.broker +
             (session.reason.empty() ? "" : " (" + session.reason + ")");
    case Phase::connected: return "connected to " + session.broker;
    case Phase::waiting: return "not connected to " + session.broker + " (" + session.reason + ")";
    case Phase::refusing:
      return "not taking messages from " + session.broker + " (" + session.reason + ")";
    case Phase::stopped: break;
  }
  return "disconnected";
}

}  // namespace fastmqttd
