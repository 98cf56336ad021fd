// The one MQTT session with the broker: connects, subscribes, receives, and keeps at it.
//
// A thread of its own, the owner, runs the connect loop and makes every call into Paho; Paho's
// callbacks only hand messages to the Dispatcher and post events.  Paho is seen in this room only.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/base/units.hpp"
#include "daemon/config/config.hpp"
#include "daemon/delivery/dispatcher.hpp"
#include "daemon/session/session_state.hpp"

namespace fastmqttd {

// Who is to be reached, and as whom.
struct SessionSettings {
  MqttConfig mqtt;
  std::string client_id;
};

class Session {
 public:
  // `attention` is called, from any thread, whenever the state has changed.  The dispatcher and
  // the spool must outlive the session.
  Session(SessionSettings settings, const std::filesystem::path& state_directory, Spool& spool,
          Dispatcher& dispatcher, std::function<void()> attention);
  ~Session();  // stops, and waits for it
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();
  // Disconnects cleanly (no will is sent); state() says when it has stopped.  Returns at once.
  void stop();

  // What is subscribed follows the dispatcher's routing, which has changed; with `settings`, where
  // they are others, it also connects anew.  Returns at once: see SessionState::changing.
  void change(std::optional<SessionSettings> settings);

  SessionState state() const;
  // What a part of the session has been busy with for longer than it should: the owner without
  // progress, or Paho's thread within our callback.
  std::optional<std::string> stuck(TimePoint now) const;

 private:
  class Owner;
  std::unique_ptr<Owner> owner_;
};

}  // namespace fastmqttd
