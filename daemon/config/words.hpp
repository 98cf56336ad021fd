// Words for the operator, and how what he wrote is shown to him.  Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fastmqttd {

// `text` fit for one line of a report: control characters as \xNN, cut when long.
std::string printable(std::string_view text);

// "a, b or c"
std::string one_of(std::span<const std::string> words);

// "a, b, c"
std::string comma_list(std::span<const std::string> words);

// "1 message", "2 messages"; of other words both forms are given.
std::string count(std::uint64_t number, const std::string& what, const std::string& many = "");

// "3 messages and 2 dead letters wait"; what there is none of is not mentioned.
std::string what_waits(std::uint64_t messages, std::uint64_t dead_letters);

// The way from the root to a value: "mqtt" and "port" give "mqtt.port".
std::string join_path(const std::string& path, std::string_view key);

}  // namespace fastmqttd
