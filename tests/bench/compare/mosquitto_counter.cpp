// libmosquitto with a callback that counts.
//
//   mosquitto_counter PORT QOS EXPECTED FILE LATENCY(0 or 1)
#include <mosquitto.h>

#include <cstdlib>

#include "tests/bench/compare/tally.hpp"

int main(int argc, char** argv) {
  if (argc != 6) return 64;
  static int qos = std::atoi(argv[2]);
  bench::Tally tally(std::strtoull(argv[3], nullptr, 10), argv[4], std::atoi(argv[5]) != 0);
  ::mosquitto_lib_init();
  mosquitto* const client = ::mosquitto_new("mosquitto-counter", true, &tally);
  ::mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  ::mosquitto_connect_callback_set(client, [](mosquitto* connected, void*, int) {
    ::mosquitto_subscribe(connected, nullptr, "bench/#", qos);
  });
  ::mosquitto_message_callback_set(
      client, [](mosquitto*, void* object, const mosquitto_message* message) {
        static_cast<bench::Tally*>(object)->add({static_cast<const char*>(message->payload),
                                                 static_cast<std::size_t>(message->payloadlen)});
      });
  if (::mosquitto_connect(client, "127.0.0.1", std::atoi(argv[1]), 60) != MOSQ_ERR_SUCCESS)
    return 1;
  return ::mosquitto_loop_forever(client, -1, 1) == MOSQ_ERR_SUCCESS ? 0 : 1;
}
