#include "daemon/spool/message_log.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "daemon/spool/stored_properties.hpp"

namespace fastmqttd {
namespace {

constexpr std::array<char, 8> kMagic{'f', 'm', 'q', 'l', 'o', 'g', '0', '1'};
// Of a half: the room that is kept for settling what is in the log.
constexpr std::size_t kForSettling = 64 << 10;
// A message that would take more of it than this is no concern of a log of short-lived messages.
constexpr std::size_t kLongest = MessageLog::kHalfBytes / 8;

// All numbers are as this machine has them: the file never leaves it.
struct Head {
  std::array<char, 8> magic = kMagic;
  std::uint64_t owner = 0;
  std::uint64_t generation = 0;
  std::uint32_t salt = 0;
  std::uint32_t checksum = 0;  // of what comes before
};
static_assert(sizeof(Head) == 32 && std::is_trivially_copyable_v<Head>);

struct RecordHead {
  std::uint32_t size = 0;      // of the body
  std::uint32_t checksum = 0;  // of the body
};

enum class Kind : std::uint32_t { message = 1, done = 2 };

// Behind it: the handlers, the topic, the properties as they are in the database, the payload.
struct MessageHead {
  Kind kind = Kind::message;
  std::uint32_t handlers = 0;
  std::uint32_t topic_bytes = 0;
  std::uint32_t properties_bytes = 0;
  std::uint32_t qos = 0;
  std::uint32_t retain = 0;
  std::uint64_t id = 0;
  std::int64_t received_ns = 0;
};

// Behind it: what is done, each a Done.
struct DoneHead {
  Kind kind = Kind::done;
};

std::uint32_t checksum(std::uint32_t start, std::string_view bytes) {
  return static_cast<std::uint32_t>(::crc32(start, reinterpret_cast<const Bytef*>(bytes.data()),
                                            static_cast<uInt>(bytes.size())));
}

template <class Value>
std::string_view bytes_of(const Value& value) {
  static_assert(std::is_trivially_copyable_v<Value>);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::uint32_t checksum_of(const Head& head) {
  return checksum(0, bytes_of(head).substr(0, offsetof(Head, checksum)));
}

std::size_t size_of_record(const Message& message, std::size_t handlers) {
  std::size_t properties = 0;  // at most
  for (const fastmqtt_property& p : message.properties())
    properties += 32 + p.name.size + p.value.size;
  return sizeof(RecordHead) + sizeof(MessageHead) + handlers * sizeof(HandlerKey) +
         message.topic().size() + message.payload().size() + properties;
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Takes values from the front of some bytes; says so when there are too few.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class Value>
  bool take(Value& value) {
    if (bytes_.size() < sizeof value) return false;
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return true;
  }
  std::optional<std::string_view> bytes(std::size_t size) {
    if (bytes_.size() < size) return std::nullopt;
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
};

std::optional<Head> head_of(std::string_view half) {
  Head head;
  if (!Reader(half).take(head) || head.magic != kMagic || head.checksum != checksum_of(head))
    return std::nullopt;
  return head;
}

off_t place_of_half(std::uint64_t generation) {
  return static_cast<off_t>(generation % 2 * MessageLog::kHalfBytes);
}

}  // namespace

MessageLog::MessageLog(const std::filesystem::path& file, const Owner& owner)
    : file_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)), owner_(owner.number) {
  if (!file_) fail("open");
  if (const int error = ::posix_fallocate(file_.get(), 0, 2 * kHalfBytes); error != 0) {
    errno = error;
    fail("fallocate");
  }
  read(owner);
}

// ---- what an earlier run has left --------------------------------------------------------------

void MessageLog::read(const Owner& owner) {
  std::string bytes(2 * kHalfBytes, '\0');
  if (::pread(file_.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    fail("read");
  std::vector<std::string_view> halves;
  for (const std::uint64_t generation : {0, 1}) {
    const auto half = std::string_view(bytes).substr(
        static_cast<std::size_t>(place_of_half(generation)), kHalfBytes);
    const std::optional<Head> head = head_of(half);
    if (head && head->owner != owner_) throw Foreign("belongs to another spool.db");
    if (head) halves.push_back(half);
  }
  std::ranges::sort(halves, {}, [](std::string_view half) { return head_of(half)->generation; });
  for (const std::string_view half : halves) read_half(half, owner.moved_up_to);
  drop_settled();
  // What is written from now on must not seem to have been moved already.
  if (offset_ != 0 && end() >= owner.moved_up_to) return;
  generation_ = std::max(generation_, owner.moved_up_to >> 32);
  begin_half();
}

void MessageLog::read_half(std::string_view half, Position from) {
  const Head head = *head_of(half);
  generation_ = head.generation;
  salt_ = head.salt;
  offset_ = sizeof head;
  Reader reader(half.substr(offset_));
  for (RecordHead record; reader.take(record) && record.size > 0;) {
    const auto body = reader.bytes(record.size);
    if (!body || checksum(salt_, *body) != record.checksum) break;
    if (end() >= from) take_record(*body, end());
    offset_ += sizeof record + body->size();
  }
}

// What is whole is as it was written: no more than its end is looked for.
void MessageLog::take_record(std::string_view body, Position position) {
  Reader reader(body);
  Kind kind{};
  if (!Reader(body).take(kind)) return;
  if (kind == Kind::done) {
    static_cast<void>(reader.bytes(sizeof(DoneHead)));
    for (Done one; reader.take(one);) done(one.message, one.handler);
    return;
  }
  MessageHead head;
  if (kind != Kind::message || !reader.take(head)) return;
  Entry entry{head.id, position, nullptr, {}};
  for (HandlerKey handler = 0; entry.handlers.size() < head.handlers && reader.take(handler);)
    entry.handlers.push_back(handler);
  const auto topic = reader.bytes(head.topic_bytes);
  const auto properties = reader.bytes(head.properties_bytes);
  if (!topic || !properties) return;
  const StoredProperties list(*properties);
  entry.message = std::make_shared<const Message>(Message::Parts{.topic = *topic,
                                                                 .payload = reader.rest(),
                                                                 .qos = static_cast<int>(head.qos),
                                                                 .retain = head.retain != 0,
                                                                 .dup = true,
                                                                 .received_ns = head.received_ns,
                                                                 .id = head.id,
                                                                 .properties = list.list()});
  bytes_ += size_of_record(*entry.message, 0);
  entries_.push_back(std::move(entry));
}

// ---- what is written ---------------------------------------------------------------------------

bool MessageLog::suits(const Message& message) { return size_of_record(message, 0) <= kLongest; }

bool MessageLog::has_room(const Message& message, std::size_t handlers) const {
  const std::size_t size = size_of_record(message, handlers);
  return offset_ + size + kForSettling <= kHalfBytes || may_begin_half();
}

// The next half takes the place of the one before this: nothing may wait there.
bool MessageLog::may_begin_half() const {
  const auto* const first = !leaving_.empty()   ? &leaving_.front()
                            : !entries_.empty() ? &entries_.front()
                                                : nullptr;
  return !first || first->position >= begin_of_half();
}

void MessageLog::begin_half() {
  Head head;
  head.owner = owner_;
  head.generation = generation_ + 1;
  if (::getrandom(&head.salt, sizeof head.salt, 0) != sizeof head.salt) fail("getrandom");
  head.checksum = checksum_of(head);
  const std::string_view bytes = bytes_of(head);
  if (::pwrite(file_.get(), bytes.data(), bytes.size(), place_of_half(head.generation)) !=
      static_cast<ssize_t>(bytes.size()))
    fail("write");
  generation_ = head.generation;
  salt_ = head.salt;
  offset_ = sizeof head;
}

void MessageLog::append(const MessagePtr& message, std::span<const HandlerKey> handlers) {
  const std::string properties = store_properties(message->properties());
  MessageHead head;
  head.handlers = static_cast<std::uint32_t>(handlers.size());
  head.topic_bytes = static_cast<std::uint32_t>(message->topic().size());
  head.properties_bytes = static_cast<std::uint32_t>(properties.size());
  head.qos = static_cast<std::uint32_t>(message->qos());
  head.retain = message->retain();
  head.id = message->id();
  head.received_ns = message->received_ns();
  begin_record();
  record_.append(bytes_of(head));
  for (const HandlerKey handler : handlers) record_.append(bytes_of(handler));
  record_.append(message->topic()).append(properties).append(message->payload());
  if (offset_ + record_.size() + kForSettling > kHalfBytes) begin_half();
  const Position position = end();
  write_record();
  entries_.push_back({message->id(), position, message, {handlers.begin(), handlers.end()}});
  bytes_ += size_of_record(*message, 0);
}

void MessageLog::settle(std::vector<Done>& list) {
  begin_record();
  record_.append(bytes_of(DoneHead()));
  const auto ours = std::ranges::stable_partition(list, [this](const Done& one) {
    const Entry* const entry = find(one.message);
    return !entry || std::ranges::find(entry->handlers, one.handler) == entry->handlers.end();
  });
  if (ours.empty()) return;
  for (const Done& one : ours) record_.append(bytes_of(one));
  if (offset_ + record_.size() > kHalfBytes) {
    if (!may_begin_half()) return leave_all();  // the database is to settle them
    begin_half();
  }
  write_record();
  for (const Done& one : ours) done(one.message, one.handler);
  drop_settled();
  list.erase(ours.begin(), ours.end());
}

void MessageLog::begin_record() { record_.assign(sizeof(RecordHead), '\0'); }

// With its head, which was left open.
void MessageLog::write_record() {
  const std::string_view body = std::string_view(record_).substr(sizeof(RecordHead));
  const RecordHead head{static_cast<std::uint32_t>(body.size()), checksum(salt_, body)};
  std::memcpy(record_.data(), &head, sizeof head);
  const off_t place = place_of_half(generation_) + static_cast<off_t>(offset_);
  ssize_t written = 0;
  do {
    written = ::pwrite(file_.get(), record_.data(), record_.size(), place);
  } while (written < 0 && errno == EINTR);
  if (written != static_cast<ssize_t>(record_.size())) {
    if (written >= 0) errno = ENOSPC;
    fail("write");
  }
  offset_ += record_.size();
}

// ---- what waits --------------------------------------------------------------------------------

MessageLog::Entry* MessageLog::find(std::uint64_t id) {
  const auto found = std::ranges::lower_bound(entries_, id, {}, &Entry::id);
  return found != entries_.end() && found->id == id ? &*found : nullptr;
}

void MessageLog::done(std::uint64_t id, HandlerKey handler) {
  Entry* const entry = find(id);
  if (!entry || std::erase(entry->handlers, handler) == 0 || !entry->handlers.empty()) return;
  bytes_ -= size_of_record(*entry->message, 0);
  entry->message = nullptr;
}

void MessageLog::drop_settled() {
  while (!entries_.empty() && !entries_.front().message) entries_.pop_front();
}

void MessageLog::leave(Position up_to) {
  for (; !entries_.empty() && entries_.front().position < up_to; entries_.pop_front())
    if (entries_.front().message) leaving_.push_back(std::move(entries_.front()));
  left_up_to_ = std::max(left_up_to_, up_to);
}

void MessageLog::leave_what_is_old() {
  if (offset_ > kHalfBytes / 2 && !may_begin_half()) leave(begin_of_half());
}

void MessageLog::moved(Position up_to) {
  for (; !leaving_.empty() && leaving_.front().position < up_to; leaving_.pop_front())
    bytes_ -= size_of_record(*leaving_.front().message, 0);
}

std::vector<MessagePtr> MessageLog::waiting(HandlerKey handler, std::uint64_t after,
                                            std::size_t most) const {
  std::vector<MessagePtr> found;
  for (const auto* entries : {&leaving_, &entries_})
    for (auto at = std::ranges::upper_bound(*entries, after, {}, &Entry::id);
         at != entries->end() && found.size() < most; ++at)
      if (std::ranges::find(at->handlers, handler) != at->handlers.end())
        found.push_back(at->message);
  return found;
}

std::uint64_t MessageLog::newest() const {
  if (!entries_.empty()) return entries_.back().id;
  return leaving_.empty() ? 0 : leaving_.back().id;
}

MessagePtr MessageLog::one(HandlerKey handler, std::uint64_t id) const {
  const std::vector<MessagePtr> found = waiting(handler, id - 1, 1);
  return !found.empty() && found.front()->id() == id ? found.front() : nullptr;
}

}  // namespace fastmqttd
