// The columns of a table: what the handlers for databases have in common.
//
//     columns:
//       room: "{topic.2}"                             a template; the type goes by what it holds
//       degrees: {value: "{json:/t}", type: real}     the same with a type
//       unit: {value: "{json:/unit}", optional: true} NULL where the payload has none
//     upsert: [room]                                  what is there once; a later row takes its
//     place
//
// Plain objects, no locks, no exceptions but from the constructor.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/missing.hpp"
#include "handlers/common/template.hpp"

namespace fastmqtt::common {

struct Blob {
  std::string bytes;
  bool operator==(const Blob&) const = default;
};
// Text is UTF-8 without zero bytes.
using Cell = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Blob>;
using Row = std::vector<Cell>;

struct ColumnType {
  enum class Holds { anything, boolean, integer, real, numeric, text, blob, json };

  std::string_view name;
  Holds holds = Holds::text;
  std::string_view declared = name;                               // in CREATE TABLE
  std::int64_t least = std::numeric_limits<std::int64_t>::min();  // of whole numbers
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
};

// What a database can do.
struct Dialect {
  std::span<const ColumnType> types;
  // The types of columns that name none, by what their templates hold.
  std::string_view text, integer, number, boolean, json, time;
  std::size_t longest_name = std::numeric_limits<std::size_t>::max();  // bytes
  bool ignores_case = false;                                           // of names
  bool has_loose_text = false;  // a column of text takes other bytes as well, as a Blob
};

struct Column {
  std::string name;
  Template value;
  const ColumnType* type;
  bool optional;
};

class Columns {
 public:
  // From the options `columns`, `upsert` and `missing`; throws OptionError.
  Columns(const Host& host, const Dialect& dialect);

  const std::vector<Column>& list() const { return list_; }
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Of all messages that have one, by their places; the others are rejected, and why is logged, or
  // skipped, as the option `missing` says.
  std::map<std::size_t, Row> rows(const Host& host, Batch& batch) const;

  // In SQL; `table` stands there as it is.  The insert's parameters are $1, $2 ...
  std::string create_table(const std::string& table) const;
  std::string insert_into(const std::string& table) const;
  // That a table that was there has no index for `upsert`, and what an operator may run: `index` is
  // its name, "" where the database finds one itself.
  std::string no_unique_index(const std::string& index, const std::string& table) const;

 private:
  // Nothing when the message has no such row, with why in `reason`.
  std::optional<Row> row(Source& source, std::string& reason) const;
  Column read(const Host& host, const std::string& name) const;
  const ColumnType& type_of(const Template& value) const;
  const Column* find(std::string_view name) const;
  std::string names_of(const std::vector<std::string>& names) const;
  std::optional<Cell> cell(const Column& column, Source& source, std::string& reason) const;

  const std::string handler_;
  const Dialect dialect_;
  const Missing missing_;
  std::vector<Column> list_;
  std::vector<std::string> upsert_;
};

// Answers a message of a batch, and logs why.
void reject(const Host& host, Batch& batch, std::size_t i, const std::string& why);

// As an identifier of SQL.
std::string quoted(std::string_view name);
// Throws OptionError unless it may be one.
void check_name(const std::string& path, const std::string& name, const Dialect& dialect);

// UTF-8 (RFC 3629) without a zero byte.
bool is_text(std::string_view bytes);

}  // namespace fastmqtt::common
