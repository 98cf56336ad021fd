// What is written for a message is one line, whatever it holds.
#pragma once

#include <string>
#include <string_view>

namespace fastmqtt::file {

// With what each line of JSON begins, see common/message_json.hpp.
constexpr std::string_view kJsonBegin = R"({"topic":")";

// Text with its line ends as \n and \r, and other control characters but tabs as \xHH.
std::string in_line(std::string_view text);

}  // namespace fastmqtt::file
