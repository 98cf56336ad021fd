// fastmqttctl: the operator's tool.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "daemon/base/build_info.hpp"
#include "daemon/base/error.hpp"
#include "daemon/ctl/try.hpp"
#include "daemon/message/topic_filter.hpp"

namespace fastmqttd {
namespace {

constexpr int kNoMatch = 1;
constexpr int kInvalid = 65;  // EX_DATAERR of sysexits(3)

int invalid(const std::string& what, const std::string& text, const std::string& why) {
  std::cerr << "fastmqttctl: " << what << " '" << text << "' is not valid: " << why << "\n";
  return kInvalid;
}

int match(const std::string& filter, const std::string& topic) {
  if (const std::string why = topic_filter_error(filter); !why.empty())
    return invalid("topic filter", filter, why);
  if (const std::string why = topic_name_error(topic); !why.empty())
    return invalid("topic", topic, why);
  const bool matches = TopicFilter(filter).matches(topic);
  std::cout << (matches ? "match\n" : "no match\n");
  return matches ? 0 : kNoMatch;
}

}  // namespace
}  // namespace fastmqttd

int main(int argc, char** argv) {
  using namespace fastmqttd;
  std::string filter, topic;
  TryArguments trial;
  CLI::App app("The operator's tool of fastmqttd.", "fastmqttctl");
  app.set_version_flag("--version", std::string("fastmqttctl ") + build::kVersion);
  app.require_subcommand(1);
  CLI::App* match_command = app.add_subcommand(
      "match", "Whether FILTER matches TOPIC: exit status 0 yes, 1 no, 65 not valid");
  match_command->add_option("FILTER", filter, "A topic filter")->required();
  match_command->add_option("TOPIC", topic, "A topic name")->required();
  CLI::App* try_command = app.add_subcommand(
      "try",
      "Give a plugin one message, with no daemon and no broker: exit status 0 ok, 1 retry or "
      "reject, 78 when the plugin does not start");
  try_command->add_option("PLUGIN", trial.plugin, "The plugin's file")->required();
  try_command->add_option("--topic", trial.topic, "The message's topic")->required();
  try_command->add_option("--payload", trial.payload, "Its payload, or @FILE");
  try_command->add_option("--options", trial.options,
                          "The handler's options in YAML, such as '{limit: 20}', or @FILE");
  try_command->add_option("--qos", trial.qos, "Its QoS")->check(CLI::Range(0, 2));
  try_command->add_flag("--retain", trial.retain, "As a retained message");
  try_command->add_option("--content-type", trial.content_type, "Its content type");
  try_command->add_option("--response-topic", trial.response_topic, "Where an answer is wanted");
  try_command->add_option("--correlation-data", trial.correlation_data, "What goes with an answer");
  try_command->add_option("--user-property", trial.user_properties, "NAME=VALUE; may repeat")
      ->allow_extra_args(false);
  try_command
      ->add_option("--timeout", trial.timeout, "For the call, and for an answer that is put off")
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitStatus::usage);
  }
  return *match_command ? match(filter, topic) : try_plugin(trial);
}
