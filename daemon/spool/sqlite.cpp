#include "daemon/spool/sqlite.hpp"

namespace fastmqttd::sqlite {
namespace {

constexpr int kBusyMs = 5000;  // for the moment in which another connection writes

[[noreturn]] void fail_with(sqlite3* database, int code) {
  throw Error(code, database ? ::sqlite3_errmsg(database) : ::sqlite3_errstr(code));
}

}  // namespace

Statement::Statement(Database& database, std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = ::sqlite3_prepare_v3(database.handle(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  handle_.reset(statement);
  if (code != SQLITE_OK) fail_with(database.handle(), code);
}

void Statement::fail(int code) { fail_with(::sqlite3_db_handle(handle_.get()), code); }

Statement& Statement::bind(int index, std::int64_t value) {
  if (const int code = ::sqlite3_bind_int64(handle_.get(), index, value); code != SQLITE_OK)
    fail(code);
  return *this;
}

Statement& Statement::bind(int index, std::string_view bytes) {
  // A null pointer would be NULL, not an empty blob.
  const char* const data = bytes.empty() ? "" : bytes.data();
  const int code = ::sqlite3_bind_blob64(handle_.get(), index, data, bytes.size(), SQLITE_STATIC);
  if (code != SQLITE_OK) fail(code);
  return *this;
}

Statement& Statement::bind_text(int index, std::string_view text) {
  const int code = ::sqlite3_bind_text64(handle_.get(), index, text.data(), text.size(),
                                         SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) fail(code);
  return *this;
}

bool Statement::step() {
  const int code = ::sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) {
    try {
      fail(code);
    } catch (...) {
      reset();
      throw;
    }
  }
  reset();
  return false;
}

std::int64_t Statement::only_number() {
  step();
  const std::int64_t value = number(0);
  reset();
  return value;
}

void Statement::reset() { ::sqlite3_reset(handle_.get()); }

std::string_view Statement::bytes(int column) const {
  const void* const data = ::sqlite3_column_blob(handle_.get(), column);
  const int size = ::sqlite3_column_bytes(handle_.get(), column);
  return data ? std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(size))
              : std::string_view();
}

Database::Database(const std::filesystem::path& file) {
  sqlite3* database = nullptr;
  const int code =
      ::sqlite3_open_v2(file.c_str(), &database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(database);
  if (code != SQLITE_OK) fail_with(database, code);
  ::sqlite3_extended_result_codes(database, 1);
  ::sqlite3_busy_timeout(database, kBusyMs);
}

void Database::run(const std::string& sql) {
  if (const int code = ::sqlite3_exec(handle(), sql.c_str(), nullptr, nullptr, nullptr);
      code != SQLITE_OK)
    fail_with(handle(), code);
}

void Transactions::One::commit() {
  all_.commit_.step();
  open_ = false;
}

Transactions::One::~One() {
  if (!open_) return;
  try {
    all_.rollback_.step();
  } catch (const Error&) {
    // SQLite has rolled back by itself.
  }
}

}  // namespace fastmqttd::sqlite
