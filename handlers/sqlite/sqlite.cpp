// sqlite - writes each message as a row into a table of an SQLite database, one transaction for all
// that is waiting.
//
// The database is opened when it is needed, and again after any trouble with it; until a
// transaction is on disk, its messages are not done with.
#include <strings.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/columns.hpp"
#include "handlers/common/outage.hpp"
#include "handlers/common/state_files.hpp"
#include "handlers/sqlite/database.hpp"

namespace {

using fastmqtt::Level;
using fastmqtt::OptionError;
using fastmqtt::Result;
using fastmqtt::common::ColumnType;
using fastmqtt::common::Row;
using fastmqtt::sqlite::Clock;
using fastmqtt::sqlite::Database;
using fastmqtt::sqlite::Table;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr milliseconds kFirstLook{2000};  // at the start, when no message waits

constexpr ColumnType kTypes[] = {{"integer", ColumnType::Holds::integer, "INTEGER"},
                                 {"real", ColumnType::Holds::real, "REAL"},
                                 {"numeric", ColumnType::Holds::numeric, "NUMERIC"},
                                 {"text", ColumnType::Holds::text, "TEXT"},
                                 {"blob", ColumnType::Holds::blob, "BLOB"},
                                 {"json", ColumnType::Holds::json, "TEXT"},
                                 {"any", ColumnType::Holds::anything, ""}};
constexpr fastmqtt::common::Dialect kSqlite{.types = kTypes,
                                            .text = "text",
                                            .integer = "integer",
                                            .number = "numeric",
                                            .boolean = "integer",
                                            .json = "any",
                                            .time = "text",
                                            .ignores_case = true,
                                            .has_loose_text = true};

std::string file_option(const fastmqtt::Host& host) {
  std::string file = host.required<std::string>("file");
  if (!file.starts_with('/') || file.ends_with('/') || file.find('\0') != std::string::npos)
    throw OptionError("file", "'" + file + "': expected the path of a file, from / on");
  for (const std::filesystem::path& name : std::filesystem::path(file))
    if (fastmqtt::common::is_state_file(name.native()))
      throw OptionError("file", "'" + name.native() +
                                    "' is a file of the daemon's own: expected another name, such "
                                    "as /var/lib/fastmqttd/readings.db");
  return file;
}

std::string table_option(const fastmqtt::Host& host) {
  std::string table = host.required<std::string>("table");
  check_name("table", table, kSqlite);
  if (table.size() >= 7 && ::strncasecmp(table.c_str(), "sqlite_", 7) == 0)
    throw OptionError("table", "'" + table + "': SQLite keeps names with sqlite_ for itself");
  return table;
}

class Sqlite {
 public:
  static constexpr const char* options[] = {"file",   "table",   "columns",
                                            "upsert", "missing", "busy_timeout"};

  explicit Sqlite(fastmqtt::Host host)
      : host_(host),
        table_{file_option(host), table_option(host), {host, kSqlite}},
        busy_timeout_(host.option("busy_timeout", milliseconds(5000), milliseconds(0),
                                  std::chrono::minutes(1))),
        outage_(host) {
    // What is wrong with the file is said at the start, and keeps nothing from starting.
    host_.wake();
  }

  void on_wake() {
    try {
      open(Clock::now() + std::min(busy_timeout_, kFirstLook));
    } catch (const fastmqtt::sqlite::Error& error) {
      close(error.what());
    }
  }

  void on_messages(fastmqtt::Batch batch) {
    const std::map<std::size_t, Row> rows = table_.columns.rows(host_, batch);
    if (rows.empty()) return;
    try {
      open(deadline_of(batch[0]));
      for (const auto& [i, why] : write(rows)) fastmqtt::common::reject(host_, batch, i, why);
      outage_.end(table_.file + ": is written to again");
    } catch (const fastmqtt::sqlite::Error& error) {
      close(error.what());
      for (const auto& [i, row] : rows) batch.answer(i, Result::retry);
    }
  }

 private:
  // For locks of others, well before the daemon would take the messages back.
  Clock::time_point deadline_of(const fastmqtt::Message& message) const {
    nanoseconds wait = busy_timeout_;
    if (const nanoseconds deadline = message.deadline(); deadline.count() > 0)
      wait = std::min(wait, (deadline - host_.now()) / 2);
    return Clock::now() + wait;
  }

  void open(Clock::time_point deadline) {
    if (database_ && database_->has_moved()) {
      host_.log(Level::warning,
                table_.file + " was deleted or replaced: what is there now is opened");
      database_.reset();
    }
    if (database_)
      database_->set_deadline(deadline);
    else
      database_ = std::make_unique<Database>(table_, deadline);
  }
  void close(const std::string& why) {
    outage_.begin(why, why);
    database_.reset();
  }

  // All in one transaction, but for the rows that it returns, with the reason of each.
  std::map<std::size_t, std::string> write(const std::map<std::size_t, Row>& rows) {
    std::map<std::size_t, std::string> refused;
    bool whole = false;
    while (!whole) {
      database_->begin();
      whole = true;
      for (const auto& [i, row] : rows) {
        if (refused.contains(i)) continue;
        const auto why = database_->insert(row);
        if (why) refused.emplace(i, *why);
        whole = !why || database_->in_transaction();
        if (!whole) break;  // that row took those before it along
      }
    }
    database_->commit();
    return refused;
  }

  const fastmqtt::Host host_;
  const Table table_;
  const milliseconds busy_timeout_;
  fastmqtt::common::Outage outage_;
  std::unique_ptr<Database> database_;
};

}  // namespace

FASTMQTT_HANDLER(Sqlite, "sqlite", "1.0", 0);
