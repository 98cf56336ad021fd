// fastmqttctl: the operator's tool.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "daemon/base/build_info.hpp"
#include "daemon/base/error.hpp"
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
  CLI::App app("The operator's tool of fastmqttd.", "fastmqttctl");
  app.set_version_flag("--version", std::string("fastmqttctl ") + build::kVersion);
  app.require_subcommand(1);
  CLI::App* match_command = app.add_subcommand(
      "match", "Whether FILTER matches TOPIC: exit status 0 yes, 1 no, 65 not valid");
  match_command->add_option("FILTER", filter, "A topic filter")->required();
  match_command->add_option("TOPIC", topic, "A topic name")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitStatus::usage);
  }
  return match(filter, topic);
}
