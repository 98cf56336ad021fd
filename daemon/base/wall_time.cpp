#include "daemon/base/wall_time.hpp"

#include <ctime>

namespace fastmqttd {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMillisecond = 1'000'000;

}  // namespace

std::string local_time(std::int64_t realtime_ns) {
  const std::time_t seconds = realtime_ns / kSecond;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char date[32], zone[8];
  std::strftime(date, sizeof date, "%FT%T", &local);
  std::strftime(zone, sizeof zone, "%z", &local);  // +0200
  const std::string fraction = std::to_string(1000 + realtime_ns % kSecond / kMillisecond);
  return date + ("." + fraction.substr(1)) + std::string(zone).insert(3, ":");
}

}  // namespace fastmqttd
