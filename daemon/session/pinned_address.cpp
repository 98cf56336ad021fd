#include "daemon/session/pinned_address.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <optional>
#include <string_view>

#include "daemon/base/guarded.hpp"

namespace fastmqttd {
namespace {

struct Pin {
  std::string host;
  std::string address;
};
// Never destroyed: a name may be looked up until the process is gone.
Guarded<std::optional<Pin>>& pin() {
  static auto& the_pin = *new Guarded<std::optional<Pin>>();
  return the_pin;
}

std::optional<std::string> pinned(const char* host) {
  const auto held = pin().lock();
  if (!host || !*held || (*held)->host != host) return std::nullopt;
  return (*held)->address;
}

}  // namespace

PinnedAddress::PinnedAddress(const std::string& host, const Endpoint& endpoint) {
  *pin().lock() = Pin{host, endpoint.host()};
}

PinnedAddress::~PinnedAddress() { pin().lock()->reset(); }

}  // namespace fastmqttd

// In front of that of libc, for all libraries in this process.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* host,
                                                                  const char* service,
                                                                  const addrinfo* hints,
                                                                  addrinfo** result) {
  static const auto libc =
      reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const auto address = fastmqttd::pinned(host);
  return libc(address ? address->c_str() : host, service, hints, result);
}
