// Which handlers run: what the configuration names, and what was dropped in and declares topics.
#pragma once

#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/config/config.hpp"
#include "daemon/delivery/dispatcher.hpp"
#include "daemon/plugin/handler_library.hpp"

namespace fastmqttd {

// The handlers of an enabled entry; then those of plugins that declare topics and that no entry,
// enabled or not, names.  Without `subscribe` a handler gets its plugin's topics at QoS 1.  Appends
// a problem for a plugin that is not there and for a handler without topics.  Libraries are
// referred to, not copied.
std::vector<HandlerToRun> choose_handlers(const Config& config,
                                          const std::vector<HandlerLibrary>& libraries,
                                          std::vector<Problem>& problems);

// Plugins that do not run, since they declare no topics and no entry names them.
std::vector<std::string> plugins_without_entry(const Config& config,
                                               const std::vector<HandlerLibrary>& libraries);

// Plugins that only disabled entries name: their files need not even be loaded.
std::set<std::string> plugins_kept_off(const Config& config);

}  // namespace fastmqttd
