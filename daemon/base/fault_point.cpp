#include "daemon/base/fault_point.hpp"

#ifdef FASTMQTTD_FAULT_POINTS

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace fastmqttd {
namespace {

struct Fault {
  Fault() {
    const char* const wanted = std::getenv("FASTMQTTD_FAULT");
    if (wanted == nullptr) return;
    name = wanted;
    if (const std::size_t colon = name.find(':'); colon != std::string::npos) {
      passes = std::atoi(name.c_str() + colon + 1);
      name.resize(colon);
    }
  }

  std::string name;
  std::atomic<int> passes{1};  // left
};

}  // namespace

void fault_point(const char* name) {
  static Fault fault;
  if (fault.name == name && --fault.passes == 0) ::kill(::getpid(), SIGKILL);
}

}  // namespace fastmqttd

#endif
