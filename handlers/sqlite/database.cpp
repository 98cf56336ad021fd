#include "handlers/sqlite/database.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>
#include <variant>

namespace fastmqtt::sqlite {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{10};  // between two looks at a lock of others

// As long as the row.
void bind(sqlite3_stmt* statement, int at, const common::Cell& cell) {
  const auto size = [](const std::string& bytes) {
    return static_cast<sqlite3_uint64>(bytes.size());
  };
  struct Bind {
    sqlite3_stmt* to;
    int at;
    decltype(size)& size_of;
    int operator()(std::nullptr_t) const { return ::sqlite3_bind_null(to, at); }
    int operator()(bool truth) const { return ::sqlite3_bind_int64(to, at, truth ? 1 : 0); }
    int operator()(std::int64_t whole) const { return ::sqlite3_bind_int64(to, at, whole); }
    int operator()(double number) const { return ::sqlite3_bind_double(to, at, number); }
    int operator()(const std::string& text) const {
      return ::sqlite3_bind_text64(to, at, text.data(), size_of(text), nullptr, SQLITE_UTF8);
    }
    int operator()(const common::Blob& blob) const {
      return ::sqlite3_bind_blob64(to, at, blob.bytes.data(), size_of(blob.bytes), nullptr);
    }
  };
  std::visit(Bind{statement, at, size}, cell);
}

std::string text_of(sqlite3_stmt* statement, int column) {
  const auto* text = reinterpret_cast<const char*>(::sqlite3_column_text(statement, column));
  return text ? text : "";
}

// What an operator can do about it.
std::string advice(int code) {
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ": another process keeps it locked";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ": move it away, and it is made anew, or put back a copy that is sound";
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM: return ": the daemon's user must be able to write it and its directory";
    default: return "";
  }
}

}  // namespace

void Database::CloseDatabase::operator()(sqlite3* database) const { ::sqlite3_close_v2(database); }
void Database::Finalize::operator()(sqlite3_stmt* statement) const {
  ::sqlite3_finalize(statement);
}

Database::Database(const Table& table, Clock::time_point deadline)
    : table_(table), deadline_(deadline) {
  open();
  use_wal();
  create_table();
  check_fit();
  prepare_insert();
  has_wal_ = has_wal_ && ::stat(wal_file().c_str(), &wal_) == 0;
}

// What is still in the WAL goes into the file when it is closed, but not by itself when that has
// moved: a database that was renamed would be without it, and one that has taken its name would
// find it there and be damaged.
Database::~Database() {
  ::sqlite3_busy_handler(database_.get(), nullptr, nullptr);
  if (in_transaction()) ::sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  if (has_moved())
    ::sqlite3_wal_checkpoint_v2(database_.get(), "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr,
                                nullptr);
}

void Database::open() {
  // When that fails, SQLite says why.
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(table_.file).parent_path(), ignored);
  sqlite3* database = nullptr;
  const int opened = ::sqlite3_open_v2(
      table_.file.c_str(), &database,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  database_.reset(database);
  if (opened != SQLITE_OK) {
    const int error = database ? ::sqlite3_system_errno(database) : 0;
    throw Error(table_.file + ": " + (database ? ::sqlite3_errmsg(database) : "out of memory") +
                (error != 0 ? std::string(" (") + std::strerror(error) + ")" : "") +
                advice(opened));
  }
  ::sqlite3_busy_handler(database, &Database::wait, this);
}

// A commit is on disk when it returns: FULL.  Where there cannot be a WAL, as on file systems of
// the network, the journal of old does as well.
void Database::use_wal() {
  const Statement mode = prepare("PRAGMA journal_mode = WAL");
  if (::sqlite3_step(mode.get()) != SQLITE_ROW) fail();
  has_wal_ = text_of(mode.get(), 0) == "wal";
  run("PRAGMA synchronous = FULL");
}

void Database::create_table() {
  run(table_.columns.create_table(common::quoted(table_.name)).c_str());
}

// A table of before may lack columns of ours, or want others that no row of ours would have.
void Database::check_fit() {
  const Statement info = prepare(
      "SELECT name, \"notnull\" AND dflt_value IS NULL AND "
      "NOT (pk > 0 AND upper(type) = 'INTEGER') FROM pragma_table_info(?)");
  ::sqlite3_bind_text64(info.get(), 1, table_.name.data(), table_.name.size(), nullptr,
                        SQLITE_UTF8);
  std::vector<bool> found(table_.columns.list().size());
  std::string wanted;
  int step;
  while ((step = ::sqlite3_step(info.get())) == SQLITE_ROW) {
    const std::string name = text_of(info.get(), 0);
    const bool is_needed = ::sqlite3_column_int(info.get(), 1) != 0;
    for (std::size_t i = 0; i < found.size(); ++i)
      if (::sqlite3_stricmp(table_.columns.list()[i].name.c_str(), name.c_str()) == 0)
        found[i] = true;
    if (is_needed && !table_.columns.has(name))
      wanted += (wanted.empty() ? "" : ", ") + common::quoted(name);
  }
  if (step != SQLITE_DONE) fail();
  std::string lacking;
  for (std::size_t i = 0; i < found.size(); ++i)
    if (!found[i])
      lacking += (lacking.empty() ? "" : ", ") + common::quoted(table_.columns.list()[i].name);
  const std::string table = table_.file + ": the table " + common::quoted(table_.name);
  if (!lacking.empty())
    throw Error(table + " that is there has no column " + lacking +
                ": add it (ALTER TABLE ... ADD COLUMN), or name another table");
  if (!wanted.empty())
    throw Error(table + " that is there has columns that are NOT NULL and not among `columns`: " +
                wanted + ": add them, or give them a default");
}

// A table of before may lack the index for `upsert` too, of which only the statement tells.
void Database::prepare_insert() {
  const std::string table = common::quoted(table_.name);
  try {
    insert_ = prepare(table_.columns.insert_into(table));
  } catch (const Error& error) {
    if (std::string_view(error.what()).find("ON CONFLICT clause does not match") ==
        std::string_view::npos)
      throw;
    throw Error(table_.file + ": " +
                table_.columns.no_unique_index(table_.name + "_upsert", table));
  }
}

int Database::wait(void* self, int) {
  if (Clock::now() >= static_cast<Database*>(self)->deadline_) return 0;
  std::this_thread::sleep_for(kLook);
  return 1;
}

void Database::begin() { run("BEGIN IMMEDIATE"); }

std::optional<std::string> Database::insert(const common::Row& row) {
  for (std::size_t i = 0; i < row.size(); ++i) bind(insert_.get(), static_cast<int>(i) + 1, row[i]);
  const int step = ::sqlite3_step(insert_.get());
  if (step == SQLITE_DONE) {
    ::sqlite3_reset(insert_.get());
    return std::nullopt;
  }
  std::string why = ::sqlite3_errmsg(database_.get());
  if (!is_fault_of_row(step)) fail();
  ::sqlite3_reset(insert_.get());
  return why;
}

bool Database::is_fault_of_row(int code) const {
  switch (code & 0xFF) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG: return true;
    // A CHECK or a trigger that cannot be computed for this row; or the table is another one by
    // now.
    case SQLITE_ERROR: {
      sqlite3_stmt* again = nullptr;
      const int prepared =
          ::sqlite3_prepare_v2(database_.get(), ::sqlite3_sql(insert_.get()), -1, &again, nullptr);
      const Statement owned(again);
      return prepared == SQLITE_OK;
    }
    default: return false;
  }
}

bool Database::in_transaction() const { return ::sqlite3_get_autocommit(database_.get()) == 0; }

void Database::commit() {
  run("COMMIT");
  if (has_wal_ && !has_its_wal())
    throw Error(wal_file() + " was deleted or replaced while it was written to");
  if (has_moved()) throw Error(table_.file + " was deleted or replaced while it was written to");
}

bool Database::has_its_wal() const {
  struct stat now = {};
  return ::stat(wal_file().c_str(), &now) == 0 && now.st_dev == wal_.st_dev &&
         now.st_ino == wal_.st_ino;
}

bool Database::has_moved() const {
  int moved = 0;
  ::sqlite3_file_control(database_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return moved != 0;
}

void Database::run(const char* sql) {
  if (::sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail();
}

Database::Statement Database::prepare(const std::string& sql) const {
  sqlite3_stmt* statement = nullptr;
  if (::sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
    fail();
  return Statement(statement);
}

void Database::fail() const {
  throw Error(table_.file + ": " + ::sqlite3_errmsg(database_.get()) +
              advice(::sqlite3_extended_errcode(database_.get())));
}

}  // namespace fastmqtt::sqlite
