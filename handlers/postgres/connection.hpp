// A connection to a PostgreSQL server that never waits beyond a deadline, whatever the server does:
// libpq's nonblocking calls and a poll of our own.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "handlers/common/columns.hpp"

namespace fastmqtt::postgres {

using Clock = std::chrono::steady_clock;

// The server cannot be used now, or does not want to.  Close the connection, and try again later.
class Failure : public std::runtime_error {
 public:
  // `state` is the SQLSTATE, "" when the server has said nothing.
  Failure(std::string state, const std::string& what)
      : std::runtime_error(what), state_(std::move(state)) {}
  const std::string& state() const { return state_; }

 private:
  std::string state_;
};

// Why a transaction was refused.
struct Refusal {
  std::optional<std::size_t> row;  // nothing: by none of them in particular, at its end
  std::string state;
  std::string text;
};

// In one thread at a time.
class Connection {
 public:
  // `target` is a connection string or a URL.  Throws Failure, as the others.
  Connection(const Host& host, const std::string& target, Clock::time_point deadline);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False when the server has closed it meanwhile, as one does that is started again.
  bool is_open() const;

  using Table = std::vector<std::vector<std::string>>;  // rows of texts, NULL is ""
  Table query(const std::string& sql, const std::vector<std::string>& parameters,
              Clock::time_point deadline);
  // The statement that insert() runs.
  void prepare(const std::string& sql, Clock::time_point deadline);
  // All of them in one transaction, which is done when nothing is returned.
  std::optional<Refusal> insert(std::span<const common::Row* const> rows,
                                Clock::time_point deadline);
  // The server ends a statement that takes longer; sent when that is another limit than before.
  void limit_statements(std::chrono::milliseconds limit, Clock::time_point deadline);

 private:
  struct Finish {
    void operator()(PGconn* connection) const { ::PQfinish(connection); }
  };
  struct Clear {
    void operator()(PGresult* result) const { ::PQclear(result); }
  };
  using ResultPointer = std::unique_ptr<PGresult, Clear>;

  void connect(Clock::time_point deadline);
  void wait_for(short events, Clock::time_point deadline) const;
  ResultPointer next(Clock::time_point deadline);
  ResultPointer only_result(Clock::time_point deadline);
  void send(const common::Row& row);
  void check_sent(int sent) const;
  [[noreturn]] void fail_lost() const;

  const Host host_;
  std::unique_ptr<PGconn, Finish> connection_;
  std::chrono::milliseconds limit_{0};
};

}  // namespace fastmqtt::postgres
