#include "handlers/republish/address.hpp"

#include <netdb.h>
#include <poll.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

namespace fastmqtt::republish {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{20};

struct Lookup {
  std::mutex mutex;
  std::condition_variable answered;
  bool done = false;
  std::vector<Address> found;
  std::string why;
};

std::vector<Address> look_up(const std::string& host, std::uint16_t port, std::string& why) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* raw = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &raw)) {
    why = error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error);
    return {};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(raw, ::freeaddrinfo);
  std::vector<Address> found;
  for (const addrinfo* at = raw; at; at = at->ai_next) {
    Address address;
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    address.size = at->ai_addrlen;
    found.push_back(address);
  }
  return found;
}

}  // namespace

std::string Address::text() const {
  char host[NI_MAXHOST] = "?";
  char port[NI_MAXSERV] = "?";
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&storage), size, host, sizeof host, port,
                sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  return (storage.ss_family == AF_INET6 ? "[" + std::string(host) + "]" : std::string(host)) + ":" +
         port;
}

std::vector<Address> find_addresses(const std::string& host, std::uint16_t port,
                                    milliseconds timeout, const KeepWaiting& keep_waiting,
                                    std::string& why) {
  const auto lookup = std::make_shared<Lookup>();
  std::thread([lookup, host, port] {
    std::string reason;
    auto found = look_up(host, port, reason);
    const std::lock_guard lock(lookup->mutex);
    lookup->found = std::move(found);
    lookup->why = std::move(reason);
    lookup->done = true;
    lookup->answered.notify_all();
  }).detach();
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::unique_lock lock(lookup->mutex);
  while (!lookup->answered.wait_for(lock, kLook, [&] { return lookup->done; }))
    if (!keep_waiting() || std::chrono::steady_clock::now() > deadline) break;
  if (lookup->found.empty())
    why = "cannot find the address of '" + host +
          "': " + (lookup->done ? lookup->why : "the resolver does not answer");
  return lookup->found;
}

Socket connect_to(const Address& address, milliseconds timeout, std::string& why) {
  Socket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto fails = [&why](int error) {
    why = std::strerror(error);
    return Socket();
  };
  if (!socket) return fails(errno);
  if (::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) ==
      0)
    return socket;
  if (errno != EINPROGRESS) return fails(errno);
  pollfd event{socket.fd(), POLLOUT, 0};
  if (::poll(&event, 1, static_cast<int>(timeout.count())) != 1) return fails(ETIMEDOUT);
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) return fails(error);
  return socket;
}

}  // namespace fastmqtt::republish
