// How much more the spool may hold: its max_size, and what the disk has left.
//
// Room is kept for moving the write-ahead log into the database and for noting what is handled:
// without it a full disk could never be drained.  Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace fastmqttd {

class SpoolRoom {
 public:
  // As it is found at one moment; all in bytes.
  struct Measured {
    std::uint64_t used = 0;      // by what is in the database
    std::uint64_t free = 0;      // in the database file, to be used again
    std::uint64_t log = 0;       // of the write-ahead log, its length
    std::uint64_t log_file = 0;  // what its file takes up
    std::uint64_t unmoved = 0;   // of the log, not in the database yet
    std::uint64_t disk = 0;      // what the disk has left for us
  };

  explicit SpoolRoom(std::uint64_t max_size) : max_size_(max_size) {}

  std::uint64_t max_size() const { return max_size_; }
  void set_max_size(std::uint64_t bytes) { max_size_ = bytes; }
  std::uint64_t used() const { return measured_used_ + appended_; }
  // Whether so much has been appended that it is time to measure.
  bool is_stale() const { return log_grown_ >= kStale; }
  bool is_low_on_disk() const { return low_; }

  void measured(const Measured& now);
  void appended(std::uint64_t bytes);
  // Why there is no room for that many more; empty when there is.
  std::string why_not(std::uint64_t bytes) const;
  // Something was refused for want of room: it is full until has_drained(), below four fifths of
  // its max_size, and of what the disk can hold.
  void is_full() { full_ = true; }
  bool has_drained();

 private:
  static constexpr std::uint64_t kStale = 256 << 10;

  std::atomic<std::uint64_t> max_size_;
  std::atomic<std::uint64_t> measured_used_{0};
  std::atomic<std::uint64_t> appended_{0};   // since then
  std::atomic<std::uint64_t> log_grown_{0};  // likewise
  std::atomic<std::uint64_t> disk_room_{0};  // for appends
  std::atomic<bool> low_{false};
  std::atomic<bool> full_{false};
};

}  // namespace fastmqttd
