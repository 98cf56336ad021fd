// postgres - writes each message as a row into a table of a PostgreSQL database, one transaction
// for all that is waiting.
//
// It connects when it is needed, and again after any trouble with the server; until a transaction
// is committed, its messages are not done with.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/columns.hpp"
#include "handlers/common/outage.hpp"
#include "handlers/postgres/connection.hpp"
#include "handlers/postgres/resolver.hpp"
#include "handlers/postgres/table.hpp"
#include "handlers/postgres/target.hpp"

namespace {

using fastmqtt::Level;
using fastmqtt::Result;
using fastmqtt::common::Row;
using fastmqtt::postgres::Clock;
using fastmqtt::postgres::Connection;
using fastmqtt::postgres::Failure;
using fastmqtt::postgres::Refusal;
using fastmqtt::postgres::Resolver;
using fastmqtt::postgres::Table;
using fastmqtt::postgres::Target;
using fastmqtt::postgres::target_option;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr seconds kNoDeadline{30};  // for a call when the daemon sets none
constexpr seconds kFirstLook{2};    // at the start, when no message waits

// Whether it is about the row: bad data, a constraint, a view's check option, a limit such as that
// of an index, or a trigger that raises an exception.
bool is_fault_of_row(const std::string& state) {
  const std::string_view kind = std::string_view(state).substr(0, 2);
  return kind == "22" || kind == "23" || kind == "44" || kind == "54" || state == "P0001";
}

class Postgres {
 public:
  static constexpr const char* options[] = {"connection", "table",  "create_table",
                                            "columns",    "upsert", "missing"};

  explicit Postgres(fastmqtt::Host host)
      : host_(host), target_(target_option(host)), table_(host), outage_(host) {
    // What is wrong with the server is said at the start, and keeps nothing from starting.
    host_.wake();
  }

  void on_wake() {
    try {
      connect(kNoDeadline, Clock::now() + kFirstLook);
    } catch (const Failure& failure) {
      close(failure);
    }
  }

  void on_messages(fastmqtt::Batch batch) {
    std::map<std::size_t, Row> rows = table_.columns().rows(host_, batch);
    if (rows.empty()) return;
    const milliseconds limit = limit_of(batch[0]);
    const Clock::time_point deadline = Clock::now() + limit;
    try {
      connect(limit, deadline);
      write(batch, rows, deadline);
      outage_.end("the server takes rows again");
    } catch (const Failure& failure) {
      close(failure);
      for (const auto& [i, row] : rows) batch.answer(i, Result::retry);
    } catch (...) {  // out of memory: nobody knows what is half sent
      connection_.reset();
      throw;
    }
  }

 private:
  // Well before the daemon would take the messages back.
  milliseconds limit_of(const fastmqtt::Message& message) const {
    nanoseconds limit = kNoDeadline;
    if (const nanoseconds deadline = message.deadline(); deadline.count() > 0)
      limit = (deadline - host_.now()) * 4 / 5;
    return std::max(std::chrono::floor<seconds>(limit) > seconds(1)
                        ? milliseconds(std::chrono::floor<seconds>(limit))
                        : std::chrono::floor<milliseconds>(limit),
                    milliseconds(10));
  }

  // The server ends a statement first: a connection that is closed here may leave one that waits
  // for a lock over there.
  void connect(milliseconds limit, Clock::time_point deadline) {
    if (connection_ && !connection_->is_open()) {
      host_.log(Level::info, "the server has closed the connection: connecting again");
      connection_.reset();
    }
    if (connection_) return connection_->limit_statements(limit * 9 / 10, deadline);
    const Clock::time_point connected_by = std::min(deadline, Clock::now() + target_.timeout);
    for (const std::string& name : target_.names)
      if (!resolver_.answers(name, connected_by))
        throw Failure("", "the name " + name + " is not resolved in time, or not for now");
    auto connection = std::make_unique<Connection>(host_, target_.text, connected_by);
    connection->limit_statements(limit * 9 / 10, deadline);
    table_.prepare(*connection, deadline);
    connection_ = std::move(connection);
  }
  void close(const Failure& failure) {
    outage_.begin(failure.state().empty() ? failure.what() : failure.state(), failure.what());
    connection_.reset();
  }

  // Takes those out of `rows` that are done with.  A transaction that one row has spoilt is split:
  // those before it, and those after it.
  void write(fastmqtt::Batch& batch, std::map<std::size_t, Row>& rows, Clock::time_point deadline) {
    std::size_t size = rows.size();
    while (!rows.empty()) {
      std::vector<const Row*> some;
      for (auto row = rows.begin(); row != rows.end() && some.size() < size; ++row)
        some.push_back(&row->second);
      const auto refusal = connection_->insert(some, deadline);
      if (!refusal) {
        rows.erase(rows.begin(), std::next(rows.begin(), static_cast<std::ptrdiff_t>(some.size())));
        size = rows.size();
        continue;
      }
      if (!is_fault_of_row(refusal->state)) throw table_.failure(*refusal);
      const std::size_t good = refusal->row.value_or(some.size() / 2);
      if (good == 0) {
        fastmqtt::common::reject(host_, batch, rows.begin()->first, refusal->text);
        rows.erase(rows.begin());
      }
      size = good == 0 ? rows.size() : good;
    }
  }

  const fastmqtt::Host host_;
  const Target target_;
  const Table table_;
  fastmqtt::common::Outage outage_;
  Resolver resolver_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace

FASTMQTT_HANDLER(Postgres, "postgres", "1.0", FASTMQTT_SHARDABLE);
