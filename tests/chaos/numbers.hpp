// Payloads that are numbers, and what is wrong with those that came.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace fastmqttd::testing {

// The number, filled up to `size` bytes, with a checksum over all and the topic: what is misread,
// or put together from two messages, is none.
std::string numbered(std::string_view topic, int number, std::size_t size = 0);
// -1 when numbered() has not made it for that topic.
int number_of(std::string_view topic, std::string_view payload);

// Payloads by topic, in the order in which they came.
using Arrivals = std::map<std::string, std::vector<std::string>>;
// Those of one topic as numbers; of another topic's name, with `prefix` before it.
std::vector<int> numbers_of(const Arrivals& arrivals, const std::string& topic,
                            const std::string& prefix = "");

// What keeps the first of each number from being in ascending order, "" when nothing does.  Later
// ones of the same number are repeats.
std::string disorder(const std::vector<int>& numbers);
// Which of 1 to `last` are not there; as a text, "" when all are.
std::vector<int> missing(const std::vector<int>& numbers, int last);
std::string gaps(const std::vector<int>& numbers, int last);

}  // namespace fastmqttd::testing
