// Answers fastmqttctl: HTTP over the control socket.
//
//   GET  /v1/status
//   GET  /v1/dead-letters?after=ID&limit=N&handler=NAME
//   GET  /v1/dead-letter?id=ID
//   POST /v1/dead-letters/replay, /v1/dead-letters/drop, /v1/forget, /v1/reload
//
// What goes in and comes out: see Control.  What is refused has {"error": "what: why: what to do"}.
// A request is bounded in bytes and in time, and four threads take one at a time each: whoever may
// use the socket can hold up others who use it, and nothing else.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "daemon/base/unique_fd.hpp"
#include "daemon/operate/control.hpp"
#include "daemon/operate/control_socket.hpp"

namespace fastmqttd {

class ControlServer {
 public:
  // Starts its threads.  `control` must outlive it.
  ControlServer(std::unique_ptr<ControlSocket> socket, Control& control);
  ~ControlServer();  // once what is being done for a request is done
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  class Http;
  void serve();
  void answer_next();

  const std::unique_ptr<ControlSocket> socket_;
  const std::unique_ptr<Http> http_;
  const UniqueFd stop_;
  std::vector<std::thread> threads_;
};

}  // namespace fastmqttd
