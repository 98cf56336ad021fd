// A template, a topic and a payload, separated by line breaks: whatever they are, what is filled in
// stays in its place.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "handlers/common/template.hpp"

using namespace fastmqtt;
using namespace fastmqtt::common;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = [&] {
    const std::size_t end = std::min(input.find('\n'), input.size());
    const std::string_view text = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
    return text;
  };
  const std::string_view text = line(), topic = line(), payload = input;
  fastmqtt_message raw{};
  raw.size = sizeof raw;
  raw.topic = to_view(topic);
  raw.payload = to_view(payload);
  raw.received_ns = 1'700'000'000'000'000'000;

  const std::string name = in_file_name(payload);
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos ||
      name.find('\0') != name.npos || name.size() > 255)
    std::abort();
  if (in_json(payload).find('\n') != std::string::npos) std::abort();

  try {
    const Template filled(text);
    Source source(Message(&raw), "fuzz");
    const bool whole = filled.fill(source).has_value();
    if (whole != filled.fill(source, in_url).has_value()) std::abort();
    if (!whole && source.missing().empty()) std::abort();
    static_cast<void>(filled.value(source));
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
