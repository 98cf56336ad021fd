#include "daemon/spool/spool.hpp"

#include <pthread.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "daemon/base/error.hpp"
#include "daemon/base/fault_point.hpp"
#include "daemon/base/log.hpp"
#include "daemon/spool/schema.hpp"
#include "daemon/spool/state_directory.hpp"
#include "daemon/spool/stored_message.hpp"

namespace fastmqttd {
namespace {

// Changes in one transaction, if no append cuts it short.
constexpr std::size_t kBatch = 256;
// That append may be kept waiting for as many as these: else it would cost a transaction each time.
constexpr std::size_t kLeast = 32;
// Once the write-ahead log has so many more pages they are moved into the database, beside the
// appends.  Once it is that long, appends wait for the last ones to be moved, so that it can begin
// again.
constexpr int kCheckpointPages = 1000;
constexpr int kRestartPages = 8 * kCheckpointPages;
constexpr int kFewPages = 200;
// On a disk that is nearly full both are smaller: the log must not grow by more than is kept for
// it.
constexpr std::size_t kSmallBatch = 16;
constexpr int kSmallCheckpoint = 64;
constexpr int kCheckpointTries = 4;
constexpr auto kRetryPause = std::chrono::seconds(1);
constexpr std::uint64_t kPageSize = 4096;
constexpr std::uint64_t kFrameHead = 24;
constexpr std::size_t kForgetAtOnce = 64;
constexpr std::size_t kKeepAtOnce = 64;

constexpr const char* kMoveAway =
    "expected a spool; nothing was deleted: to go on move spool.db, spool.db-wal and spool.db-shm "
    "away, together";

// Of the extended one (sqlite.org/rescode.html).
int primary_code(const sqlite::Error& error) { return error.code() & 0xff; }

// What the operator is to do when it cannot be opened.
const char* advice(const sqlite::Error& error) {
  switch (primary_code(error)) {
    case SQLITE_FULL: return "expected some room on its disk";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN: return "expected a file that the daemon's user may write";
    case SQLITE_BUSY: return "expected no other program to hold it";
    case SQLITE_IOERR: return "expected a disk that works";
    default: return kMoveAway;
  }
}

std::uint64_t size_of(const std::filesystem::path& file) {
  std::error_code none;
  const auto size = std::filesystem::file_size(file, none);
  return none ? 0 : size;
}

std::uint64_t disk_free(const std::filesystem::path& directory) {
  struct statvfs status {};
  if (::statvfs(directory.c_str(), &status) != 0) return 0;
  return std::uint64_t{status.f_bavail} * status.f_frsize;
}

std::size_t stored_bytes(const Message& message, const PacketRecord* record) {
  return 64 + message.topic().size() + message.payload().size() +
         (record ? record->packet.size() : 0);
}

}  // namespace

Spool::Spool(const std::filesystem::path& directory, const SpoolConfig& config)
    : lock_(lock_state_directory(directory)),
      directory_(directory),
      file_(directory / "spool.db"),
      room_(config.max_size) {
  try {
    store_ = std::make_unique<Guarded<Store>>(file_, config.durability);
    auto store = store_->lock();
    // Before the first transaction, which tells how much the last run has left in the log.
    ::sqlite3_wal_hook(
        store->database().handle(),
        [](void* self, sqlite3*, const char*, int pages) {
          static_cast<Spool*>(self)->log_pages_ = pages;
          return SQLITE_OK;
        },
        this);
    run_began_ = store->reserve_ids(static_cast<std::uint64_t>(realtime_ns()));
    message_ids_beyond(run_began_ - 1);
    counts_.lock()->waiting = store->count_waiting();
    counts_.lock()->dead = store->count_dead();
    counts_.lock()->names = store->handlers();
    measure(*store);
  } catch (const sqlite::Error& error) {
    unusable(file_, error.what(), advice(error));
  }
  thread_ = std::thread([this] { run(); });
}

Spool::~Spool() {
  state_.lock()->closing = true;
  changed_.notify_one();
  thread_.join();
}

void Spool::change(const SpoolConfig& config) {
  room_.set_max_size(config.max_size);
  set_durability(store_->lock()->database(), config.durability);
}

HandlerKey Spool::handler(const std::string& name) {
  try {
    const HandlerKey key = store_->lock()->handler(name);
    counts_.lock()->names[key] = name;
    return key;
  } catch (const sqlite::Error& error) {
    unusable(file_, error.what(), advice(error));
  }
}

bool Spool::append(const Message& message, std::span<const HandlerKey> handlers,
                   const PacketRecord* record, std::string& why) {
  const std::size_t bytes = stored_bytes(message, record);
  try {
    auto store = store_->lock_first();
    if (room_.is_stale() || !room_.why_not(bytes).empty()) measure(*store);
    why = room_.why_not(bytes);
    if (!why.empty()) {
      room_.is_full();
      return false;
    }
    store->append(message, handlers, record);
    room_.appended(bytes);
    // Before anybody can settle it.
    auto counts = counts_.lock();
    for (const HandlerKey handler : handlers) ++counts->waiting[handler];
  } catch (const sqlite::Error& error) {
    end_if_damaged(error);
    look_at_disk(error);
    why = file_.string() + ": " + error.what();
    return false;
  }
  if (checkpoint_due()) changed_.notify_one();
  return true;
}

std::size_t Spool::keep(std::span<const Kept> messages, HandlerKey handler, std::string& why) {
  std::size_t kept = 0;
  try {
    while (kept < messages.size()) {
      // A few at a time, so that no append waits for long.
      const auto some = messages.subspan(kept, std::min(kKeepAtOnce, messages.size() - kept));
      std::size_t bytes = 0;
      for (const Kept& one : some) bytes += stored_bytes(*one.message, nullptr);
      auto store = store_->lock_behind();
      if (room_.is_stale() || !room_.why_not(bytes).empty()) measure(*store);
      why = room_.why_not(bytes);
      if (!why.empty()) return kept;
      store->keep(some, handler);
      room_.appended(bytes);
      counts_.lock()->waiting[handler] += some.size();
      kept += some.size();
    }
  } catch (const sqlite::Error& error) {
    end_if_damaged(error);
    look_at_disk(error);
    why = file_.string() + ": " + error.what();
  }
  return kept;
}

bool Spool::takes_letter(const Message& message) {
  const std::size_t bytes = stored_bytes(message, nullptr);
  if (is_behind() || (room_.is_stale() && !measure_now())) return false;
  if (!room_.why_not(unwritten_letters_ + bytes).empty()) return false;
  unwritten_letters_ += bytes;
  return true;
}

bool Spool::measure_now() {
  try {
    measure(*store_->lock());
    return true;
  } catch (const sqlite::Error&) {
    return false;
  }
}

Spool::Use Spool::use() {
  measure_now();  // else as it was last
  return {room_.used(), room_.max_size()};
}

bool Spool::has_room() {
  if (!measure_now()) return false;
  if (room_.has_drained()) return true;
  // In case it is the log that takes up the room.
  checkpoint_wanted_ = log_pages_ != moved_pages_;
  cut_wanted_ = true;
  changed_.notify_one();
  return false;
}

void Spool::measure(Store& store) {
  const auto pages = static_cast<std::uint64_t>(store.pages());
  const auto free = static_cast<std::uint64_t>(store.free_pages());
  const auto log = static_cast<std::uint64_t>(log_pages_.load());
  const auto moved = std::min(log, static_cast<std::uint64_t>(moved_pages_.load()));
  room_.measured({.used = (pages - free) * kPageSize,
                  .free = free * kPageSize,
                  // When all of it is moved the next page is the first one again.
                  .log = log == moved ? 0 : log * (kPageSize + kFrameHead),
                  .log_file = size_of(log_file()),
                  .unmoved = (log - moved) * kPageSize,
                  .disk = disk_free(directory_)});
}

void Spool::end_if_damaged(const std::exception& error) const {
  const auto* const of_sqlite = dynamic_cast<const sqlite::Error*>(&error);
  const int code = of_sqlite ? primary_code(*of_sqlite) : SQLITE_OK;
  if (code != SQLITE_CORRUPT && code != SQLITE_NOTADB) return;
  log::error("{}: {}: {}", file_.string(), error.what(), kMoveAway);
  std::_Exit(static_cast<int>(ExitStatus::spool));
}

// When it is full: the log may take up room for nothing.
void Spool::look_at_disk(const sqlite::Error& error) {
  if (primary_code(error) != SQLITE_FULL) return;
  room_.is_full();
  cut_wanted_ = true;
  changed_.notify_one();
}

void Spool::log_failure(const char* what, const sqlite::Error& error, const char* more) {
  end_if_damaged(error);
  look_at_disk(error);
  log::error("{}: cannot {}: {}{}", file_.string(), what, error.what(), more);
}

void Spool::write(Changes changes) {
  auto state = state_.lock();
  state->queue.push_back({std::move(changes), state->next_number++});
  const bool first = state->queue.size() == 1;
  state.unlock();
  if (first) changed_.notify_one();
}

bool Spool::write_now(Changes changes) {
  changes.together = true;
  auto state = state_.lock();
  const std::uint64_t number = state->next_number++;
  state->queue.push_back({std::move(changes), number});
  changed_.notify_one();
  for (;;) {
    if (state->queue.empty() || state->queue.front().number > number) return true;
    const auto ours = std::ranges::find(state->queue, number, &Queued::number);
    const auto before = static_cast<std::size_t>(std::distance(state->queue.begin(), ours));
    if ((ours->failed || state->closing) && before >= state->at_work) {
      state->queue.erase(ours);
      return false;
    }
    state.wait(written_);
  }
}

void Spool::flush(Duration limit) {
  const TimePoint deadline = Clock::now() + limit;
  auto state = state_.lock();
  while (!state->queue.empty() && Clock::now() < deadline) state.wait_until(written_, deadline);
}

void Spool::wait_until_written() {
  auto state = state_.lock();
  const std::uint64_t last = state->next_number;
  while (!state->queue.empty() && state->queue.front().number < last) state.wait(written_);
}

void Spool::run() {
  ::pthread_setname_np(::pthread_self(), "spool");
  auto state = state_.lock();
  for (;;) {
    while (state->queue.empty() && !checkpoint_due() && !state->closing) state.wait(changed_);
    if (checkpoint_due()) {
      state.unlock();
      checkpoint();
      state.relock();
    }
    if (state->queue.empty()) {
      if (state->closing) break;
      continue;
    }
    std::vector<Queued*> batch;
    std::size_t changes = 0;
    for (Queued& queued : state->queue) {
      batch.push_back(&queued);
      if ((changes += queued.changes.list.size()) >= batch_limit()) break;
    }
    state->at_work = batch.size();
    state.unlock();
    Progress progress;
    const bool written = write_batch(batch, progress);
    for (std::size_t i = 0; i < progress.whole; ++i)
      if (batch[i]->changes.written) batch[i]->changes.written();
    state.relock();
    state->at_work = 0;
    for (std::size_t i = 0; i < progress.whole; ++i) state->queue.pop_front();
    if (progress.further > 0) state->queue.front().written = progress.further;
    if (!written)
      for (Queued* const queued : batch) queued->failed = true;
    written_.notify_all();
    if (written) continue;
    if (state->closing) break;
    state.unlock();
    pause();
    state.relock();
  }
  state.unlock();
  checkpoint();
}

// Before another try.
void Spool::pause() {
  checkpoint_once();  // in case it is room that is missing: the log can begin again then
  const TimePoint end = Clock::now() + kRetryPause;
  auto state = state_.lock();
  while (!state->closing && Clock::now() < end) state.wait_until(changed_, end);
}

// Not while an append wants to write.
bool Spool::write_batch(std::span<Queued* const> batch, Progress& progress) {
  Settlement settled;
  try {
    auto store = store_->lock_behind();
    progress = write_some(*store, batch, settled);
  } catch (const sqlite::Error& error) {
    end_if_damaged(error);
    most_at_once_ = 1;  // what there is room for may be less than all of them
    if (!std::exchange(failure_logged_, true))
      log_failure("note what is handled", error,
                  ": trying again; until then it may be handled again after a restart");
    return false;
  }
  if (std::exchange(failure_logged_, false))
    log::info("{}: what is handled can be noted again", file_.string());
  most_at_once_ = std::min(kBatch, 2 * most_at_once_);
  auto counts = counts_.lock();
  for (const auto& [handler, messages] : settled.waiting) counts->waiting[handler] -= messages;
  for (const auto& [handler, letters] : settled.dead) counts->dead[handler] += letters;
  room_.appended(settled.letters);
  unwritten_letters_ -= settled.letters;
  return true;
}

std::size_t Spool::batch_limit() const {
  return std::min(most_at_once_, room_.is_low_on_disk() ? kSmallBatch : kBatch);
}

// One transaction, cut short where that is allowed when an append wants to write.
Spool::Progress Spool::write_some(Store& store, std::span<Queued* const> batch,
                                  Settlement& settled) {
  fault_point("settle.begin");
  Progress progress;
  std::size_t applied = 0;
  const std::size_t most = batch_limit();
  const auto give_way = [&] {
    return applied >= most || (applied >= kLeast && store_->first_waits());
  };
  sqlite::Transactions::One transaction(store.transactions());
  for (const Queued* const queued : batch) {
    const Changes& changes = queued->changes;
    progress.further = queued->written;
    while (progress.further < changes.list.size()) {
      const Change& change = changes.list[progress.further];
      count(change, store.apply(change), settled);
      ++progress.further;
      ++applied;
      if (give_way() && !changes.together && progress.further < changes.list.size()) break;
    }
    if (progress.further < changes.list.size()) break;
    ++progress.whole;
    progress.further = 0;
    if (give_way()) break;
  }
  fault_point("settle.written");
  transaction.commit();
  fault_point("settle.committed");
  return progress;
}

void Spool::count(const Change& change, bool was_waiting, Settlement& settled) {
  if (const auto* done = std::get_if<Done>(&change); done && was_waiting)
    ++settled.waiting[done->handler];
  const auto* const dead = std::get_if<Dead>(&change);
  if (!dead) return;
  if (was_waiting) ++settled.waiting[dead->handler];
  if (!dead->stored) settled.letters += stored_bytes(*dead->message, nullptr);
  ++settled.dead[dead->handler];
}

// By what was added since the last try, whatever that could move: a reader may hold it up.
bool Spool::checkpoint_due() const {
  const int pages = log_pages_;
  const int tried = tried_at_;
  const int added = pages < tried ? pages : pages - tried;  // fewer: the log has begun again
  return checkpoint_wanted_ || cut_wanted_ || added >= kCheckpointPages ||
         (room_.is_low_on_disk() && added > kSmallCheckpoint);
}

// By a connection of its own, beside the appends.
void Spool::checkpoint() {
  if (cut_wanted_.exchange(false)) return cut_log();
  checkpoint_once();
  if (log_pages_ < kRestartPages) return;
  // While messages come the log is never done; the last pages go while appends wait.
  for (int i = 0; i < kCheckpointTries && log_pages_ - moved_pages_ > kFewPages; ++i)
    checkpoint_once();
  auto store = store_->lock();
  checkpoint_once();
}

// Its file has the size that it once had, until it is cut.
void Spool::cut_log() {
  checkpoint_once();
  if (size_of(log_file()) == 0 || log_pages_ != moved_pages_) return;
  auto store = store_->lock_behind();
  checkpoint_once(SQLITE_CHECKPOINT_TRUNCATE);
}

void Spool::checkpoint_once(int mode) {
  tried_at_ = log_pages_.load();
  checkpoint_wanted_ = false;
  try {
    if (!mover_) {
      mover_ = std::make_unique<sqlite::Database>(file_);
      mover_->run("SELECT count(*) FROM sqlite_schema");  // before that it knows of no log
    }
    int pages = 0, moved = 0;
    const int code = ::sqlite3_wal_checkpoint_v2(mover_->handle(), nullptr, mode, &pages, &moved);
    if (code != SQLITE_OK) throw sqlite::Error(code, ::sqlite3_errmsg(mover_->handle()));
    moved_pages_ = moved;
    if (mode == SQLITE_CHECKPOINT_TRUNCATE) log_pages_ = tried_at_ = 0;
  } catch (const sqlite::Error& error) {
    if (primary_code(error) != SQLITE_BUSY) log_failure("move its log into it", error);
  }
}

std::unique_ptr<Backlog> Spool::backlog(HandlerKey handler) const {
  return std::make_unique<Backlog>(file_, handler, run_began_);
}

std::unique_ptr<Parked> Spool::parked(HandlerKey handler, int place) const {
  return std::make_unique<Parked>(directory_ / fmt::format("parked-{}-{}.db", handler, place));
}

std::uint64_t Spool::waiting(HandlerKey handler) { return counts_.lock()->waiting[handler]; }

std::uint64_t Spool::waiting() {
  std::uint64_t sum = 0;
  const auto counts = counts_.lock();
  for (const auto& [handler, messages] : counts->waiting) sum += messages;
  return sum;
}

std::uint64_t Spool::dead(HandlerKey handler) { return counts_.lock()->dead[handler]; }

std::map<std::string, Spool::Left> Spool::left_for_others(std::span<const std::string> names_here) {
  std::map<std::string, Left> others;
  auto counts = counts_.lock();
  for (const auto& [handler, name] : counts->names) {
    const Left left{counts->waiting[handler], counts->dead[handler]};
    if ((left.waiting > 0 || left.dead_letters > 0) &&
        std::ranges::find(names_here, name) == names_here.end())
      others[name] = left;
  }
  return others;
}

bool Spool::knows(const std::string& name) {
  const auto counts = counts_.lock();
  return std::ranges::any_of(counts->names,
                             [&](const auto& handler) { return handler.second == name; });
}

std::uint64_t Spool::forget(const std::string& name, std::uint64_t limit) {
  const auto names = counts_.lock()->names;
  const auto known =
      std::ranges::find_if(names, [&](const auto& handler) { return handler.second == name; });
  if (known == names.end()) return 0;
  const HandlerKey handler = known->first;
  std::uint64_t forgotten = 0;
  while (forgotten < limit) {
    // A few at a time, so that no append waits for long.
    const std::uint64_t few = std::min<std::uint64_t>(limit - forgotten, kForgetAtOnce);
    const std::size_t some = store_->lock_behind()->forget_some(handler, few);
    if (some == 0) break;
    forgotten += some;
    counts_.lock()->waiting[handler] -= some;
  }
  return forgotten;
}

std::vector<Spool::Unpublished> Spool::unpublished() {
  std::vector<Unpublished> all;
  try {
    auto store = store_->lock();
    sqlite::Statement rows(
        store->database(),
        "SELECT number, name, accepted_ns, qos, retain, topic, properties, payload FROM outbox "
        "JOIN handlers ON handlers.id=handler ORDER BY number");
    while (rows.step())
      all.push_back({rows.id(0), std::string(rows.bytes(1)), stored_message(rows, 2, 0, false)});
  } catch (const std::runtime_error& error) {
    unusable(file_, error.what(), kMoveAway);
  }
  return all;
}

std::map<std::string, std::string> Spool::packets(std::string_view session) {
  std::map<std::string, std::string> packets;
  try {
    auto store = store_->lock();
    sqlite::Statement rows(store->database(), "SELECT key, packet FROM packets WHERE session=?1");
    rows.bind(1, session);
    while (rows.step()) packets[std::string(rows.bytes(0))] = rows.bytes(1);
  } catch (const sqlite::Error& error) {
    unusable(file_, error.what(), kMoveAway);
  }
  return packets;
}

bool Spool::keep_packet(const PacketRecord& record) {
  try {
    store_->lock_first()->keep_packet(record);
    return true;
  } catch (const sqlite::Error& error) {
    log_failure("keep a packet of QoS 2", error);
    return false;
  }
}

bool Spool::forget_packet(std::string_view session, std::string_view key) {
  return forget_packets(session, std::array{std::string(key)}, std::nullopt);
}

bool Spool::forget_packets(std::string_view session, std::span<const std::string> keys,
                           std::optional<std::uint64_t> published) {
  try {
    auto store = store_->lock_first();
    sqlite::Transactions::One transaction(store->transactions());
    for (const std::string& key : keys) store->forget_packet(session, key);
    if (published) store->apply(Change(Published{*published}));
    transaction.commit();
    return true;
  } catch (const sqlite::Error& error) {
    log_failure("forget a packet of QoS 2", error);
    return false;
  }
}

}  // namespace fastmqttd
