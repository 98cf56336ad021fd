// What the operator may ask of the running daemon, and what is answered: JSON in, JSON out.  Any
// thread may call.
//
// Refusals are thrown, in words that go to the operator as they are; so is whatever the spool
// throws.  No answer holds a secret.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include "daemon/delivery/dispatcher.hpp"
#include "daemon/operate/http_server.hpp"
#include "daemon/operate/reloader.hpp"
#include "daemon/session/session.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

using Json = nlohmann::ordered_json;

class Control {
 public:
  // All must outlive it.
  Control(Dispatcher& dispatcher, const Session& session, Spool& spool, Reloader& reloader)
      : dispatcher_(dispatcher), session_(session), spool_(spool), reloader_(reloader) {}

  Json status() const;
  // {"handlers": [..]}, as in status().
  Json handlers() const;
  // Which handlers a message on that topic would reach: {"topic", "handlers": [{"handler",
  // "filters": [..], "state"}]}.
  Json route(const std::string& topic) const;
  // The latest answers behind `after`, of topics that the filter matches: {"deliveries": [..],
  // "next": .., "missed": ..}.  Without `after` it begins with what comes now.
  Json deliveries(std::optional<std::int64_t> after,
                  const std::optional<std::string>& filter) const;

  // {"dead_letters": [..]}: those behind `after`, as many as are wanted and fit in a page.
  Json dead_letters(std::int64_t after, std::size_t limit,
                    const std::optional<std::string>& handler) const;
  // With payload and properties.
  Json dead_letter(std::int64_t id) const;

  // What is asked for is {"ids": [..]}; what is answered, {"done": [..], "unknown": [..]}.  Or it
  // is {"all": true}, perhaps with a "handler"; that goes in pages: the answer {"done": 12,
  // "left": 0, "after": 40, "until": 99, "end": false} says how many had no handler and were left,
  // where the next one begins and, the same for all of them, where the last one ends.
  Json replay(const Json& wanted);
  Json drop(const Json& wanted);

  // Reads the configuration again: {"result": "applied" or "unfinished" or "refused", "text": ..,
  // "problems": [..]}; see Reloader.
  Json reload();

  // {"handler": ..}: it gets no messages, or gets them again.
  Json pause(const Json& wanted);
  Json resume(const Json& wanted);
  // {"level": "debug", "handler": ..}: until the next reload, of one handler or in general.
  Json log_level(const Json& wanted);

  // {"handler": ..}: drops a page of what waits for it: {"forgotten": 1000, "end": false}.
  Json forget(const Json& wanted);

 private:
  using Act = bool (Control::*)(std::int64_t id);
  bool replay_one(std::int64_t id) { return dispatcher_.replay(id); }
  bool drop_one(std::int64_t id) { return spool_.drop_dead_letter(id); }
  Json each(const Json& wanted, Act act);
  Json each_of(const Json& ids, Act act);
  Json page(const Json& wanted, Act act);
  void check_has_handler(std::int64_t letter) const;
  std::string name_of_handler(const Json& wanted) const;
  Json set_paused(const Json& wanted, bool paused);

  Dispatcher& dispatcher_;
  const Session& session_;
  Spool& spool_;
  Reloader& reloader_;
};

}  // namespace fastmqttd
