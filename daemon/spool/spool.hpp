// What was acknowledged and is not yet handled, on disk: spool.db in the state directory, an SQLite
// database in WAL mode.
//
// append() comes from the thread that receives, right before the acknowledgement; settle() from any
// thread and never waits for the disk: a thread of the spool's own writes settlements in batches
// and moves the write-ahead log into the database.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/config/config.hpp"
#include "daemon/message/message.hpp"

namespace fastmqttd {

class Spool {
 public:
  // A handler by its number in the database, which it keeps for ever.
  using Handler = std::int64_t;
  // One delivery that was not settled.
  struct Unsettled {
    MessagePtr message;
    Handler handler = 0;
  };

  // Opens it, or makes it.  Throws StartError with status 74 when it cannot be used: nothing is
  // deleted then.
  Spool(const std::filesystem::path& directory, Durability durability);
  ~Spool();  // writes what was settled
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Of that instance name; a new one gets a number.
  Handler handler(const std::string& name);

  // True once the message survives the end of this process (`durability: process`) or of power
  // (`power`), to be delivered to each of the handlers.  False when it could not be stored: `why`
  // says so.
  bool append(const Message& message, std::span<const Handler> handlers, std::string& why);
  // A handler is done with a message, or it was given up.
  void settle(std::uint64_t message_id, Handler handler);

  // Returns when all that was settled is written, after `limit` at the latest.
  void flush(Duration limit);

  // All that was not settled when the spool was opened, in the order of arrival.
  std::vector<Unsettled> unsettled();
  // How many of them are of handlers of other names than these, by name.
  std::map<std::string, std::uint64_t> of_others(std::span<const std::string> names);

 private:
  struct Store;  // the connection for appends and settlements, and its statements
  using Settlement = std::pair<std::uint64_t, Handler>;
  struct State {
    std::deque<Settlement> settled;  // not yet written
    bool writing = false;
    int log_pages = 0;  // in the write-ahead log
    bool closing = false;
  };

  void run();
  bool pause();
  bool write(std::span<const Settlement> settled);
  void log_grew(int pages);
  void checkpoint(int pages);

  UniqueFd lock_;  // of the directory: two daemons would deliver everything twice
  std::unique_ptr<Guarded<Store>> store_;
  std::filesystem::path file_;
  Guarded<State> state_;
  std::condition_variable changed_;
  std::condition_variable written_;
  std::thread thread_;
};

// Where the spool is, and what else is to outlive a run: the configured directory, else
// $STATE_DIRECTORY of systemd.exec(5), else that of the packages.
std::filesystem::path state_directory(const SpoolConfig& config);

}  // namespace fastmqttd
