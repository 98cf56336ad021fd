// Warns when a room gets cold.
#include "fastmqtt/handler.hpp"

class Thermostat {
 public:
  static constexpr const char* options[] = {"limit"};
  explicit Thermostat(fastmqtt::Host host) : host_(host), limit_(host.option("limit", 18)) {}

  fastmqtt::Result on_message(const fastmqtt::Message& message) {
    const std::optional<double> degrees = message.number();
    if (!degrees) return fastmqtt::Result::reject;  // however often it is tried, it is no number
    if (*degrees < limit_) host_.log(fastmqtt::Level::warning, "too cold", message);
    return fastmqtt::Result::ok;
  }

 private:
  fastmqtt::Host host_;
  int limit_;
};

FASTMQTT_HANDLER(Thermostat, "thermostat", "1.0", 0, "home/+/temperature");
