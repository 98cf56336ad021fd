// What may stand in a topic that is made by a template.  Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace fastmqtt::republish {

// Whether it is UTF-8 without control characters, which MQTT does not want in its texts, and for
// which brokers end the connection.
bool is_text(std::string_view text);

// Why nothing can be published to that topic, in words that go after it; empty when it can.
std::string topic_error(std::string_view topic);

// A template's text without its placeholders: what is in the topic of every message.
std::string constant_parts(std::string_view text);

}  // namespace fastmqtt::republish
