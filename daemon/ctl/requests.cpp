#include "daemon/ctl/requests.hpp"

#include <spdlog/fmt/fmt.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/config/words.hpp"
#include "daemon/ctl/failure.hpp"
#include "daemon/ctl/terminal.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kUnfinished = 75;  // EX_TEMPFAIL of sysexits(3)
constexpr int kNobody = 1;

int set_paused(const Connection& daemon, const char* path, const std::string& handler,
               const char* now, const char* before) {
  const Json answer = daemon.post(path, {{"handler", handler}});
  const bool changed = answer.at("was") != answer.at("paused");
  std::printf("%s %s; %s\n", shown(handler).c_str(), changed ? now : before,
              count(answer.at("waiting"), "message is waiting", "messages are waiting").c_str());
  return 0;
}

}  // namespace

int reload(const Connection& daemon) {
  const Json answer = daemon.post("/v1/reload", Json::object());
  const std::string result = answer.at("result");
  if (result == "refused") {
    Failure failure{static_cast<int>(ExitStatus::config), {}};
    for (const auto& problem : answer.at("problems"))
      failure.lines.push_back(shown(problem.get<std::string>()));
    failure.lines.push_back("reload: refused: everything goes on as before");
    throw failure;
  }
  std::printf("%s\n", text(answer, "text").c_str());
  return result == "applied" ? 0 : kUnfinished;
}

int pause_handler(const Connection& daemon, const std::string& handler) {
  return set_paused(daemon, "/v1/pause", handler, "is paused", "was paused already");
}

int resume_handler(const Connection& daemon, const std::string& handler) {
  return set_paused(daemon, "/v1/resume", handler, "goes on", "was not paused");
}

int set_log_level(const Connection& daemon, const std::string& handler, const std::string& level) {
  Json wanted{{"level", level}};
  if (!handler.empty()) wanted["handler"] = handler;
  daemon.post("/v1/log-level", wanted);
  std::printf("%s: %s, until the next reload\n",
              handler.empty() ? "log level" : ("log level of " + shown(handler)).c_str(),
              level.c_str());
  return 0;
}

int show_route(const Connection& daemon, const std::string& topic, bool json) {
  const Json answer = daemon.get("/v1/route", {{"topic", topic}});
  const Json& handlers = answer.at("handlers");
  const int status = handlers.empty() ? kNobody : 0;
  if (json) {
    std::puts(answer.dump(2).c_str());
    return status;
  }
  if (handlers.empty()) {
    std::puts("no handler");
    return status;
  }
  Table table({{"HANDLER"}, {"STATE"}, {"THROUGH"}});
  for (const Json& handler : handlers) {
    std::vector<std::string> filters;
    for (const Json& filter : handler.at("filters"))
      filters.push_back(shown(filter.get<std::string>()));
    table.add({text(handler, "handler"), text(handler, "state"), comma_list(filters)});
  }
  table.print();
  return status;
}

}  // namespace fastmqttd
