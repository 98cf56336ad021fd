#include "handlers/postgres/connection.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <variant>

namespace fastmqtt::postgres {
namespace {

using std::chrono::milliseconds;

constexpr const char* kInsert = "fastmqttd_insert";

// libpq's messages end with a line break, and may have several lines; the server's may show what
// came with a message.
std::string in_one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::erase(text, '\t');
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
  return text;
}

std::string field(const PGresult* result, int code) {
  const char* text = ::PQresultErrorField(result, code);
  return text ? in_one_line(text) : "";
}

// What the server says of an error, without the statement.
std::string error_text(const PGresult* result) {
  std::string text = field(result, PG_DIAG_MESSAGE_PRIMARY);
  if (text.empty()) return in_one_line(::PQresultErrorMessage(result));
  if (const std::string detail = field(result, PG_DIAG_MESSAGE_DETAIL); !detail.empty())
    text += ": " + detail;
  if (const std::string hint = field(result, PG_DIAG_MESSAGE_HINT); !hint.empty())
    text += " (" + hint + ")";
  return text + " (SQLSTATE " + field(result, PG_DIAG_SQLSTATE) + ")";
}

bool is_error(const PGresult* result) {
  const ExecStatusType status = ::PQresultStatus(result);
  return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
}

void throw_if_error(const PGresult* result) {
  if (is_error(result)) throw Failure(field(result, PG_DIAG_SQLSTATE), error_text(result));
}

// A row as libpq takes it: texts that end with a zero byte, and blobs with their length.
struct Parameters {
  explicit Parameters(const common::Row& row) {
    texts.reserve(row.size());
    for (const common::Cell& cell : row) std::visit(*this, cell);
  }
  void operator()(std::nullptr_t) { add(nullptr, 0, 0); }
  void operator()(bool truth) { add(truth ? "t" : "f", 1, 0); }
  void operator()(std::int64_t whole) { add_text(common::Value(whole)); }
  void operator()(double number) { add_text(common::Value(number)); }
  void operator()(const std::string& text) { add(text.c_str(), text.size(), 0); }
  void operator()(const common::Blob& blob) { add(blob.bytes.data(), blob.bytes.size(), 1); }

  std::vector<std::string> texts;  // of numbers
  std::vector<const char*> values;
  std::vector<int> lengths, formats;

 private:
  void add_text(const common::Value& value) {
    texts.push_back(common::to_text(value).value_or(""));
    add(texts.back().c_str(), texts.back().size(), 0);
  }
  void add(const char* value, std::size_t length, int format) {
    values.push_back(value);
    lengths.push_back(static_cast<int>(length));
    formats.push_back(format);
  }
};

}  // namespace

Connection::Connection(const Host& host, const std::string& target, Clock::time_point deadline)
    : host_(host) {
  // Those before dbname are defaults, those after it are not for the target to change.  A host that
  // does not answer leaves time for the next one.
  constexpr std::array kNames{"fallback_application_name", "tcp_user_timeout", "dbname",
                              "client_encoding", static_cast<const char*>(nullptr)};
  const std::array values{"fastmqttd", "5000", target.c_str(), "UTF8",
                          static_cast<const char*>(nullptr)};
  connection_.reset(::PQconnectStartParams(kNames.data(), values.data(), /*expand_dbname=*/1));
  if (!connection_) throw Failure("", "out of memory");
  ::PQsetNoticeProcessor(
      connection_.get(),
      [](void* to, const char* text) {
        static_cast<const Host*>(to)->log(Level::debug, in_one_line(text));
      },
      const_cast<Host*>(&host_));
  connect(deadline);
  if (::PQsetnonblocking(connection_.get(), 1) != 0) fail_lost();
}

void Connection::connect(Clock::time_point deadline) {
  PGconn* connection = connection_.get();
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  if (::PQstatus(connection) == CONNECTION_BAD) fail_lost();
  for (;;) {
    switch (next) {
      case PGRES_POLLING_OK: return;
      case PGRES_POLLING_READING: wait_for(POLLIN, deadline); break;
      case PGRES_POLLING_WRITING: wait_for(POLLOUT, deadline); break;
      default: fail_lost();
    }
    next = ::PQconnectPoll(connection);
  }
}

void Connection::wait_for(short events, Clock::time_point deadline) const {
  pollfd socket{::PQsocket(connection_.get()), events, 0};
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) throw Failure("", "the server does not answer in time");
    const int ready =
        ::poll(&socket, 1, static_cast<int>(std::min<milliseconds::rep>(left.count(), 60'000)));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) fail_lost();
  }
}

// Its last words come before its end.
bool Connection::is_open() const {
  pollfd socket{::PQsocket(connection_.get()), POLLIN, 0};
  while (::poll(&socket, 1, 0) > 0)
    if (::PQconsumeInput(connection_.get()) == 0 || ::PQisBusy(connection_.get()) != 0)
      return false;
  return ::PQstatus(connection_.get()) == CONNECTION_OK;
}

// Null at the end of what one statement gives.
Connection::ResultPointer Connection::next(Clock::time_point deadline) {
  PGconn* connection = connection_.get();
  for (;;) {
    const int unsent = ::PQflush(connection);
    if (unsent < 0) fail_lost();
    if (::PQisBusy(connection) == 0) return ResultPointer(::PQgetResult(connection));
    wait_for(static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN), deadline);
    if (::PQconsumeInput(connection) == 0) fail_lost();
  }
}

Connection::ResultPointer Connection::only_result(Clock::time_point deadline) {
  ResultPointer last;
  while (ResultPointer result = next(deadline)) {
    throw_if_error(result.get());
    last = std::move(result);
  }
  if (!last) fail_lost();
  return last;
}

Connection::Table Connection::query(const std::string& sql,
                                    const std::vector<std::string>& parameters,
                                    Clock::time_point deadline) {
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
  check_sent(::PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()),
                                 nullptr, values.data(), nullptr, nullptr, 0));
  const ResultPointer result = only_result(deadline);
  Table table;
  for (int row = 0; row < ::PQntuples(result.get()); ++row) {
    table.emplace_back();
    for (int column = 0; column < ::PQnfields(result.get()); ++column)
      table.back().emplace_back(::PQgetvalue(result.get(), row, column));
  }
  return table;
}

void Connection::prepare(const std::string& sql, Clock::time_point deadline) {
  check_sent(::PQsendPrepare(connection_.get(), kInsert, sql.c_str(), 0, nullptr));
  only_result(deadline);
}

// A pipeline up to its sync is a transaction of its own.
std::optional<Refusal> Connection::insert(std::span<const common::Row* const> rows,
                                          Clock::time_point deadline) {
  check_sent(::PQenterPipelineMode(connection_.get()));
  for (const common::Row* row : rows) send(*row);
  check_sent(::PQpipelineSync(connection_.get()));
  std::optional<Refusal> refusal;
  bool was_end = false;
  for (std::size_t done = 0;;) {
    const ResultPointer result = next(deadline);
    if (::PQstatus(connection_.get()) == CONNECTION_BAD) {
      if (result && is_error(result.get())) throw_if_error(result.get());
      fail_lost();
    }
    if (!result && was_end) throw Failure("", "the server has left out an answer");
    was_end = !result;
    if (was_end) continue;  // on to the next statement's
    const ExecStatusType status = ::PQresultStatus(result.get());
    if (status == PGRES_PIPELINE_SYNC) break;
    if (status == PGRES_FATAL_ERROR && !refusal)
      refusal = Refusal{done < rows.size() ? std::optional(done) : std::nullopt,
                        field(result.get(), PG_DIAG_SQLSTATE), error_text(result.get())};
    ++done;
  }
  check_sent(::PQexitPipelineMode(connection_.get()));
  return refusal;
}

void Connection::send(const common::Row& row) {
  const Parameters parameters(row);
  check_sent(::PQsendQueryPrepared(connection_.get(), kInsert, static_cast<int>(row.size()),
                                   parameters.values.data(), parameters.lengths.data(),
                                   parameters.formats.data(), 0));
}

void Connection::limit_statements(milliseconds limit, Clock::time_point deadline) {
  if (limit == limit_) return;
  query("SELECT set_config('statement_timeout', $1, false)", {std::to_string(limit.count())},
        deadline);
  limit_ = limit;
}

void Connection::check_sent(int sent) const {
  if (sent == 0) fail_lost();
}

void Connection::fail_lost() const {
  throw Failure("", in_one_line(::PQerrorMessage(connection_.get())));
}

}  // namespace fastmqtt::postgres
