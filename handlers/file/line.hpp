// What is written for a message: one line, whatever it holds.
#pragma once

#include <string>
#include <string_view>

#include "fastmqtt/handler.hpp"

namespace fastmqtt::file {

// With what each line of JSON begins.
constexpr std::string_view kJsonBegin = R"({"topic":")";

// A JSON object; what is no UTF-8 stands there in base64, under the name with _base64.
std::string json_line(const Message& message);

// Text with its line ends as \n and \r, and other control characters but tabs as \xHH.
std::string in_line(std::string_view text);

}  // namespace fastmqtt::file
