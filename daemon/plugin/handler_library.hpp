// The handler plugins: shared objects, found, checked, loaded and never unloaded.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/message/topic_filter.hpp"
#include "fastmqtt/handler.h"

namespace fastmqttd {

// One loaded plugin.  What it points to lives until the process ends.
struct HandlerLibrary {
  std::string path;
  const fastmqtt_handler* handler = nullptr;
  std::string name;
  std::vector<TopicFilter> topics;   // its defaults
  bool names_options = false;        // whether `options` is the whole list
  std::vector<std::string> options;  // sorted as the plugin lists them
};

// Loads every `*.so` of the directories, in name order; files called like one of `skip` (without
// the `.so`) are left alone.  Absent directories are passed over when `may_be_absent`.
//
// Ownership, modes and the ELF header are checked before dlopen(3), because loading runs the file's
// constructors.  Appends to `problems` whatever is wrong with any of them, and goes on.
std::vector<HandlerLibrary> load_handler_libraries(const std::vector<std::string>& directories,
                                                   bool may_be_absent,
                                                   const std::set<std::string>& skip,
                                                   std::vector<Problem>& problems);

// One file, wherever it lies.  Throws the Problem with it; `unsafe` ones, of owner and mode, go to
// `doubts` instead.  For trying a plugin out, not for running it.
HandlerLibrary load_handler_library(const std::string& path, std::vector<Problem>& doubts);

}  // namespace fastmqttd
