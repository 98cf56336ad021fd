#include "daemon/ctl/status.hpp"

#include <spdlog/fmt/fmt.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/ctl/terminal.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& object, const char* key) {
  return shown(object.at(key).get<std::string>());
}

std::string connection_line(const Json& connection) {
  const std::string state = text(connection, "state");
  const std::string broker = text(connection, "broker");
  std::string line = "disconnected";
  if (state == "connected") return "connected to " + broker;
  if (state == "connecting") line = "connecting to " + broker;
  if (state == "waiting") line = "not connected to " + broker;
  if (state == "refusing") line = "not taking messages from " + broker;
  const std::string reason = text(connection, "reason");
  return reason.empty() ? line : line + " (" + reason + ")";
}

void print_line(const char* title, const std::string& value) {
  std::printf("%-12s%s\n", title, value.c_str());
}

void print_handlers(const Json& handlers) {
  if (handlers.empty()) return;
  Table table({{"HANDLER"},
               {"PLUGIN"},
               {"WAITING", true},
               {"DONE", true},
               {"FAILED", true},
               {"DEAD LETTERS", true},
               {"STATE"}});
  for (const Json& handler : handlers) {
    const Json& version = handler.at("plugin_version");
    const std::string plugin = text(handler, "plugin");
    table.add({text(handler, "handler"),
               version.is_string() ? plugin + " " + shown(version.get<std::string>()) : plugin,
               handler.at("waiting").dump(), handler.at("done").dump(), handler.at("failed").dump(),
               handler.at("dead_letters").dump(), text(handler, "state")});
  }
  std::puts("");
  table.print();
}

}  // namespace

int show_status(const Connection& daemon, bool json) {
  const Json status = daemon.get("/status");
  if (json) {
    std::puts(status.dump(2).c_str());
    return 0;
  }
  const Json& spool = status.at("spool");
  print_line("connection", connection_line(status.at("connection")));
  print_line("spool", fmt::format("{} of {}, {} messages waiting", roughly(spool.at("bytes")),
                                  roughly(spool.at("max_bytes")), spool.at("waiting").dump()));
  for (const Json& other : spool.at("not_configured"))
    print_line("", fmt::format("{} messages wait for the handler {}, which is not configured",
                               other.at("waiting").dump(), text(other, "handler")));
  print_line("publishing",
             fmt::format("{} messages on their way to the broker", status.at("publishing").dump()));
  print_handlers(status.at("handlers"));
  return 0;
}

}  // namespace fastmqttd
