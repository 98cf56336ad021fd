#include "daemon/spool/room.hpp"

#include <algorithm>

#include "daemon/base/units.hpp"

namespace fastmqttd {
namespace {

// For noting what is handled, and for what is appended between two measurements.
constexpr std::uint64_t kReserve = 1 << 20;
// An append writes a page of the log, however small it is.
constexpr std::uint64_t kPage = 4096;

std::uint64_t above_zero(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

// An append takes its bytes twice, in the log and later in the database, and from the disk only
// what these files have not got yet.
std::uint64_t room_for_appends(std::uint64_t in_log, std::uint64_t in_database,
                               std::uint64_t disk) {
  const auto [less, more] = std::minmax(in_log, in_database);
  if (disk <= more - less) return less + disk;
  return more + (disk - (more - less)) / 2;
}

}  // namespace

void SpoolRoom::measured(const Measured& now) {
  const std::uint64_t to_move = above_zero(now.unmoved, now.free);
  const std::uint64_t disk = above_zero(now.disk, to_move + kReserve);
  measured_used_ = now.used;
  appended_ = 0;
  log_grown_ = 0;
  disk_room_ =
      room_for_appends(above_zero(now.log_file, now.log), above_zero(now.free, now.unmoved), disk);
  low_ = disk < 4 * (to_move + kReserve);
}

void SpoolRoom::appended(std::uint64_t bytes) {
  appended_ += bytes;
  log_grown_ += bytes + kPage;
}

std::string SpoolRoom::why_not(std::uint64_t bytes) const {
  if (used() + bytes > max_size_)
    return "the spool has reached its spool.max_size of " + format_size(max_size_);
  if (log_grown_ + bytes > disk_room_) return "the disk of the spool is full";
  return {};
}

bool SpoolRoom::has_drained() {
  if (!full_) return true;
  const auto below_four_fifths = [this](std::uint64_t of) { return used() * 5 < of * 4; };
  const std::uint64_t room = disk_room_;
  if (!below_four_fifths(max_size_) || !below_four_fifths(used() + room) || room < kStale)
    return false;
  full_ = false;
  return true;
}

}  // namespace fastmqttd
