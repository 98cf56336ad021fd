#include "tests/support/mqtt.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>

namespace fastmqttd::testing {
namespace {

std::string unique_client_id() {
  static std::atomic<int> count{0};
  return "subscriber-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

std::vector<std::string> publisher(const Broker& broker, const std::string& topic,
                                   const PublishOptions& options) {
  std::vector<std::string> argv{"mosquitto_pub", "--nodelay", "-h", "127.0.0.1", "-p"};
  argv.insert(argv.end(), {std::to_string(broker.port()), "-t", topic, "-q"});
  argv.push_back(std::to_string(options.qos));
  if (options.retain) argv.push_back("-r");
  argv.insert(argv.end(), options.arguments.begin(), options.arguments.end());
  return argv;
}

void run_publisher(Command command) {
  const Finished done = run(std::move(command));
  if (done.exit != Exit{}) throw std::runtime_error("mosquitto_pub: " + done.output + done.errors);
}

Command subscriber(const Broker& broker, const std::string& id, const std::string& filter,
                   const std::vector<std::string>& arguments, const TempDir& directory) {
  std::vector<std::string> argv{"mosquitto_sub", "-h", "127.0.0.1", "-i", id, "-q", "2", "-p"};
  argv.insert(argv.end(), {std::to_string(broker.port()), "-t", filter, "-F", "%t\t%q\t%r\t%x"});
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return {.argv = argv, .output = directory / "output", .errors = directory / "errors"};
}

}  // namespace

void publish(const Broker& broker, const std::string& topic, std::string_view payload,
             const PublishOptions& options) {
  const TempDir directory;
  Command command{.argv = publisher(broker, topic, options)};
  if (payload.empty()) {
    command.argv.push_back("-n");
  } else {
    command.input = directory / "payload";
    write_file(command.input, payload);
    command.argv.push_back("-s");
  }
  run_publisher(std::move(command));
}

void publish_all(const Broker& broker, const std::string& topic,
                 const std::vector<std::string>& payloads, const PublishOptions& options) {
  const TempDir directory;
  std::string text;
  for (const std::string& payload : payloads) text += payload + "\n";
  write_file(directory / "payloads", text);
  Command command{.argv = publisher(broker, topic, options), .input = directory / "payloads"};
  command.argv.push_back("-l");
  run_publisher(std::move(command));
}

std::vector<std::string> numbers(int count) {
  std::vector<std::string> texts;
  for (int i = 1; i <= count; ++i) texts.push_back(std::to_string(i));
  return texts;
}

Subscriber::Subscriber(const Broker& broker, const std::string& filter,
                       const std::vector<std::string>& arguments)
    : Subscriber(broker, filter, arguments, unique_client_id()) {}

Subscriber::Subscriber(const Broker& broker, const std::string& filter,
                       const std::vector<std::string>& arguments, const std::string& id)
    : process_(subscriber(broker, id, filter, arguments, directory_)) {
  // Its own output would say so too, but only when its buffer is full.
  if (!broker.wait_for_log("Sending SUBACK to " + id + "\n"))
    throw std::runtime_error("mosquitto_sub: " + read_file(directory_ / "errors"));
}

std::vector<Subscriber::Received> Subscriber::received() const {
  std::vector<Received> all;
  for (const std::string& line : lines_of(read_file(directory_ / "output"))) {
    const std::vector<std::string> parts = split(line, '\t');
    if (parts.size() != 4) throw std::runtime_error("mosquitto_sub says: " + line);
    all.push_back({.topic = parts[0],
                   .payload = from_hex(parts[3]),
                   .qos = std::stoi(parts[1]),
                   .retain = parts[2] == "1"});
  }
  return all;
}

bool Subscriber::has(std::string_view topic) const {
  return std::ranges::any_of(received(), [&](const Received& one) { return one.topic == topic; });
}

std::optional<std::string> Subscriber::wait_for(std::string_view topic) const {
  if (!eventually([&] { return has(topic); })) return std::nullopt;
  const std::vector<Received> all = received();
  return std::ranges::find(all, topic, &Received::topic)->payload;
}

}  // namespace fastmqttd::testing
