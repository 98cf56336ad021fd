// A dead letter as the operator gets it.  Pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "daemon/spool/dead_letter.hpp"

namespace fastmqttd {

// All but payload and properties.
nlohmann::ordered_json to_json(const DeadLetter& letter);

// "payload" is text where it is UTF-8, else base64; "encoding" says which.
nlohmann::ordered_json to_json_with_content(const DeadLetter& letter);

}  // namespace fastmqttd
