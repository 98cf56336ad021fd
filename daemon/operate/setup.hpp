// What a configuration asks for, as far as that can be had before it is in force: for the start,
// for
// `--check` and for a reload alike.
//
// Everything here throws StartError with all that is wrong, not only the first.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/delivery/dispatcher.hpp"
#include "daemon/plugin/handler_library.hpp"

namespace fastmqttd {

// With a configuration that is wrong the plugins are looked at all the same, if wanted: whoever
// mends the one should know of the others.
Config read_whole_config(const std::string& file, bool look_at_plugins);

// Of the configuration, or derived from the machine and the file's name.
std::string client_id(const Config& config, const std::string& file);

// Loads the plugins, looks at the files of mqtt.ssl, and gives `make` the handlers that are to run.
// What `make` throws is part of the report.
void set_up_handlers(const Config& config, std::vector<HandlerLibrary>& libraries,
                     const std::function<void(const std::vector<HandlerToRun>&)>& make);

// In the journal, as the event that it is: of a plugin, of the spool, else of the configuration.
void log_problem(const Problem& problem, ExitStatus status = ExitStatus::config);

// Plugins that nobody uses, in words: whoever dropped one in should know.  Empty when there is
// none.
std::string idle_plugins(const Config& config, const std::vector<HandlerLibrary>& libraries);

}  // namespace fastmqttd
