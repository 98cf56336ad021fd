// The bare client library: Paho's C++ client with a callback that counts.
//
//   paho_counter PORT QOS EXPECTED FILE LATENCY(0 or 1)
#include <mqtt/async_client.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/bench/compare/tally.hpp"

int main(int argc, char** argv) {
  if (argc != 6) return 64;
  const int qos = std::atoi(argv[2]);
  bench::Tally tally(std::strtoull(argv[3], nullptr, 10), argv[4], std::atoi(argv[5]) != 0);
  mqtt::async_client client(std::string("tcp://127.0.0.1:") + argv[1], "paho-counter",
                            mqtt::create_options(MQTTVERSION_5));
  client.set_message_callback(
      [&](const mqtt::const_message_ptr& message) { tally.add(message->get_payload_ref().str()); });
  client
      .connect(
          mqtt::connect_options_builder().mqtt_version(MQTTVERSION_5).clean_start(true).finalize())
      ->wait();
  client.subscribe("bench/#", qos)->wait();
  ::pause();
}
