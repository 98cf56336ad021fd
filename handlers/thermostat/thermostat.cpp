// A whole handler: says when a room gets cold.  Drop the built .so into a plugin directory.
#include <charconv>

#include "fastmqtt/handler.hpp"

using namespace fastmqtt;

class Thermostat {
 public:
  static constexpr const char* options[] = {"limit"};
  explicit Thermostat(Host host) : host_(host), limit_(host.option("limit", 18)) {}

  Result on_message(const Message& message) {
    const std::string_view text = message.payload();
    double degrees = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), degrees).ec != std::errc{})
      return Result::reject;  // never a number, however often it is tried
    if (degrees < limit_) host_.log(Level::warning, "too cold: " + std::string(text), message);
    return Result::ok;
  }

 private:
  Host host_;
  int limit_;
};

FASTMQTT_HANDLER(Thermostat, "thermostat", "1.0", 0, "home/+/temperature");
