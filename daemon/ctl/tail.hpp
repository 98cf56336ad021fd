// `fastmqttctl tail`: what the handlers answer, as it comes.
#pragma once

#include <string>

#include "daemon/ctl/connection.hpp"

namespace fastmqttd {

// A line a delivery, of topics that the filter matches; all with an empty one.  Until it is
// interrupted.
int tail_deliveries(const Connection& daemon, const std::string& filter, bool json);

}  // namespace fastmqttd
