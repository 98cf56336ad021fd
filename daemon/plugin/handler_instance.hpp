// One running instance of a handler, and the host table that it sees.
//
// Owns the plugin's object: made by create(), destroyed with this one.  Calls into the instance are
// made by one thread at a time (its lane); what the instance asks for through the host table comes
// from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/base/units.hpp"
#include "daemon/config/config.hpp"
#include "daemon/message/message.hpp"
#include "daemon/plugin/handler_counters.hpp"
#include "daemon/plugin/handler_library.hpp"
#include "daemon/plugin/used_files.hpp"
#include "fastmqtt/handler.h"

namespace fastmqttd {

// The argument of the host's wake_at() as a time: 0 is now, INT64_MAX never.
inline std::optional<TimePoint> alarm_time(std::int64_t when_ns) {
  if (when_ns == std::numeric_limits<std::int64_t>::max()) return std::nullopt;
  if (when_ns == 0) return Clock::now();
  return TimePoint(std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(when_ns)));
}

// What a handler asks of its lane.  Any thread; never blocks on a handler.
class HandlerRequests {
 public:
  virtual ~HandlerRequests() = default;
  virtual void complete(std::uint64_t delivery_id, fastmqtt_result result) = 0;
  virtual void wake_at(std::int64_t when_ns) = 0;  // see alarm_time()
  virtual bool publish(MessagePtr message) = 0;    // well-formed; false when there is no room
  // It has logged a warning or an error, perhaps about a message on that topic.
  virtual void said(std::string_view topic, std::string_view text) = 0;
};

class HandlerInstance {
 public:
  // Runs the plugin's create().  Throws StartError with all that is wrong: unknown options, what
  // the plugin said through config_error, or that it failed.  All must outlive the instance.
  HandlerInstance(const HandlerLibrary& library, const HandlerConfig& config,
                  HandlerCounters& counters, HandlerRequests& requests);
  HandlerInstance(const HandlerInstance&) = delete;
  HandlerInstance& operator=(const HandlerInstance&) = delete;
  ~HandlerInstance();

  // Whether it wants several messages in one call.
  bool takes_batches() const { return (library_.handler->flags & FASTMQTT_BATCHES) != 0; }
  // What it has named in create().
  const UsedFiles& used_files() const { return used_files_; }
  // [turn] results[i] answers messages[i].  An exception that gets through the plugin's own glue is
  // logged and answers retry.
  void on_messages(const fastmqtt_message* const* messages, std::size_t count,
                   fastmqtt_result* results) noexcept;
  // [turn]
  void on_wake() noexcept;

 private:
  // The C table with the way back to this object behind it.
  struct Host {
    fastmqtt_host table{};
    HandlerInstance* instance = nullptr;
  };
  static HandlerInstance& self(const fastmqtt_host* host);

  void fill_host_table();
  void follow_log_level();
  template <class Call>
  bool guard(const fastmqtt_message* about, Call&& call) noexcept;
  // Whether this is the thread of create(), within it.
  bool in_create() const { return creating_ && std::this_thread::get_id() == creator_; }
  void check_option_names(std::vector<Problem>& problems) const;
  void log(std::int32_t level, std::string_view text, const fastmqtt_message* about,
           std::span<const fastmqtt_field> own_fields = {});
  fastmqtt_result publish(const fastmqtt_message* message) noexcept;
  void wake_at(std::int64_t when_ns);
  fastmqtt_view config(std::string_view path) const;
  std::int32_t config_kind(std::string_view path, std::size_t* members) const;
  fastmqtt_view config_name(std::string_view path, std::size_t member) const;
  void config_error(std::string_view path, std::string_view what);
  void destroy() noexcept;
  std::uint32_t add_counter(const char* name);
  void uses_file(const char* path);

  const HandlerLibrary& library_;
  const HandlerConfig& config_;
  HandlerCounters& counters_;
  HandlerRequests& requests_;
  Host host_;
  void* object_ = nullptr;
  std::atomic<bool> creating_{true};
  std::atomic<bool> woken_in_vain_{false};  // and said so
  std::uint64_t levels_seen_ = 0;           // what the table's log_level is of; the turn's
  const std::thread::id creator_ = std::this_thread::get_id();
  std::vector<Problem> problems_;  // while creating; the creator's
  UsedFiles used_files_;           // likewise
  std::string last_error_;         // likewise: why, when create() says it by a log line
};

}  // namespace fastmqttd
