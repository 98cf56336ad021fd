// The little of SQLite that the spool needs, closed and finalized by scope.  Not for use by two
// threads at once.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fastmqttd::sqlite {

// What SQLite says; code() is its extended result code (sqlite.org/rescode.html).
class Error : public std::runtime_error {
 public:
  Error(int code, const std::string& text) : std::runtime_error(text), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

class Database;

// One prepared statement, used again and again.  All throw Error.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::uint64_t id) {
    return bind(index, static_cast<std::int64_t>(id));
  }
  Statement& bind(int index, std::string_view bytes);      // a blob, borrowed until reset()
  Statement& bind_text(int index, std::string_view text);  // likewise
  // True for a row, false at the end, when it has been reset too.
  bool step();
  void reset();

  // For a statement that gives one row with one number: that.
  std::int64_t only_number();

  std::int64_t number(int column) const { return ::sqlite3_column_int64(handle_.get(), column); }
  std::uint64_t id(int column) const { return static_cast<std::uint64_t>(number(column)); }
  std::string_view bytes(int column) const;  // until the next step()

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { ::sqlite3_finalize(statement); }
  };
  [[noreturn]] void fail(int code);

  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

class Database {
 public:
  // It is made if it is not there.
  explicit Database(const std::filesystem::path& file);

  void run(const std::string& sql);  // rows are ignored
  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const { ::sqlite3_close_v2(database); }
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

// BEGIN to commit(); rolled back when that was not reached.  Made once, used again and again.
class Transactions {
 public:
  explicit Transactions(Database& database)
      : begin_(database, "BEGIN IMMEDIATE"),
        commit_(database, "COMMIT"),
        rollback_(database, "ROLLBACK") {}

  class One {
   public:
    explicit One(Transactions& all) : all_(all) { all_.begin_.step(); }
    ~One();
    void commit();
    One(const One&) = delete;
    One& operator=(const One&) = delete;

   private:
    Transactions& all_;
    bool open_ = true;
  };

 private:
  Statement begin_;
  Statement commit_;
  Statement rollback_;
};

}  // namespace fastmqttd::sqlite
