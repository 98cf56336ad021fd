#include "handlers/postgres/table.hpp"

#include <cstdint>
#include <limits>

namespace fastmqtt::postgres {
namespace {

using common::ColumnType;
using Holds = ColumnType::Holds;

constexpr const char* kNoSuchIndex = "42P10";  // SQLSTATE of an ON CONFLICT that matches none

template <class T>
constexpr ColumnType whole(const char* name) {
  return {name, Holds::integer, name, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()};
}

// A timestamptz is text that the server reads.
constexpr ColumnType kTypes[] = {whole<std::int16_t>("smallint"),
                                 whole<std::int32_t>("integer"),
                                 whole<std::int64_t>("bigint"),
                                 {"real", Holds::real},
                                 {"double precision", Holds::real},
                                 {"numeric", Holds::numeric},
                                 {"boolean", Holds::boolean},
                                 {"text", Holds::text},
                                 {"json", Holds::json},
                                 {"jsonb", Holds::json},
                                 {"bytea", Holds::blob},
                                 {"timestamptz", Holds::text}};

// "schema.table", each of them quoted.
std::string name_option(const Host& host) {
  const std::string name = host.required<std::string>("table");
  const std::size_t dot = name.find('.');
  const std::string table = dot == std::string::npos ? name : name.substr(dot + 1);
  common::check_name("table", table, kPostgres);
  if (dot == std::string::npos) return common::quoted(table);
  const std::string schema = name.substr(0, dot);
  common::check_name("table", schema, kPostgres);
  return common::quoted(schema) + "." + common::quoted(table);
}

}  // namespace

const common::Dialect kPostgres{.types = kTypes,
                                .text = "text",
                                .integer = "bigint",
                                .number = "numeric",
                                .boolean = "boolean",
                                .json = "jsonb",
                                .time = "timestamptz",
                                .longest_name = 63};

Table::Table(const Host& host)
    : name_(name_option(host)),
      create_(host.option("create_table", true)),
      columns_(host, kPostgres) {}

void Table::prepare(Connection& connection, Clock::time_point deadline) const {
  const auto found = connection.query("SELECT to_regclass($1)", {name_}, deadline);
  const bool is_there = !found.empty() && !found[0][0].empty();
  if (!is_there && !create_)
    throw Failure("42P01", "there is no table " + name_ + ", and create_table says not to make it");
  if (is_there)
    check_fit(connection, deadline);
  else
    connection.query(columns_.create_table(name_), {}, deadline);
  try {
    connection.prepare(columns_.insert_into(name_), deadline);
  } catch (const Failure& failure) {
    throw Failure(failure.state(), "the table " + name_ + ": " + failure.what());
  }
}

// The server does not look for the index before a row is written.
Failure Table::failure(const Refusal& refusal) const {
  if (refusal.state != kNoSuchIndex) return {refusal.state, refusal.text};
  return {refusal.state, columns_.no_unique_index("", name_)};
}

// A table of before may want columns that no row of ours would have: each of them would be
// rejected.  A trigger may fill them in.
void Table::check_fit(Connection& connection, Clock::time_point deadline) const {
  const auto needed = connection.query(
      "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
      "JOIN pg_type t ON t.oid = a.atttypid "
      "WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped "
      "AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND t.typdefault IS NULL "
      "AND NOT c.relhastriggers",
      {name_}, deadline);
  std::string wanted;
  for (const auto& row : needed)
    if (!columns_.has(row[0])) wanted += (wanted.empty() ? "" : ", ") + common::quoted(row[0]);
  if (!wanted.empty())
    throw Failure("23502", "the table " + name_ +
                               " that is there has columns that are NOT NULL and not among "
                               "`columns`: " +
                               wanted + ": add them, or give them a default");
}

}  // namespace fastmqtt::postgres
