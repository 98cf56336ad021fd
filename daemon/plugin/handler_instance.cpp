#include "daemon/plugin/handler_instance.hpp"

#include <algorithm>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/base/nearest.hpp"
#include "daemon/base/units.hpp"
#include "daemon/message/publication.hpp"
#include "daemon/message/view.hpp"
#include "daemon/plugin/handler_call.hpp"

namespace fastmqttd {
namespace {

log::Level to_level(std::int32_t level) {
  if (level <= FASTMQTT_DEBUG) return log::Level::debug;
  if (level == FASTMQTT_INFO) return log::Level::info;
  return level == FASTMQTT_WARNING ? log::Level::warning : log::Level::error;
}

std::int32_t lowest_level_of(const std::string& handler) {
  const log::Level least = log::level_of(handler);
  for (std::int32_t level = FASTMQTT_DEBUG; level < FASTMQTT_ERROR; ++level)
    if (to_level(level) >= least) return level;
  return FASTMQTT_ERROR;
}

bool is_counter_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == name.npos;
}

}  // namespace

HandlerInstance::HandlerInstance(const HandlerLibrary& library, const HandlerConfig& config,
                                 HandlerCounters& counters, HandlerRequests& requests)
    : library_(library), config_(config), counters_(counters), requests_(requests) {
  check_option_names(problems_);
  const bool names_known = problems_.empty();
  fill_host_table();
  {
    // With unknown options too: what it says of the others belongs into the same report.
    const HandlerCall call(config.name.c_str(), HandlerCall::Kind::starting);
    try {
      object_ = library.handler->create(&host_.table);
    } catch (const std::exception& e) {  // a plugin without the glue, on our own runtime
      last_error_ = e.what();
    } catch (...) {
      last_error_ = "unknown exception";
    }
  }
  if (!object_ && (problems_.empty() || (!names_known && !last_error_.empty())))
    problems_.push_back(
        {config.place.file.empty() ? Place{library.path, 0, 0} : Place(config.place),
         "handlers." + config.name, "the handler does not start",
         last_error_.empty() ? "it gave no reason" : last_error_, false});
  if (object_ && !problems_.empty()) destroy();
  if (!problems_.empty()) throw StartError(problems_);
  creating_ = false;
  if (!last_error_.empty()) log(FASTMQTT_ERROR, last_error_, nullptr);  // it started all the same
}

HandlerInstance::~HandlerInstance() {
  if (object_) destroy();
}

void HandlerInstance::destroy() noexcept {
  const HandlerCall call(config_.name.c_str());
  guard(nullptr, [this] { library_.handler->destroy(object_); });
}

// What a plugin without the glue throws ends here.  False when it did.
template <class Call>
bool HandlerInstance::guard(const fastmqtt_message* about, Call&& call) noexcept {
  try {
    call();
    return true;
  } catch (const std::exception& e) {
    log(FASTMQTT_ERROR, std::string("exception: ") + e.what(), about);
  } catch (...) {
    log(FASTMQTT_ERROR, "unknown exception", about);
  }
  return false;
}

void HandlerInstance::on_messages(const fastmqtt_message* const* messages, std::size_t count,
                                  fastmqtt_result* results) noexcept {
  const HandlerCall call(config_.name.c_str());
  follow_log_level();
  std::fill_n(results, count, static_cast<fastmqtt_result>(FASTMQTT_OK));
  const bool done =
      guard(messages[0], [&] { library_.handler->on_messages(object_, messages, count, results); });
  if (!done) std::fill_n(results, count, static_cast<fastmqtt_result>(FASTMQTT_RETRY));
}

void HandlerInstance::on_wake() noexcept {
  if (!library_.handler->on_wake) return;
  const HandlerCall call(config_.name.c_str());
  follow_log_level();
  guard(nullptr, [this] { library_.handler->on_wake(object_); });
}

HandlerInstance& HandlerInstance::self(const fastmqtt_host* host) {
  // The table is the first member of Host, and the plugin got its address from us.
  return *reinterpret_cast<const Host*>(host)->instance;
}

// Its threads may be reading it.
void HandlerInstance::follow_log_level() {
  const std::uint64_t now = log::levels_changed();
  if (std::exchange(levels_seen_, now) != now || host_.table.log_level == 0)
    __atomic_store_n(&host_.table.log_level, lowest_level_of(config_.name), __ATOMIC_RELAXED);
}

void HandlerInstance::fill_host_table() {
  host_.instance = this;
  fastmqtt_host& table = host_.table;
  table.size = sizeof table;
  follow_log_level();
  table.name = config_.name.c_str();
  table.log = [](const fastmqtt_host* host, std::int32_t level, fastmqtt_view text) {
    self(host).log(level, text_of(text), nullptr);
  };
  table.log_message = [](const fastmqtt_host* host, std::int32_t level, fastmqtt_view text,
                         const fastmqtt_message* about) {
    self(host).log(level, text_of(text), about);
  };
  table.log_fields = [](const fastmqtt_host* host, std::int32_t level, fastmqtt_view text,
                        const fastmqtt_message* about, const fastmqtt_field* fields,
                        std::size_t count) {
    self(host).log(level, text_of(text), about, std::span(fields, count));
  };
  table.publish = [](const fastmqtt_host* host, const fastmqtt_message* message) {
    return self(host).publish(message);
  };
  table.complete = [](const fastmqtt_host* host, std::uint64_t id, fastmqtt_result result) {
    self(host).requests_.complete(id, result);
  };
  table.now_ns = [](const fastmqtt_host*) -> std::int64_t {
    return std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
  };
  table.wake_at = [](const fastmqtt_host* host, std::int64_t when_ns) {
    self(host).wake_at(when_ns);
  };
  table.config = [](const fastmqtt_host* host, const char* path) {
    return self(host).config(path);
  };
  table.config_kind = [](const fastmqtt_host* host, const char* path, std::size_t* members) {
    return self(host).config_kind(path, members);
  };
  table.config_name = [](const fastmqtt_host* host, const char* path, std::size_t member) {
    return self(host).config_name(path, member);
  };
  table.config_error = [](const fastmqtt_host* host, const char* path, fastmqtt_view what) {
    self(host).config_error(path, text_of(what));
  };
  table.counter = [](const fastmqtt_host* host, const char* name) {
    return self(host).add_counter(name);
  };
  table.count = [](const fastmqtt_host* host, std::uint32_t counter, std::uint64_t by) {
    self(host).counters_.count(counter, by);
  };
  table.uses_file = [](const fastmqtt_host* host, const char* path) { self(host).uses_file(path); };
}

void HandlerInstance::check_option_names(std::vector<Problem>& problems) const {
  if (!library_.names_options) return;
  for (const HandlerOptions::Entry* entry : config_.options.top()) {
    if (std::ranges::find(library_.options, entry->path) != library_.options.end()) continue;
    std::string expected = "the handler '" + library_.name + "' ";
    if (library_.options.empty()) {
      expected += "has no options";
    } else {
      expected += "knows ";
      for (std::size_t i = 0; i < library_.options.size(); ++i)
        expected += (i ? ", " : "") + library_.options[i];
    }
    if (const std::string near = nearest(entry->path, library_.options); !near.empty())
      expected = "did you mean '" + near + "'? " + expected;
    problems.push_back({entry->key_place, "handlers." + config_.name + ".options." + entry->path,
                        "unknown option", expected, false});
  }
}

void HandlerInstance::log(std::int32_t level, std::string_view text, const fastmqtt_message* about,
                          std::span<const fastmqtt_field> own_fields) {
  if (level >= FASTMQTT_ERROR && in_create()) {
    last_error_ = text;  // becomes part of the report when create() fails
    return;
  }
  if (level >= FASTMQTT_WARNING)
    requests_.said(about ? text_of(about->topic) : std::string_view(), text);
  std::string line = config_.name + ": ";
  std::vector<log::Field> fields{{"MQTT_HANDLER", config_.name}, {"MQTT_PLUGIN", library_.name}};
  std::string qos, attempt;
  if (about) {
    line += log::shown_topic(text_of(about->topic)) + ": ";
    qos = std::to_string(about->qos);
    attempt = std::to_string(FASTMQTT_HAS(fastmqtt_message, about, attempt) ? about->attempt : 0);
    fields.push_back({"MQTT_TOPIC", text_of(about->topic)});
    fields.push_back({"MQTT_QOS", qos});
    fields.push_back({"MQTT_ATTEMPT", attempt});
  }
  for (const fastmqtt_field& field : own_fields)
    if (fastmqtt_is_field_name(field.name))
      fields.push_back({text_of(field.name), text_of(field.value)});
  log::write(to_level(level), line + std::string(text), fields);
}

fastmqtt_result HandlerInstance::publish(const fastmqtt_message* message) noexcept {
  try {
    const std::string error = message ? publication_error(*message) : "there is no message";
    if (error.empty())
      return requests_.publish(copy_publication(*message)) ? FASTMQTT_OK : FASTMQTT_RETRY;
    const bool named =
        message && message->topic.data && FASTMQTT_HAS(fastmqtt_message, message, topic);
    const std::string topic = named ? log::shown_topic(text_of(message->topic)) : "no topic";
    log(FASTMQTT_WARNING, "cannot publish to " + topic + ": " + error, nullptr);
    return FASTMQTT_REJECT;
  } catch (const std::exception& e) {  // out of memory: perhaps not for ever
    log(FASTMQTT_WARNING, std::string("cannot publish: ") + e.what(), nullptr);
    return FASTMQTT_RETRY;
  }
}

void HandlerInstance::wake_at(std::int64_t when_ns) {
  if (library_.handler->on_wake)
    requests_.wake_at(when_ns);
  else if (!woken_in_vain_.exchange(true))
    log(FASTMQTT_WARNING, "asks to be woken, but has no on_wake, ignoring", nullptr);
}

fastmqtt_view HandlerInstance::config(std::string_view path) const {
  const HandlerOptions::Entry* entry = config_.options.find(path);
  return entry ? fastmqtt_view{entry->text.data(), entry->text.size()} : fastmqtt_view{};
}

std::int32_t HandlerInstance::config_kind(std::string_view path, std::size_t* members) const {
  const HandlerOptions::Entry* entry = config_.options.find(path);
  if (members) *members = entry ? entry->members.size() : 0;
  if (!entry) return FASTMQTT_ABSENT;
  if (entry->scalar) return FASTMQTT_SCALAR;
  return entry->list ? FASTMQTT_LIST : FASTMQTT_MAP;
}

fastmqtt_view HandlerInstance::config_name(std::string_view path, std::size_t member) const {
  const HandlerOptions::Entry* entry = config_.options.find(path);
  if (!entry || member >= entry->members.size()) return {};
  return {entry->members[member].data(), entry->members[member].size()};
}

void HandlerInstance::config_error(std::string_view path, std::string_view what) {
  if (!in_create()) {
    log(FASTMQTT_ERROR, "option " + std::string(path) + ": " + std::string(what), nullptr);
    return;
  }
  const HandlerOptions::Entry* entry = config_.options.find(path);
  Place place = entry ? entry->place : config_.place;
  if (place.file.empty()) place.file = library_.path;
  problems_.push_back({place, "handlers." + config_.name + ".options." + std::string(path),
                       entry && entry->scalar ? "'" + entry->shown + "' will not do"
                       : entry                ? "will not do"
                                              : "is missing",
                       std::string(what), false});
}

// Later it would be compared with what the handler has never seen.
void HandlerInstance::uses_file(const char* path) {
  if (in_create()) return used_files_.add(path);
  log(FASTMQTT_WARNING, std::string("names the file ") + path + " too late, ignoring", nullptr);
}

std::uint32_t HandlerInstance::add_counter(const char* name) {
  if (!is_counter_name(name)) {
    log(FASTMQTT_WARNING,
        fmt::format("'{}' is no name for a counter: 1 to 64 of a-z, 0-9 and '_', ignoring", name),
        nullptr);
    return HandlerCounters::kMost;  // count() ignores it
  }
  if (const auto number = counters_.add(name)) return *number;
  log(FASTMQTT_WARNING,
      fmt::format("counter '{}' is one too many of {}, ignoring", name, HandlerCounters::kMost),
      nullptr);
  return HandlerCounters::kMost;
}

}  // namespace fastmqttd
