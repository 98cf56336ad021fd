#include "daemon/ctl/connection.hpp"

#include <httplib.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "daemon/base/error.hpp"
#include "daemon/ctl/failure.hpp"
#include "daemon/ctl/terminal.hpp"
#include "daemon/operate/control_socket.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kRefused = 1;
constexpr int kUnavailable = static_cast<int>(ExitStatus::unavailable);
// Longer than the daemon takes to answer anything: see Reloader::kLongest.
constexpr auto kAnswerLimit = std::chrono::seconds(100);

// cpp-httplib does not say why it cannot connect.
std::string why_unreachable(const sockaddr_un& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return "it has closed the connection";
  return std::strerror(errno);
}

httplib::ClientImpl client(const std::string& socket) {
  if (!socket_address(socket))
    throw Failure{static_cast<int>(ExitStatus::usage),
                  {shown(socket) + ": is too long for a socket: expected at most " +
                   std::to_string(kMostSocketPath) + " bytes"}};
  return httplib::ClientImpl(socket, 80);
}

// Its name for HTTP is of no use, and an answer of this machine need not be compressed.
httplib::Headers headers() { return {{"Host", "localhost"}, {"Accept-Encoding", "identity"}}; }

void prepare(httplib::ClientImpl& client) {
  std::signal(SIGPIPE, SIG_IGN);  // of a daemon that stops meanwhile
  client.set_address_family(AF_UNIX);
  client.set_read_timeout(kAnswerLimit);
}

Json answer(const std::string& socket, const httplib::Result& result) {
  if (!result && result.error() == httplib::Error::Connection) {
    const std::string why = why_unreachable(*socket_address(socket));
    if (why == std::strerror(EACCES))
      throw Failure{kUnavailable,
                    {shown(socket) + ": you may not use it: " + why +
                     ": be root, or a member of the socket's group (fastmqttd)"}};
    throw Failure{kUnavailable,
                  {shown(socket) + ": cannot reach the daemon: is it running? (" + why +
                   "): see 'systemctl status fastmqttd', or name its socket with --socket"}};
  }
  if (!result)
    throw Failure{kUnavailable,
                  {shown(socket) + ": the daemon does not answer: it has stopped, or it is stuck: "
                                   "see 'systemctl status fastmqttd'"}};
  Json json = Json::parse(result->body, nullptr, false);
  if (json.is_discarded())
    throw Failure{kUnavailable,
                  {shown(socket) + ": what answers there is not fastmqttd: name its "
                                   "socket with --socket"}};
  if (result->status == 200) return json;
  throw Failure{kRefused, {shown(json.value("error", "the daemon refuses"))}};
}

}  // namespace

Json Connection::get(const std::string& path,
                     const std::multimap<std::string, std::string>& parameters) const {
  auto http = client(socket_);
  prepare(http);
  return answer(socket_, http.Get(path, parameters, headers()));
}

Json Connection::post(const std::string& path, const Json& body) const {
  auto http = client(socket_);
  prepare(http);
  return answer(socket_, http.Post(path, headers(), body.dump(), "application/json"));
}

}  // namespace fastmqttd
