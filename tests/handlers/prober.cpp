// A handler that runs its payload as a command of the shell, as handlers do that call programs, and
// publishes "STATUS OUTPUT" as answers/ID to a message on ask/ID: what may be done inside the unit?
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

#include "fastmqtt/handler.hpp"

namespace {

class Prober {
 public:
  explicit Prober(fastmqtt::Host host) : host_(host) {}

  fastmqtt::Result on_message(const fastmqtt::Message& message) {
    const std::string command = "exec 2>&1; " + std::string(message.payload());
    std::FILE* const out = ::popen(command.c_str(), "r");
    std::string output;
    if (out) {
      std::array<char, 4096> some;
      while (const std::size_t size = std::fread(some.data(), 1, some.size(), out))
        output.append(some.data(), size);
    }
    const int status = out ? ::pclose(out) : -1;
    const int shown = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    const std::string topic(message.topic());
    host_.publish("answers/" + topic.substr(topic.find('/') + 1),
                  std::to_string(shown) + " " + output, {.qos = 1});
    return fastmqtt::Result::ok;
  }

 private:
  fastmqtt::Host host_;
};

}  // namespace

FASTMQTT_HANDLER(Prober, "prober", "1.0", 0, "ask/+");
