#include "daemon/ctl/status.hpp"

#include <spdlog/fmt/fmt.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/config/words.hpp"
#include "daemon/ctl/terminal.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kTitle = 12;

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
  const Json status = daemon.get("/v1/status");
  if (json) {
    std::puts(status.dump(2).c_str());
    return 0;
  }
  const Json& spool = status.at("spool");
  print_line("connection", text(status.at("connection"), "text"), kTitle);
  print_line("spool",
             fmt::format("{} of {}, {} messages waiting", roughly(spool.at("bytes")),
                         roughly(spool.at("max_bytes")), spool.at("waiting").dump()),
             kTitle);
  for (const Json& other : spool.at("not_configured"))
    print_line("",
               fmt::format("{} wait for the handler {}, which is not configured",
                           what_waits(other.at("waiting"), other.at("dead_letters")),
                           text(other, "handler")),
               kTitle);
  print_line("publishing",
             fmt::format("{} messages on their way to the broker", status.at("publishing").dump()),
             kTitle);
  print_handlers(status.at("handlers"));
  return 0;
}

}  // namespace fastmqttd
