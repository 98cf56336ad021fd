// An SQLite database of somebody else's, to look into.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace fastmqttd::testing {

class Database {
 public:
  class Row {
   public:
    explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
    std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
    std::string text(int column) const {
      const void* bytes = sqlite3_column_blob(statement_, column);
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
      return size == 0 ? "" : std::string(static_cast<const char*>(bytes), size);
    }

   private:
    sqlite3_stmt* statement_;
  };

  // Throws, as the others, when it cannot.
  explicit Database(const std::filesystem::path& file) {
    sqlite3* database = nullptr;
    const int opened = sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr);
    database_.reset(database);
    check(opened, SQLITE_OK);
    sqlite3_busy_timeout(database, 5000);
  }

  void query(const std::string& sql, const std::function<void(const Row&)>& each) const {
    sqlite3_stmt* raw = nullptr;
    check(sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &raw, nullptr), SQLITE_OK);
    const std::unique_ptr<sqlite3_stmt, Close> statement(raw);
    int stepped = SQLITE_DONE;
    while ((stepped = sqlite3_step(raw)) == SQLITE_ROW) each(Row(raw));
    check(stepped, SQLITE_DONE);
  }
  // The first column of the last row.
  std::string text(const std::string& sql) const {
    std::string value;
    query(sql, [&](const Row& row) { value = row.text(0); });
    return value;
  }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  void check(int result, int expected) const {
    if (result != expected) throw std::runtime_error(sqlite3_errmsg(database_.get()));
  }

  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace fastmqttd::testing
