// The way to the running daemon: one request, one answer.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace fastmqttd {

class Connection {
 public:
  // Nothing happens before the first request.
  explicit Connection(std::string socket) : socket_(std::move(socket)) {}

  // See operate/control_server.hpp.  They throw Failure: with status 69 when there is no daemon,
  // with 1 and its words when it refuses.
  nlohmann::ordered_json get(const std::string& path,
                             const std::multimap<std::string, std::string>& parameters = {}) const;
  nlohmann::ordered_json post(const std::string& path, const nlohmann::ordered_json& body) const;

 private:
  const std::string socket_;
};

}  // namespace fastmqttd
