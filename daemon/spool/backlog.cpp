#include "daemon/spool/backlog.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "daemon/base/log.hpp"
#include "daemon/spool/stored_message.hpp"

namespace fastmqttd {
namespace {

// Of the handler ?1.
std::string query(const char* which) {
  return std::string("SELECT id, dup, attempts, failures, due_ns, crashes, ") + kMessageColumns +
         " FROM messages LEFT JOIN retries ON retries.message=id AND retries.handler=?1 WHERE " +
         which + " AND " + kWaits;
}

}  // namespace

Backlog::Backlog(const std::filesystem::path& file, HandlerKey handler, std::uint64_t run_began)
    : handler_(handler),
      run_began_(run_began),
      database_(file),
      begin_(database_, "BEGIN"),
      end_(database_, "COMMIT"),
      newest_(database_, "SELECT coalesce(max(id), 0) FROM messages"),
      page_(database_, query("messages.id>?2") + " ORDER BY messages.id"),
      one_(database_, query("messages.id=?2")) {
  database_.run("PRAGMA cache_size=-256");  // KiB: it never reads a page twice
}

Backlog::Page Backlog::read(std::uint64_t after, const Limits& limits, const Wanted& wanted) {
  Page page;
  page.last = after;
  // In one transaction, which shows one moment.
  begin_.step();
  try {
    const auto newest = static_cast<std::uint64_t>(newest_.only_number());
    page_.bind(1, handler_).bind(2, after);
    std::size_t bytes = 0;
    page.end = true;
    while (page_.step()) {
      page.last = page_.id(0);
      if (!wanted(page_.bytes(9))) continue;
      std::optional<Waiting> found = waiting(page_);
      if (!found) continue;
      page.messages.push_back(std::move(*found));
      bytes += page.messages.back().message->memory_bytes();
      if (page.messages.size() < limits.messages && bytes < limits.bytes) continue;
      page.end = false;
      page_.reset();
      break;
    }
    if (page.end) page.last = std::max(page.last, newest);
  } catch (...) {
    page_.reset();
    end_.step();
    throw;
  }
  end_.step();
  return page;
}

std::optional<Backlog::Waiting> Backlog::one(std::uint64_t id) {
  one_.bind(1, handler_).bind(2, id);
  if (!one_.step()) return std::nullopt;
  try {
    std::optional<Waiting> found = waiting(one_);
    one_.reset();
    return found;
  } catch (...) {
    one_.reset();
    throw;
  }
}

// One that cannot be understood holds up no other.
std::optional<Backlog::Waiting> Backlog::waiting(const sqlite::Statement& row) const {
  const std::uint64_t id = row.id(0);
  try {
    return Waiting{stored_message(row, 6, id, row.number(1) != 0 || id < run_began_),
                   static_cast<std::uint32_t>(row.number(2)),
                   static_cast<std::uint32_t>(row.number(3)), row.number(4),
                   static_cast<std::uint32_t>(row.number(5))};
  } catch (const std::runtime_error& error) {
    log::error("the message {} in the spool cannot be read, and stays there: {}", id, error.what());
    return std::nullopt;
  }
}

}  // namespace fastmqttd
