// The status page, whole: status_page.html.
#pragma once

#include <string>

namespace fastmqttd {

// "NONCE" stands for a number that is used once.
extern const std::string kStatusPage;

}  // namespace fastmqttd
