// One table of an SQLite database: opened, created, checked, and written to in transactions.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "handlers/common/columns.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace fastmqtt::sqlite {

using Clock = std::chrono::steady_clock;

// The database cannot be used now.  Close it, and try again later.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Table {
  std::string file;
  std::string name;
  common::Columns columns;
};

class Database {
 public:
  // Makes file, its directory and table when they are not there.  Waits for locks of others until
  // `deadline`, as all that follows.  Throws Error, as the others.
  Database(const Table& table, Clock::time_point deadline);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void set_deadline(Clock::time_point deadline) { deadline_ = deadline; }

  void begin();
  // Nothing when the row is in, else why the database refuses it.
  std::optional<std::string> insert(const common::Row& row);
  // A row that is refused may have ended it, where triggers or the table say so.
  bool in_transaction() const;
  // Once it returns, the rows are on disk, in the file of that name.
  void commit();

  // Whether the file of that name is another one by now, or is gone.
  bool has_moved() const;

 private:
  struct CloseDatabase {
    void operator()(sqlite3* database) const;
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

  static int wait(void* self, int count);
  void open();
  void use_wal();
  void create_table();
  void check_fit();
  void prepare_insert();
  void run(const char* sql);
  Statement prepare(const std::string& sql) const;
  bool is_fault_of_row(int code) const;
  [[noreturn]] void fail() const;
  bool has_its_wal() const;
  std::string wal_file() const { return table_.file + "-wal"; }

  const Table& table_;
  Clock::time_point deadline_;
  std::unique_ptr<sqlite3, CloseDatabase> database_;
  Statement insert_;
  bool has_wal_ = false;
  struct stat wal_ = {};  // the one that is written to
};

}  // namespace fastmqtt::sqlite
