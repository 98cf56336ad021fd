// The client identifier of a daemon that was given none.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fastmqttd {

// `fastmqttd-` and twelve hex digits derived from the machine id and the instance: the same at
// every start, another one on every machine and for every instance, and not the machine id itself
// (machine-id(5)).  Nothing when the machine has no id.
std::optional<std::string> default_client_id(std::string_view instance);

}  // namespace fastmqttd
