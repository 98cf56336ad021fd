// The daemon as it is now, as JSON; for the control socket and the status page.
//
// Any thread.  None of it holds a secret.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "daemon/delivery/dispatcher.hpp"
#include "daemon/session/session.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

// {"version", "started", "connection": {..}, "spool": {..}, "publishing", "handlers": [..]}
nlohmann::ordered_json status_json(Dispatcher& dispatcher, const Session& session, Spool& spool);

// One of its "handlers".
nlohmann::ordered_json handler_json(Lane& lane);

// "running", "paused", "suspended", "changing" or "stuck": what the operator should know of first.
const char* state_of(Lane& lane);

}  // namespace fastmqttd
