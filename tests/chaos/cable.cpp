#include "tests/chaos/cable.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <stdexcept>
#include <system_error>

#include "tests/support/files.hpp"
#include "tests/support/process.hpp"

namespace fastmqttd::testing {
namespace {

void ip(const std::string& arguments) {
  std::vector<std::string> argv = split("ip " + arguments, ' ');
  if (const Finished done = run({.argv = std::move(argv)}); done.exit != Exit{})
    throw std::runtime_error("ip " + arguments + ": " + done.errors);
}

}  // namespace

Cable::Cable() : before_(own_namespace()) {
  try {
    lay();
  } catch (const std::exception& error) {
    why_not_ = error.what();
  }
}

Cable::~Cable() {
  if (far_) enter(before_);  // else it has never left
}

UniqueFd Cable::own_namespace() {
  return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

void Cable::enter(const UniqueFd& network) {
  if (::setns(network.get(), CLONE_NEWNET) != 0)
    throw std::system_error(errno, std::generic_category(), "setns");
}

void Cable::lay() {
  for (UniqueFd* end : {&far_, &near_}) {
    if (::unshare(CLONE_NEWNET) != 0)
      throw std::system_error(errno, std::generic_category(), "unshare");
    *end = own_namespace();
    ip("link set lo up");
  }
  ip("link add near type veth peer name far");
  ip("link set far netns /proc/" + std::to_string(::getpid()) + "/fd/" +
     std::to_string(far_.get()));
  ip(std::string("address add ") + kNearAddress + "/24 dev near");
  ip("link set near up");
  at_far_end([] {
    ip(std::string("address add ") + kFarAddress + "/24 dev far");
    ip("link set far up");
  });
}

void Cable::pull() { ip("link set near down"); }
void Cable::plug() { ip("link set near up"); }

}  // namespace fastmqttd::testing
