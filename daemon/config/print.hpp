// The effective configuration as YAML that reads back to itself, secrets masked.
#pragma once

#include <string>

#include "daemon/config/config.hpp"

namespace fastmqttd {

// References stay as written (`${file:/path}`); a literal password becomes "********", and so does
// an option whose name says that it is secret (password, passwd, secret, token, api_key,
// authorization in it).
std::string print_config(const Config& config);

}  // namespace fastmqttd
