#include "tests/integration/integration_test.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <stdexcept>

namespace fastmqttd::testing {

void IntegrationTest::TearDown() {
  if (!HasFailure()) return;
  if (const char* directory = std::getenv("FASTMQTTD_TEST_LOGS")) keep_everything(directory);
  std::cerr << "---- fastmqttd's log ends ----\n" << tail(daemon_.log());
  std::cerr << "---- its notifications ----\n" << tail(daemon_.notify().text(), 20);
  std::cerr << "---- mosquitto's log ends ----\n" << tail(broker_.log(), 30);
}

void IntegrationTest::keep_everything(const std::filesystem::path& directory) const {
  const std::filesystem::path to = directory / daemon_.client_id();
  std::filesystem::copy(daemon_.file(""), to, std::filesystem::copy_options::recursive);
  write_file(to / "broker-log", broker_.log());
}

std::string IntegrationTest::recorder(const std::string& name, const std::string& filters,
                                      const std::string& options, const std::string& keys) const {
  return recorder_of("recorder", name, filters, options, keys);
}

std::string IntegrationTest::recorder_of(const std::string& plugin, const std::string& name,
                                         const std::string& filters, const std::string& options,
                                         const std::string& keys) const {
  std::string text = "  " + name + ":\n    plugin: " + plugin + "\n";
  text += "    subscribe: [" + filters + "]\n";
  text += "    options: {file: " + record_file(name).string();
  text += ", block_file: " + block_file(name).string();
  text += (options.empty() ? "" : ", " + options) + "}\n";
  for (const std::string& key : split(keys, '\n'))
    if (!key.empty()) text += "    " + key + "\n";
  return text;
}

void IntegrationTest::configure(const std::string& handlers, std::string_view mqtt) {
  daemon_.configure(daemon_.mqtt_section(broker_, mqtt) + "handlers:\n" + handlers);
  for (const char* plugin : {"recorder", "batch_recorder"})
    if (!std::filesystem::exists(daemon_.plugin_directory() / (std::string(plugin) + ".so")))
      daemon_.add_plugin(plugin);
}

void IntegrationTest::start(const std::string& handlers, const std::vector<std::string>& filters,
                            std::string_view mqtt) {
  broker_.start();
  configure(handlers, mqtt);
  daemon_.start_ready();
  await_subscriptions(filters);
}

void IntegrationTest::await_subscriptions(const std::vector<std::string>& filters,
                                          int times) const {
  if (!broker_.wait_for_subscriptions(daemon_.client_id(), filters, times))
    throw std::runtime_error("fastmqttd does not subscribe");
}

Records IntegrationTest::records(const std::string& name) const {
  return read_records(record_file(name));
}

Records IntegrationTest::await_records(const std::string& name, std::size_t count) const {
  Records all;
  if (!eventually([&] { return (all = records(name)).size() >= count; }))
    throw std::runtime_error("the handler " + name + " got " + std::to_string(all.size()) +
                             " messages, not " + std::to_string(count));
  return all;
}

Records IntegrationTest::await_payload(const std::string& name, std::string_view payload) const {
  Records all;
  const auto has_come = [&] {
    all = records(name);
    return std::ranges::find(all, payload, &Record::payload) != all.end();
  };
  if (!eventually(has_come))
    throw std::runtime_error("the handler " + name + " got " + std::to_string(all.size()) +
                             " messages, but not '" + std::string(payload) + "'");
  return all;
}

void IntegrationTest::await_held(const std::string& name) const {
  const std::string entered = block_file(name).string() + ".entered";
  if (!eventually([&] { return std::filesystem::exists(entered); }))
    throw std::runtime_error("the handler " + name + " is not called");
}

void IntegrationTest::await_log(const std::string& pattern) const {
  if (!daemon_.wait_for_log(pattern)) throw std::runtime_error("the log has no line " + pattern);
}

std::string version_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = "Mqtt" + info.param;
  std::erase(name, '.');
  return name;
}

}  // namespace fastmqttd::testing
