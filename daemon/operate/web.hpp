// What browsers and scrapers see, over TCP, to be read only: see http.listen.
//
//   GET /metrics, /healthz, /readyz
//   GET /              the status page
//   GET /v1/overview   what it shows: {"status": as on the control socket, "dead_letters": the
//                      latest, "stuck": [..]}
//
// Main's.
#pragma once

#include <memory>

#include "daemon/base/unique_fd.hpp"
#include "daemon/config/config.hpp"
#include "daemon/delivery/dispatcher.hpp"
#include "daemon/operate/http_server.hpp"
#include "daemon/operate/metrics.hpp"
#include "daemon/session/session.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

class Web {
 public:
  // All must outlive it.
  Web(Dispatcher& dispatcher, const Session& session, Spool& spool, const Metrics& metrics)
      : dispatcher_(dispatcher), session_(session), spool_(spool), metrics_(metrics) {}

  // [any thread] Listens there from now on, in vain until it is served.  Throws the Problem of
  // http.listen; without one there is no socket.
  static UniqueFd listen(const HttpConfig& config);
  // Instead of what was served before, on a socket of listen(); nothing without one.
  void serve(UniqueFd socket, const HttpConfig& config);

 private:
  HttpServer::Routes routes() const;
  HttpAnswer page() const;
  HttpAnswer overview() const;
  HttpAnswer health() const;
  HttpAnswer readiness() const;

  Dispatcher& dispatcher_;
  const Session& session_;
  Spool& spool_;
  const Metrics& metrics_;
  UniqueFd socket_;
  std::string host_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace fastmqttd
