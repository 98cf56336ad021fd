// fastmqttctl try: a plugin's file, one message, and what comes of it.  No daemon, no broker.
#pragma once

#include <string>
#include <vector>

#include "daemon/base/units.hpp"

namespace fastmqttd {

struct TryArguments {
  std::string plugin;  // its file
  std::string topic;
  std::string payload;  // or @FILE
  std::string options;  // YAML, or @FILE
  int qos = 1;
  bool retain = false;
  std::string content_type;
  std::string response_topic;
  std::string correlation_data;
  std::vector<std::string> user_properties;  // NAME=VALUE
  std::string timeout = "30s";
};

// Prints log lines, publishes and the result to standard output.  The exit status: 0 ok; 1 retry or
// reject.  Throws Failure with 64, 65 or 78, as main's.
int try_plugin(const TryArguments& arguments);

}  // namespace fastmqttd
