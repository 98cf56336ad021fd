// `fastmqttctl reload`.
#pragma once

#include "daemon/ctl/connection.hpp"

namespace fastmqttd {

// 0 when all of the configuration is in force; 75 when the rest of it still has to follow; throws
// Failure with 78 and every reason when nothing was changed.
int reload(const Connection& daemon);

}  // namespace fastmqttd
