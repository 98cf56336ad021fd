// A handler that books every message it answers in an SQLite database of its own, which outlives a
// kill of the daemon, and misbehaves as its options say:
//     file           the database: the table `seen`, a row an answer, written before it is given
//     block_file     calls hang while this file exists; NAME.entered is made when one does
//     delay_ms       the time that each call takes
//     fail_percent   so many of a hundred answers, at random, are retry
//     hang_percent   so many of a hundred calls, at random, take ...
//     hang_ms        ... this long
//     poison         a payload that is never answered ok, but with ...
//     poison_answer  ... reject, the default, or retry
//     publish        a topic: what is answered ok is published, with its QoS, below it
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

#include "fastmqtt/handler.hpp"

namespace {

using fastmqtt::Message;
using fastmqtt::Result;
using std::chrono::milliseconds;

// The process may be killed at any moment, the machine goes on: nothing has to be synced.
constexpr const char* kTable = R"(
PRAGMA journal_mode=WAL;
PRAGMA synchronous=OFF;
CREATE TABLE IF NOT EXISTS seen(n INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload BLOB,
  qos INTEGER, attempt INTEGER, message_id INTEGER, dup INTEGER, answer TEXT);
)";
constexpr const char* kAdd =
    "INSERT INTO seen(topic, payload, qos, attempt, message_id, dup, answer) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";

// The table `seen`.
class Book {
 public:
  explicit Book(const std::string& file) {
    sqlite3* database = nullptr;
    const int opened = sqlite3_open(file.c_str(), &database);
    database_.reset(database);
    check(opened);
    sqlite3_busy_timeout(database, 10'000);
    check(sqlite3_exec(database, kTable, nullptr, nullptr, nullptr));
    sqlite3_stmt* add = nullptr;
    check(sqlite3_prepare_v2(database, kAdd, -1, &add, nullptr));
    add_.reset(add);
  }

  void add(const Message& message, const char* answer) {
    const std::string_view topic = message.topic(), payload = message.payload();
    const auto size = [](std::string_view text) { return static_cast<int>(text.size()); };
    sqlite3_bind_text(add_.get(), 1, topic.data(), size(topic), SQLITE_STATIC);
    sqlite3_bind_blob(add_.get(), 2, payload.data(), size(payload), SQLITE_STATIC);
    sqlite3_bind_int(add_.get(), 3, message.qos());
    sqlite3_bind_int64(add_.get(), 4, message.attempt());
    sqlite3_bind_int64(add_.get(), 5, static_cast<sqlite3_int64>(message.message_id()));
    sqlite3_bind_int(add_.get(), 6, message.dup() ? 1 : 0);
    sqlite3_bind_text(add_.get(), 7, answer, -1, SQLITE_STATIC);
    const int added = sqlite3_step(add_.get());
    sqlite3_reset(add_.get());
    if (added != SQLITE_DONE) check(added);
  }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  void check(int result) const {
    if (result != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(database_.get()));
  }

  std::unique_ptr<sqlite3, Close> database_;
  std::unique_ptr<sqlite3_stmt, Close> add_;
};

class Ledger {
 public:
  static constexpr const char* options[] = {"file",         "block_file",    "delay_ms",
                                            "fail_percent", "hang_percent",  "hang_ms",
                                            "poison",       "poison_answer", "publish"};

  explicit Ledger(fastmqtt::Host host)
      : host_(host),
        book_(host.required<std::string>("file")),
        block_file_(host.option("block_file", "")),
        delay_(host.option("delay_ms", 0, 0)),
        fail_percent_(host.option("fail_percent", 0u, 0, 100)),
        hang_percent_(host.option("hang_percent", 0u, 0, 100)),
        hang_(host.option("hang_ms", 0, 0)),
        poison_(host.option("poison", "")),
        poison_answer_(host.option("poison_answer", Result::reject,
                                   {{"reject", Result::reject}, {"retry", Result::retry}})),
        publish_(host.option("publish", "")) {}

  Result on_message(const Message& message) {
    hang_while_blocked();
    if (delay_ > milliseconds(0)) std::this_thread::sleep_for(delay_);
    if (in_a_hundred(hang_percent_)) std::this_thread::sleep_for(hang_);
    const Result result = answer(message);
    book_.add(message, word(result));
    return result;
  }

 private:
  bool in_a_hundred(unsigned percent) { return percent > 0 && random_() % 100 < percent; }

  Result answer(const Message& message) {
    if (!poison_.empty() && message.payload() == poison_) return poison_answer_;
    if (in_a_hundred(fail_percent_)) return Result::retry;
    if (publish_.empty()) return Result::ok;
    return host_.publish(publish_ + "/" + std::string(message.topic()), message.payload(),
                         {.qos = message.qos()});
  }

  static const char* word(Result result) {
    if (result == Result::ok) return "ok";
    return result == Result::retry ? "retry" : "reject";
  }

  void hang_while_blocked() const {
    if (block_file_.empty() || ::access(block_file_.c_str(), F_OK) != 0) return;
    ::close(::open((block_file_ + ".entered").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    while (::access(block_file_.c_str(), F_OK) == 0) std::this_thread::sleep_for(milliseconds(2));
  }

  fastmqtt::Host host_;
  Book book_;
  std::string block_file_;
  milliseconds delay_;
  unsigned fail_percent_;
  unsigned hang_percent_;
  milliseconds hang_;
  std::string poison_;
  Result poison_answer_;
  std::string publish_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace

FASTMQTT_HANDLER(Ledger, "ledger", "1.0", 0);
