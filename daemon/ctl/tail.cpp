#include "daemon/ctl/tail.hpp"

#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "daemon/config/words.hpp"
#include "daemon/ctl/terminal.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto kEvery = std::chrono::milliseconds(200);

void print(const Json& delivery) {
  const auto attempt = delivery.at("attempt").get<unsigned>();
  const std::string topic = shown_short(delivery.at("topic").get<std::string>());
  std::printf("%s  %-7s %8s  %s  %s%s\n", time_of_day(text(delivery, "time")).c_str(),
              text(delivery, "result").c_str(),
              in_seconds(delivery.at("seconds").get<double>()).c_str(),
              text(delivery, "handler").c_str(), topic.c_str(),
              attempt > 1 ? ("  (attempt " + std::to_string(attempt) + ")").c_str() : "");
}

}  // namespace

int tail_deliveries(const Connection& daemon, const std::string& filter, bool json) {
  std::multimap<std::string, std::string> parameters;
  if (!filter.empty()) parameters.emplace("filter", filter);
  for (;; std::this_thread::sleep_for(kEvery)) {
    const Json answer = daemon.get("/v1/deliveries", parameters);
    if (const auto missed = answer.at("missed").get<std::uint64_t>(); missed > 0)
      std::fprintf(stderr, "fastmqttctl: %s too fast to be shown\n",
                   count(missed, "delivery was", "deliveries were").c_str());
    for (const Json& delivery : answer.at("deliveries"))
      if (json)
        std::puts(delivery.dump().c_str());
      else
        print(delivery);
    if (std::fflush(stdout) != 0) return 0;  // nobody reads any more
    parameters.erase("after");
    parameters.emplace("after", answer.at("next").dump());
  }
}

}  // namespace fastmqttd
