// Other clients of the broker: mosquitto_pub and mosquitto_sub.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/broker.hpp"

namespace fastmqttd::testing {

struct PublishOptions {
  int qos = 1;
  bool retain = false;
  std::vector<std::string> arguments = {};  // more of them, for mosquitto_pub
};

// Return when the broker has taken it; throw when it has not.
void publish(const Broker& broker, const std::string& topic, std::string_view payload,
             const PublishOptions& options = {});
// A message per text, in this order, over one connection.  No text may hold a newline.
void publish_all(const Broker& broker, const std::string& topic,
                 const std::vector<std::string>& payloads, const PublishOptions& options = {});

// "1" to "count".
std::vector<std::string> numbers(int count);

// Subscribed once the constructor returns.
class Subscriber {
 public:
  struct Received {
    std::string topic;
    std::string payload;
    int qos = 0;
    bool retain = false;
  };

  Subscriber(const Broker& broker, const std::string& filter,
             const std::vector<std::string>& arguments = {});

  std::vector<Received> received() const;
  // For a message on `topic`; its payload, nothing when none comes.
  std::optional<std::string> wait_for(std::string_view topic) const;
  bool has(std::string_view topic) const;

 private:
  Subscriber(const Broker& broker, const std::string& filter,
             const std::vector<std::string>& arguments, const std::string& id);

  TempDir directory_;
  Process process_;
};

}  // namespace fastmqttd::testing
