// A table of a PostgreSQL database, and what it takes to write rows into it.
#pragma once

#include <string>

#include "handlers/common/columns.hpp"
#include "handlers/postgres/connection.hpp"

namespace fastmqtt::postgres {

extern const common::Dialect kPostgres;

class Table {
 public:
  // From the options `table`, `create_table`, `columns` and `upsert`; throws OptionError.
  explicit Table(const Host& host);

  // As in SQL.
  const std::string& name() const { return name_; }
  const common::Columns& columns() const { return columns_; }
  // Makes it when it is not there, and readies the connection for rows.  Throws Failure when the
  // table cannot take them.
  void prepare(Connection& connection, Clock::time_point deadline) const;
  // Of rows that were refused for what the table is: with what an operator can do about it.
  Failure failure(const Refusal& refusal) const;

 private:
  void check_fit(Connection& connection, Clock::time_point deadline) const;

  std::string name_;
  bool create_;
  common::Columns columns_;
};

}  // namespace fastmqtt::postgres
