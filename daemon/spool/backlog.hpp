// Reads what waits in the spool for one handler, in pages, so that it need not be in memory.
//
// By a connection of its own: neither does it hold up an append, nor another reader.  For one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/message/message.hpp"
#include "daemon/spool/change.hpp"
#include "daemon/spool/sqlite.hpp"

namespace fastmqttd {

class Backlog {
 public:
  struct Waiting {
    MessagePtr message;
    // Of earlier attempts, as they were written: see RetryAt.
    std::uint32_t attempts = 0;
    std::uint32_t failures = 0;
    std::int64_t due_ns = 0;
    std::uint32_t crashes = 0;
  };
  struct Page {
    std::vector<Waiting> messages;  // in the order of arrival
    std::uint64_t last = 0;         // the id up to which this is all that there was
    bool end = false;               // there was nothing behind it
  };
  // How much a page holds; the last message may be beyond `bytes`.
  struct Limits {
    std::size_t messages = 256;
    std::size_t bytes = 1 << 20;
  };
  using Wanted = std::function<bool(std::string_view topic)>;

  // Messages with ids below `run_began` were there before this run: they may be repeats.  Throws
  // sqlite::Error, as does everything here.
  Backlog(const std::filesystem::path& file, HandlerKey handler, std::uint64_t run_began);

  // Behind the message with the id `after`, on topics that are wanted.
  Page read(std::uint64_t after, const Limits& limits, const Wanted& wanted);
  // One of them; nothing when it does not wait any more.
  std::optional<Waiting> one(std::uint64_t id);

 private:
  std::optional<Waiting> waiting(const sqlite::Statement& row) const;

  const HandlerKey handler_;
  const std::uint64_t run_began_;
  sqlite::Database database_;
  sqlite::Statement begin_, end_, newest_, page_, one_;
};

}  // namespace fastmqttd
