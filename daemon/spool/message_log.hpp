// The messages that came last: spool.log in the state directory, a file that is written from its
// beginning to its end, over and over.
//
// Most messages are handled within milliseconds.  In here each costs one write, and one more
// settles many; in the database it is a transaction.  What has to do with the database in any other
// way than to be settled, or is in the way of what comes, is set apart by leave(), and moved there
// by the spool's thread.
//
// The file has two halves, which take turns.  Each begins with a head, which says how many halves
// were written before it; then come records, each with a checksum that starts with a random number
// of the head's, so that nothing a half held before, and nothing a sender puts into a payload, is
// taken for a record.  Reading ends at the first that is not whole.  What is written survives the
// end of this process at any moment; it is not synced, so a power cut may take the last of it.
//
// Not thread-safe: the spool keeps it under a lock.  What the file system refuses is thrown as
// std::system_error; nothing has changed then.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/unique_fd.hpp"
#include "daemon/message/message.hpp"
#include "daemon/spool/change.hpp"

namespace fastmqttd {

class MessageLog {
 public:
  static constexpr std::size_t kHalfBytes = std::size_t{2} << 20;
  // A place in all that was ever written; it grows.
  using Position = std::uint64_t;

  struct Entry {
    std::uint64_t id = 0;
    Position position = 0;
    MessagePtr message;                // none once it is settled
    std::vector<HandlerKey> handlers;  // those that it still waits for
  };

  // The database that it belongs to: its number, and the place before which nothing waits in here.
  struct Owner {
    std::uint64_t number = 0;
    Position moved_up_to = 0;
  };
  // That of another database: what waits in it is for others.
  struct Foreign : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

  // Opens the file, or makes it, and takes all of its room on the disk at once.  What an earlier
  // run has left in it waits again, marked as a repeat.  Throws Foreign.
  MessageLog(const std::filesystem::path& file, const Owner& owner);

  // Whether it is there for messages of that size.
  static bool suits(const Message& message);
  // Whether there is room now.  Where there is not, what is set apart has to be moved first.
  bool has_room(const Message& message, std::size_t handlers) const;
  // When there is room.  Ids grow from one message to the next.
  void append(const MessagePtr& message, std::span<const HandlerKey> handlers);
  // Settles what it can of these, and takes it from the list.
  void settle(std::vector<Done>& list);

  // Sets apart what waits before that place, or all of it: from here on it is settled elsewhere.
  void leave(Position up_to);
  void leave_all() { leave(end()); }
  // The same with what is going to be in the way.
  void leave_what_is_old();
  // What is set apart, and the place before which nothing else waits.
  const std::deque<Entry>& leaving() const { return leaving_; }
  Position left_up_to() const { return left_up_to_; }
  // What is before that place is in the database now.
  void moved(Position up_to);

  // What waits for a handler, set apart or not, behind that id and in order; at most so many.
  std::vector<MessagePtr> waiting(HandlerKey handler, std::uint64_t after, std::size_t most) const;
  // The largest id of all that waits; 0 when nothing does.
  std::uint64_t newest() const;
  // One of them; none when it does not wait.
  MessagePtr one(HandlerKey handler, std::uint64_t id) const;
  // How many wait for each handler.
  template <class Each>
  void for_each_waiting(Each each) const {
    for (const auto* entries : {&leaving_, &entries_})
      for (const Entry& entry : *entries)
        for (const HandlerKey handler : entry.handlers) each(handler);
  }
  // What waits in here takes up so many bytes.
  std::size_t bytes() const { return bytes_; }

 private:
  Position begin_of_half() const { return generation_ << 32; }
  Position end() const { return begin_of_half() | offset_; }
  bool may_begin_half() const;
  void begin_half();
  void begin_record();
  void write_record();
  void read(const Owner& owner);
  void read_half(std::string_view half, Position from);
  void take_record(std::string_view body, Position position);
  Entry* find(std::uint64_t id);
  void done(std::uint64_t id, HandlerKey handler);
  void drop_settled();

  UniqueFd file_;
  const std::uint64_t owner_;
  std::uint64_t generation_ = 0;  // of the half that is being written
  std::uint32_t salt_ = 0;        // its checksums start with it
  std::size_t offset_ = 0;        // of the next record in it
  std::deque<Entry> entries_;     // by id
  std::deque<Entry> leaving_;     // likewise, and before those
  Position left_up_to_ = 0;
  std::size_t bytes_ = 0;
  std::string record_;  // the one that is being made
};

}  // namespace fastmqttd
