// A filter and a topic, separated by a line break: the router must agree with TopicFilter.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daemon/delivery/router.hpp"
#include "daemon/message/topic_filter.hpp"

using namespace fastmqttd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const std::string_view text = input.substr(0, line);
  const std::string_view topic = line == input.npos ? "" : input.substr(line + 1);
  if (!topic_filter_error(text).empty() || !topic_name_error(topic).empty()) return 0;

  const TopicFilter filter(text);
  const SubscriptionPlan plan({{SubscriptionConfig{.topic = filter}}});
  Router router(plan);
  if (router.match(topic).routes.size() != (filter.matches(topic) ? 1u : 0u)) std::abort();
  // A name that begins with $share/ means something else as a filter.
  if (!topic.starts_with("$share/") && filter.covers(TopicFilter(topic)) != filter.matches(topic))
    std::abort();
  return 0;
}
