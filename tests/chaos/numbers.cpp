#include "tests/chaos/numbers.hpp"

#include <algorithm>
#include <charconv>
#include <set>

namespace fastmqttd::testing {
namespace {

// FNV-1a.
std::string checksum(std::string_view topic, std::string_view text) {
  std::uint32_t sum = 2166136261u;
  for (const std::string_view part : {topic, std::string_view("\n"), text})
    for (const char c : part) sum = (sum ^ static_cast<unsigned char>(c)) * 16777619u;
  return std::to_string(sum);
}

}  // namespace

std::string numbered(std::string_view topic, int number, std::size_t size) {
  std::string text = std::to_string(number) + ' ';
  text.resize(std::max(text.size(), size), static_cast<char>('a' + number % 26));
  return text + ' ' + checksum(topic, text);
}

int number_of(std::string_view topic, std::string_view payload) {
  const std::size_t end = payload.rfind(' ');
  if (end == std::string_view::npos) return -1;
  const std::string_view text = payload.substr(0, end);
  int number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return payload.substr(end + 1) == checksum(topic, text) ? number : -1;
}

std::vector<int> numbers_of(const Arrivals& arrivals, const std::string& topic,
                            const std::string& prefix) {
  std::vector<int> numbers;
  const auto found = arrivals.find(prefix + topic);
  if (found != arrivals.end())
    for (const std::string& payload : found->second) numbers.push_back(number_of(topic, payload));
  return numbers;
}

std::string disorder(const std::vector<int>& numbers) {
  std::set<int> seen;
  for (const int number : numbers) {
    if (number < 0) return "a payload that nobody sent, after " + std::to_string(seen.size());
    if (!seen.empty() && !seen.contains(number) && number < *seen.rbegin())
      return std::to_string(number) + " comes after " + std::to_string(*seen.rbegin());
    seen.insert(number);
  }
  return "";
}

std::vector<int> missing(const std::vector<int>& numbers, int last) {
  const std::set<int> seen(numbers.begin(), numbers.end());
  std::vector<int> not_there;
  for (int number = 1; number <= last; ++number)
    if (!seen.contains(number)) not_there.push_back(number);
  return not_there;
}

std::string gaps(const std::vector<int>& numbers, int last) {
  const std::vector<int> not_there = missing(numbers, last);
  if (not_there.empty()) return "";
  std::string text = std::to_string(not_there.size()) + " missing:";
  constexpr std::size_t kShown = 20;
  for (std::size_t i = 0; i < std::min(kShown, not_there.size()); ++i)
    text += " " + std::to_string(not_there[i]);
  return text;
}

}  // namespace fastmqttd::testing
