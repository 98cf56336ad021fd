// What a configuration asks for, as far as that can be had before it is in force: for the start,
// for `--check` and for a reload alike.
//
// All that is wrong goes into one list, so that whoever mends it mends it once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/delivery/dispatcher.hpp"
#include "daemon/plugin/handler_library.hpp"

namespace fastmqttd {

// Runs `act`; what it throws is appended, but for what the spool's failure makes pointless.
template <class F>
void attempt(std::vector<Problem>& problems, F act) {
  try {
    act();
  } catch (const StartError& error) {
    if (error.status() == ExitStatus::spool) throw;
    problems.insert(problems.end(), error.problems().begin(), error.problems().end());
  } catch (const Problem& problem) {
    problems.push_back(problem);
  }
}

// Whether each file of the configuration was read.  One that was not may have set right whatever
// seems to be wrong.
bool all_is_read(const std::vector<Problem>& problems);
// Whether one of them is about the key, or about one below it.
bool concerns(const std::vector<Problem>& problems, const std::string& key);

// Of the configuration, or derived from the machine and the file's name.  Throws StartError.
std::string client_id(const Config& config, const std::string& file);

// Looks at the files of mqtt.ssl, loads the plugins, and gives `make` the handlers that are to run;
// without one no handler's code runs.  `problems` holds those of reading the configuration: what
// they leave whole is looked at all the same.  Appends what is wrong; what `make` throws too.
// `before_any_code` is called before plugins are loaded.
void set_up_handlers(const Config& config, std::vector<HandlerLibrary>& libraries,
                     std::vector<Problem>& problems,
                     const std::function<void(const std::vector<HandlerToRun>&)>& make,
                     const std::function<void()>& before_any_code = {});

// In the journal, as the event that it is: of a plugin, of the spool, else of the configuration.
void log_problem(const Problem& problem, ExitStatus status = ExitStatus::config);

// Plugins that nobody uses, in words: whoever dropped one in should know.  Empty when there is
// none.
std::string idle_plugins(const Config& config, const std::vector<HandlerLibrary>& libraries);

}  // namespace fastmqttd
