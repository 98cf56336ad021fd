// Reason codes of MQTT 5.0 section 2.4 and return codes of MQTT 3.1.1 section 3.2.2.3.
#pragma once

#include <string>

namespace fastmqtt::republish {

// "not authorized (0x87)"
std::string reason_text(int code);

// What an operator should look at when a connection is refused, or ended, with it; empty when there
// is nothing to say.
std::string connection_hint(int code);

// Whether another client with the same client identifier has come.
bool is_taken_over(int code);

// Whether the message itself is at fault, or may not go there: trying again would change nothing.
bool refuses_message(int code);
// The same when the broker ends the connection with it: what else could be meant is left out.
bool ends_for_message(int code);

}  // namespace fastmqtt::republish
