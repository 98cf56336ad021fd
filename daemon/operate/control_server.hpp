// Answers fastmqttctl: HTTP over the control socket; see fastmqttd-control(7).
//
//   GET  /v1/status, /v1/handlers
//   GET  /v1/route?topic=TOPIC
//   GET  /v1/deliveries?after=NUMBER&filter=FILTER
//   GET  /v1/dead-letters?after=ID&limit=N&handler=NAME
//   GET  /v1/dead-letter?id=ID
//   POST /v1/reload, /v1/pause, /v1/resume, /v1/log-level, /v1/forget,
//        /v1/dead-letters/replay, /v1/dead-letters/drop
//
// What goes in and comes out: see Control.  What is refused has {"error": "what: why: what to do"}.
#pragma once

#include <memory>

#include "daemon/operate/control.hpp"
#include "daemon/operate/control_socket.hpp"
#include "daemon/operate/http_server.hpp"

namespace fastmqttd {

class ControlServer {
 public:
  // Serves from now on; `control` must outlive it.
  ControlServer(std::unique_ptr<ControlSocket> socket, Control& control);

 private:
  std::unique_ptr<ControlSocket> socket_;
  HttpServer server_;
};

}  // namespace fastmqttd
