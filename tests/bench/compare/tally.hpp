// What every subscriber that is compared does with a message, and no more: counts it.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
inline std::int64_t now_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// The beginning of each payload, as the load makes it.
struct Stamp {
  std::uint64_t number = 0;  // counted from 0
  std::int64_t sent_ns = 0;
};

// Counts messages, and once all are there writes what it has seen to a file, which is made then.
// One thread at a time.
class Tally {
 public:
  // With `latency` the time that each has taken is noted too.
  Tally(std::uint64_t expected, std::string file, bool latency)
      : seen_(expected), file_(std::move(file)) {
    if (latency) latencies_.reserve(expected);
    times_ = latency;
  }

  void add(std::string_view payload) {
    Stamp stamp;
    if (payload.size() < sizeof stamp) return;
    std::memcpy(&stamp, payload.data(), sizeof stamp);
    if (stamp.number >= seen_.size()) return;
    if (first_ns_ == 0) first_ns_ = now_ns();
    if (times_) latencies_.push_back(now_ns() - stamp.sent_ns);
    if (seen_[stamp.number]) {
      ++repeats_;
      return;
    }
    seen_[stamp.number] = true;
    if (++count_ == seen_.size()) write();
  }

 private:
  void write() {
    const std::int64_t last_ns = now_ns();
    std::ranges::sort(latencies_);
    const auto part = [&](double of) {
      if (latencies_.empty()) return std::int64_t{0};
      const double at = of * static_cast<double>(latencies_.size() - 1);
      return latencies_[static_cast<std::size_t>(at)];
    };
    const std::string made = file_ + ".new";
    std::FILE* out = std::fopen(made.c_str(), "w");
    if (!out) return;
    std::fprintf(
        out, "first_ns %lld\nlast_ns %lld\nrepeats %llu\np50_ns %lld\np99_ns %lld\np999_ns %lld\n",
        static_cast<long long>(first_ns_), static_cast<long long>(last_ns),
        static_cast<unsigned long long>(repeats_), static_cast<long long>(part(0.5)),
        static_cast<long long>(part(0.99)), static_cast<long long>(part(0.999)));
    std::fclose(out);
    std::rename(made.c_str(), file_.c_str());
  }

  std::vector<bool> seen_;
  std::string file_;
  bool times_ = false;
  std::uint64_t count_ = 0;
  std::uint64_t repeats_ = 0;
  std::int64_t first_ns_ = 0;
  std::vector<std::int64_t> latencies_;
};

}  // namespace bench
