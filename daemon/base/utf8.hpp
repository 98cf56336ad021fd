// UTF-8 as MQTT strings have to be (MQTT 5.0 section 1.5.4, RFC 3629).  Pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace fastmqttd {

// The length of the well-formed UTF-8 sequence at the start of `text`, 0 if there is none: no
// overlong forms, no surrogates, nothing past U+10FFFF.
std::size_t utf8_sequence(std::string_view text);

// Why `text` is no MQTT string, in words that go after its name; null when it is one.
const char* mqtt_string_error(std::string_view text);

}  // namespace fastmqttd
