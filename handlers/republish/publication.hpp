// What is published in the place of a message.
#pragma once

#include <string>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::republish {

struct Publication {
  std::string topic = {};
  std::string payload = {};
  int qos = 1;
  bool retain = false;
  Properties properties = {};
};

}  // namespace fastmqtt::republish
