// Where log lines go: the journal, with native fields, or standard error.
#pragma once

#include "daemon/config/config.hpp"

namespace fastmqttd {

// Sets the process-wide logger; called by main, before other threads start.  `automatic` is the
// journal when standard error is connected to it (systemd.exec(5), $JOURNAL_STREAM).
void set_up_log(const LogConfig& config);

// In general and of handlers with one of their own: what was set since then is forgotten.
void set_log_levels(const Config& config);

}  // namespace fastmqttd
