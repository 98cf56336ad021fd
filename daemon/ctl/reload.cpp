#include "daemon/ctl/reload.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "daemon/base/error.hpp"
#include "daemon/ctl/failure.hpp"
#include "daemon/ctl/terminal.hpp"

namespace fastmqttd {
namespace {

constexpr int kUnfinished = 75;  // EX_TEMPFAIL of sysexits(3)

}  // namespace

int reload(const Connection& daemon) {
  const auto answer = daemon.post("/v1/reload", nlohmann::ordered_json::object());
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

}  // namespace fastmqttd
