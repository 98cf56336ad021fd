// A message as a JSON object: what programs are given, and what is written to files.
//
//     {"topic":"a/b","payload":"21.5","qos":1,"retain":false,"message_id":17,"received_ms":1764...}
//
// and content_type, response_topic, correlation_data and user_properties (a list of pairs) where
// the message has them.  What is no UTF-8 stands there in base64, under the name with _base64.
#pragma once

#include <string>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::common {

// On one line.
std::string message_json(const Message& message);
// The same with the delivery's own: "id" as the first, and "attempt".
std::string delivery_json(const Message& message);

}  // namespace fastmqtt::common
