// What was acknowledged and is not yet handled, what was given up, and what handlers have published
// and the broker does not have yet, on disk: spool.db in the state directory, an SQLite database in
// WAL mode.
//
// append() comes from the thread that receives, right before the acknowledgement; write() from any
// thread and never waits for the disk: a thread of the spool's own writes changes in batches, gives
// way to an append at once, and moves the write-ahead log into the database.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/base/units.hpp"
#include "daemon/config/config.hpp"
#include "daemon/message/message.hpp"
#include "daemon/spool/backlog.hpp"
#include "daemon/spool/change.hpp"
#include "daemon/spool/dead_letter.hpp"
#include "daemon/spool/parked.hpp"
#include "daemon/spool/room.hpp"
#include "daemon/spool/store.hpp"

namespace fastmqttd {

class Spool {
 public:
  // A message that was published by an earlier run.
  struct Unpublished {
    std::uint64_t number = 0;
    std::string handler;
    MessagePtr message;
  };
  struct Left {
    std::uint64_t waiting = 0;  // messages
    std::uint64_t dead_letters = 0;
    bool operator==(const Left&) const = default;
  };
  struct Use {
    std::uint64_t bytes = 0;
    std::uint64_t max_bytes = 0;
  };

  // Opens it, or makes it.  Throws StartError: see lock_state_directory() and open_spool(); with
  // status 74 when it cannot be used.  Nothing is deleted then.
  Spool(const std::filesystem::path& directory, const SpoolConfig& config);
  ~Spool();  // writes what is to be written, once
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Another durability, another size, from now on; the directory stays.
  void change(const SpoolConfig& config);

  // Of that instance name; a new one gets a number.
  HandlerKey handler(const std::string& name);
  // Whether it was paused, in this run or an earlier one.  Both throw std::runtime_error when that
  // cannot be read, or written.
  bool paused(HandlerKey handler) { return store_->lock()->paused(handler); }
  void set_paused(HandlerKey handler, bool paused) {
    store_->lock_behind()->set_paused(handler, paused);
  }
  // Message ids of this run are not below.
  std::uint64_t run_began() const { return run_began_; }

  // True once the message, and with it the record, survives the end of this process (`durability:
  // process`) or of power (`power`), to be delivered to each of the handlers.  False when it could
  // not be stored: `why` says so.
  bool append(const Message& message, std::span<const HandlerKey> handlers,
              const PacketRecord* record, std::string& why);
  // Messages that are in memory only for that handler are to wait in here for it; how many of the
  // first ones do from now on: all, unless `why` says what is in the way.
  std::size_t keep(std::span<const Kept> messages, HandlerKey handler, std::string& why);
  // Whether it is worth receiving again after that: below four fifths of what it may hold.
  bool has_room();

  // Whether a dead letter may be added that takes more room: of a message that was not stored.
  bool takes_letter(const Message& message);
  // More waits to be written than is good: no more should be handled until some of it is.
  bool is_behind() { return state_.lock()->queue.size() > kMostUnwritten; }
  // Soon, in order.
  void write(Changes changes);
  // The same, and returns when it is on disk; false when a try to write it has failed: then it
  // never is.
  bool write_now(Changes changes);
  // Returns when all of it is written, after `limit` at the latest.
  void flush(Duration limit);
  // Returns when what has come so far is written, however long that takes.
  void wait_until_written();

  // Ends the process with status 74 when the database is damaged: it would neither store nor settle
  // anything any more.
  void end_if_damaged(const std::exception& error) const;

  // What waits for a handler.
  std::unique_ptr<Backlog> backlog(HandlerKey handler) const;
  // For the worker at that place of the handler's.
  std::unique_ptr<Parked> parked(HandlerKey handler, int place) const;
  // Whether there has ever been a handler of that name.
  bool knows(const std::string& name);
  std::uint64_t waiting(HandlerKey handler);
  std::uint64_t waiting();  // for all, configured or not
  std::uint64_t dead(HandlerKey handler);
  // What there is for handlers of other names than these, by name.
  std::map<std::string, Left> left_for_others(std::span<const std::string> names);
  // Drops what waits for a handler, so many messages at most; how many.  Throws sqlite::Error.
  std::uint64_t forget(const std::string& name, std::uint64_t limit);
  Use use();

  // In the order in which they were published.
  std::vector<Unpublished> unpublished();

  // Records of QoS 2 exchanges by Paho's key; false when it cannot be written now.
  std::map<std::string, std::string> packets(std::string_view session);
  bool keep_packet(const PacketRecord& record);
  bool forget_packet(std::string_view session, std::string_view key);
  // Those of a published message, and with them, if its number is known, the message: its exchange
  // is over.
  bool forget_packets(std::string_view session, std::span<const std::string> keys,
                      std::optional<std::uint64_t> published);

  // The first ones behind `after`, of one handler or of all, without their payloads.
  std::vector<DeadLetter> dead_letters(std::int64_t after, std::size_t limit,
                                       const std::optional<std::string>& handler = {});
  // The last ones, the latest first.
  std::vector<DeadLetter> latest_dead_letters(std::size_t limit);
  std::optional<DeadLetter> dead_letter(std::int64_t id);
  // Whose it is; nothing when there is none with that id.
  std::optional<std::string> handler_of_letter(std::int64_t id);
  // The largest id there is, 0 without any.
  std::int64_t newest_dead_letter();
  // Turns it into a message with that id; for whom, or nothing when there is none.  Both throw
  // std::runtime_error when that cannot be written.
  std::optional<HandlerKey> replay(std::int64_t id, std::uint64_t message_id);
  bool drop_dead_letter(std::int64_t id);

 private:
  static constexpr std::size_t kMostUnwritten = 16'384;

  struct Queued {
    Changes changes;
    std::uint64_t number = 0;
    std::size_t written = 0;  // of its changes, those that are
    bool failed = false;      // the latest try has
  };
  struct State {
    std::list<Queued> queue;  // stays where it is while the thread is at work on it
    std::size_t at_work = 0;  // so many at its front
    std::uint64_t next_number = 1;
    bool closing = false;
  };
  struct Counts {
    std::map<HandlerKey, std::uint64_t> waiting;
    std::map<HandlerKey, std::uint64_t> dead;
    std::map<HandlerKey, std::string> names;
  };
  // What a transaction has changed of them.
  struct Settlement {
    std::map<HandlerKey, std::uint64_t> waiting;  // no more
    std::map<HandlerKey, std::uint64_t> dead;
    std::uint64_t letters = 0;  // bytes of dead letters that were not in here before
  };
  // How far a transaction got.
  struct Progress {
    std::size_t whole = 0;    // so many at the front of the queue
    std::size_t further = 0;  // changes of the next one
  };

  void run();
  std::size_t batch_limit() const;
  bool write_batch(std::span<Queued* const> batch, Progress& progress);
  Progress write_some(Store& store, std::span<Queued* const> batch, Settlement& settled);
  static void count(const Change& change, bool was_waiting, Settlement& settled);
  void look_at_disk(const sqlite::Error& error);
  void log_failure(const char* what, const sqlite::Error& error, const char* more = "");
  void pause();
  bool checkpoint_due() const;
  void checkpoint();
  void checkpoint_once(int mode = SQLITE_CHECKPOINT_PASSIVE);
  void cut_log();
  std::filesystem::path log_file() const { return file_.string() + "-wal"; }
  void measure(Store& store);
  bool measure_now();

  UniqueFd lock_;  // of the directory
  const std::filesystem::path directory_;
  const std::filesystem::path file_;
  SpoolRoom room_;
  std::unique_ptr<Guarded<Store>> store_;  // what is received goes first
  std::uint64_t run_began_ = 0;
  Guarded<Counts> counts_;
  std::atomic<int> log_pages_{0};    // in the write-ahead log
  std::atomic<int> moved_pages_{0};  // of them, into the database
  std::atomic<int> tried_at_{0};     // pages when the latest try began
  std::atomic<bool> checkpoint_wanted_{false};
  std::atomic<bool> cut_wanted_{false};              // the log, to no length
  std::atomic<std::uint64_t> unwritten_letters_{0};  // bytes of those that takes_letter() let in
  std::unique_ptr<sqlite::Database> mover_;          // the thread's own
  bool failure_logged_ = false;                      // likewise
  std::size_t most_at_once_ = 1;  // likewise; changes in one transaction, twice as many each time
  Guarded<State> state_;
  std::condition_variable changed_;
  std::condition_variable written_;
  std::thread thread_;
};

}  // namespace fastmqttd
