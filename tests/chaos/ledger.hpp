// What the handler plugin `ledger` has booked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/chaos/database.hpp"
#include "tests/chaos/numbers.hpp"

namespace fastmqttd::testing {

// One answer.
struct Entry {
  std::string topic;
  std::string payload;
  int qos = 0;
  int attempt = 0;
  std::uint64_t message_id = 0;
  bool dup = false;
  std::string answer;  // ok, retry or reject
};

class Ledger {
 public:
  explicit Ledger(std::filesystem::path file) : file_(std::move(file)) {}

  // All so far; none while there is no such file.
  const std::vector<Entry>& entries();
  // Those that were answered ok.
  const Arrivals& handled();
  // The highest number of those of a topic, 0 without any.
  int highest(const std::string& topic);
  std::size_t handled_count();
  bool has_handled(const std::string& topic, int number);

  // Of those of this QoS that were answered ok: how many have come again, or, with `new_id`, have
  // come again as another message.
  int repeats(int qos, bool new_id = false);
  // Identifiers that two different messages had.
  int shared_ids();

 private:
  void read();

  const std::filesystem::path file_;
  std::unique_ptr<Database> database_;
  std::vector<Entry> entries_;
  Arrivals handled_;
  std::map<std::string, int> highest_;
};

}  // namespace fastmqttd::testing
