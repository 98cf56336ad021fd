// Whether what a handler wants published may go to a broker (MQTT 5.0 section 3.3).  Pure.
#pragma once

#include <string>

#include "daemon/message/message.hpp"
#include "fastmqtt/handler.h"

namespace fastmqttd {

// What is wrong with it, in words for the handler's author; empty when it is well-formed.
std::string publication_error(const fastmqtt_message& message);

// A copy of what publish() heeds.
MessagePtr copy_publication(const fastmqtt_message& message);

// The length of the PUBLISH packet that carries it, at most: for the broker's Maximum Packet Size.
std::size_t packet_bytes(const Message& message);

}  // namespace fastmqttd
