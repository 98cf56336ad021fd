// fastmqtt/handler.hpp - a handler in C++20.  Header-only glue over fastmqtt/handler.h.
//
// A handler is any class that has
//     explicit Handler(fastmqtt::Host host);             may throw: then it does not start
//     fastmqtt::Result on_message(const fastmqtt::Message&);   one at a time, or
//     void on_messages(fastmqtt::Batch);                       all that are waiting
// and, if it wants them,
//     void on_wake();                                    the alarm of Host::wake_at
//     static constexpr const char* options[] = {...};    the names of its options
//
// Declare it once, outside of any namespace (the class itself may well stand in an unnamed one):
//     FASTMQTT_HANDLER(Thermostat, "thermostat", "1.0", 0, "home/+/temperature");
//
// Calls into one instance never overlap, so a handler needs no locks of its own.  Throwing is fine:
// nothing leaves this file; what on_message throws is logged and answered with retry.
// Views and pointers that a call is given are good until it returns; where [any thread] stands, a
// function may be called from any, until the destructor has returned.
// See fastmqtt-handler(7).
#pragma once

#if __cplusplus < 202002L
#error "fastmqtt/handler.hpp needs C++20: compile with -std=c++20"
#else

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fastmqtt/handler.h"
#include "fastmqtt/option_types.hpp"

namespace fastmqtt {

enum class Result : fastmqtt_result {
  ok = FASTMQTT_OK,
  retry = FASTMQTT_RETRY,
  reject = FASTMQTT_REJECT,
  pending = FASTMQTT_PENDING
};
enum class Level : std::int32_t {
  debug = FASTMQTT_DEBUG,
  info = FASTMQTT_INFO,
  warning = FASTMQTT_WARNING,
  error = FASTMQTT_ERROR
};

inline std::string_view to_string_view(fastmqtt_view v) { return {v.data, v.data ? v.size : 0}; }
inline fastmqtt_view to_view(std::string_view text) { return {text.data(), text.size()}; }

// What goes with a message that is published, for MQTT 5; of each kind but user properties the
// latest counts.  It keeps copies.
//     Properties().content_type("application/json").expires_in(60s).user("unit", "C")
class Properties {
 public:
  Properties& payload_is_text() { return set({FASTMQTT_PAYLOAD_FORMAT_INDICATOR, 1, {}, {}}); }
  // At most 2^32-1 seconds; negative ones are none.
  Properties& expires_in(std::chrono::seconds after) {
    const auto seconds = std::clamp<std::int64_t>(after.count(), 0, UINT32_MAX);
    return set({FASTMQTT_MESSAGE_EXPIRY_INTERVAL, static_cast<std::uint32_t>(seconds), {}, {}});
  }
  Properties& content_type(std::string_view type) { return text(FASTMQTT_CONTENT_TYPE, type); }
  Properties& response_topic(std::string_view topic) {
    return text(FASTMQTT_RESPONSE_TOPIC, topic);
  }
  Properties& correlation_data(std::string_view bytes) {
    return text(FASTMQTT_CORRELATION_DATA, bytes);
  }
  Properties& user(std::string_view name, std::string_view value) {
    return set({FASTMQTT_USER_PROPERTY, 0, std::string(name), std::string(value)});
  }
  // As it came with a message, for handing it on.
  Properties& add(const fastmqtt_property& property) {
    return set({property.id, property.number, std::string(to_string_view(property.name)),
                std::string(to_string_view(property.value))});
  }

  // Good as long as this object is not changed.
  std::vector<fastmqtt_property> list() const {
    std::vector<fastmqtt_property> views;
    for (const Property& p : properties_)
      views.push_back({p.id, p.number, p.name.empty() ? fastmqtt_view{} : to_view(p.name),
                       p.value.empty() ? fastmqtt_view{} : to_view(p.value)});
    return views;
  }

 private:
  struct Property {
    std::uint32_t id;
    std::uint32_t number;
    std::string name;
    std::string value;
  };

  Properties& text(std::uint32_t id, std::string_view value) {
    return set({id, 0, {}, std::string(value)});
  }
  Properties& set(Property property) {
    if (property.id != FASTMQTT_USER_PROPERTY)
      std::erase_if(properties_, [&](const Property& p) { return p.id == property.id; });
    properties_.push_back(std::move(property));
    return *this;
  }

  std::vector<Property> properties_;
};

// A field of a line in the journal, see fastmqtt_field: journalctl NAME=value.
struct Field {
  std::string name;
  std::string value;
};

struct PublishOptions {
  int qos = 1;
  bool retain = false;
  Properties properties = {};
};

// A borrowed message: readable inside the call, and after `pending` until Host::complete is called
// for it, however late.
class Message {
 public:
  explicit Message(const fastmqtt_message* raw) : raw_(raw) {}

  std::string_view topic() const { return to_string_view(raw_->topic); }
  std::string_view payload() const { return to_string_view(raw_->payload); }
  // The whole payload as a decimal number; nothing when it is none, or not finite.
  std::optional<double> number() const { return detail::to_number(payload()); }
  int qos() const { return raw_->qos; }
  bool retained() const { return raw_->retain != 0; }
  bool dup() const { return raw_->dup != 0; }
  // This delivery, for Host::complete; another one at each attempt.
  std::uint64_t id() const { return raw_->id; }
  // The message itself: the same at each attempt and for every handler.
  std::uint64_t message_id() const { return raw_->message_id; }
  // 1 for the first time.
  unsigned attempt() const { return raw_->attempt; }
  // On the clock of Host::now: a `pending` message without an answer by then gets `retry`; zero
  // when there is no limit.
  std::chrono::nanoseconds deadline() const { return std::chrono::nanoseconds(raw_->deadline_ns); }
  std::chrono::system_clock::time_point received() const {
    return std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(raw_->received_ns)));
  }

  std::span<const fastmqtt_property> properties() const {
    return {raw_->properties, raw_->property_count};
  }
  // The first property of that identifier (FASTMQTT_CONTENT_TYPE ...), or null.
  const fastmqtt_property* property(std::uint32_t identifier) const {
    for (const fastmqtt_property& p : properties())
      if (p.id == identifier) return &p;
    return nullptr;
  }
  std::optional<std::string_view> user_property(std::string_view name) const {
    for (const fastmqtt_property& p : properties())
      if (p.id == FASTMQTT_USER_PROPERTY && to_string_view(p.name) == name)
        return to_string_view(p.value);
    return std::nullopt;
  }
  std::optional<std::string_view> content_type() const { return text(FASTMQTT_CONTENT_TYPE); }
  // Where an answer is wanted (MQTT 5.0 section 4.10), see Host::reply.
  std::optional<std::string_view> response_topic() const { return text(FASTMQTT_RESPONSE_TOPIC); }
  std::optional<std::string_view> correlation_data() const {
    return text(FASTMQTT_CORRELATION_DATA);
  }

  const fastmqtt_message* raw() const { return raw_; }

 private:
  std::optional<std::string_view> text(std::uint32_t identifier) const {
    const fastmqtt_property* found = property(identifier);
    return found ? std::optional(to_string_view(found->value)) : std::nullopt;
  }

  const fastmqtt_message* raw_;
};

// What is waiting, in order of arrival.  Every answer starts as ok: what is not done with needs
// another one.
class Batch {
 public:
  class Iterator {
   public:
    explicit Iterator(const fastmqtt_message* const* at) : at_(at) {}
    Message operator*() const { return Message(*at_); }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    const fastmqtt_message* const* at_;
  };

  Batch(const fastmqtt_message* const* messages, std::size_t size, fastmqtt_result* results)
      : messages_(messages), size_(size), results_(results) {}

  std::size_t size() const { return size_; }
  Iterator begin() const { return Iterator(messages_); }
  Iterator end() const { return Iterator(messages_ + size_); }
  Message operator[](std::size_t i) const { return Message(messages_[i]); }
  void answer(std::size_t i, Result result) { results_[i] = static_cast<fastmqtt_result>(result); }
  void answer_all(Result result) {
    std::fill_n(results_, size_, static_cast<fastmqtt_result>(result));
  }

 private:
  const fastmqtt_message* const* messages_;
  std::size_t size_;
  fastmqtt_result* results_;
};

// Adds to what the daemon shows of the handler; made by Host::counter.
class Counter {
 public:
  Counter(const fastmqtt_host* raw, std::uint32_t number) : raw_(raw), number_(number) {}
  // [any thread]
  void add(std::uint64_t by = 1) const { raw_->count(raw_, number_, by); }

 private:
  const fastmqtt_host* raw_;
  std::uint32_t number_;
};

// The daemon, as one instance sees it.  Cheap to copy.
class Host {
 public:
  explicit Host(const fastmqtt_host* raw) : raw_(raw) {}

  // Of the instance, as the configuration calls it.
  std::string_view name() const { return raw_->name; }

  // [any thread]
  void log(Level level, std::string_view text) const {
    if (logs(level)) raw_->log(raw_, static_cast<std::int32_t>(level), to_view(text));
  }
  // The same about one message: its topic comes before the text, and its topic, QoS and attempt
  // into journal fields.
  void log(Level level, std::string_view text, const Message& about) const {
    if (logs(level))
      raw_->log_message(raw_, static_cast<std::int32_t>(level), to_view(text), about.raw());
  }
  // The same with fields of the handler's own; an older daemon leaves them out.
  void log(Level level, std::string_view text, const Message& about,
           std::span<const Field> fields) const {
    if (!logs(level)) return;
    if (!FASTMQTT_HAS(fastmqtt_host, raw_, log_fields)) return log(level, text, about);
    std::vector<fastmqtt_field> views;
    for (const Field& field : fields) views.push_back({to_view(field.name), to_view(field.value)});
    raw_->log_fields(raw_, static_cast<std::int32_t>(level), to_view(text), about.raw(),
                     views.data(), views.size());
  }
  // Whether a line of this level would be kept.
  bool logs(Level level) const {
    return static_cast<std::int32_t>(level) >= __atomic_load_n(&raw_->log_level, __ATOMIC_RELAXED);
  }

  // [any thread] Puts a message on its way to the broker, without waiting for that: `ok`; `retry`
  // while too many of this handler's are on their way, or the disk takes nothing; `reject` when it
  // is malformed, which is logged.  With QoS 1 and 2 it outlives the daemon: what is published in a
  // call with a message is written together with the answer.  Properties go out with MQTT 5 only.
  Result publish(std::string_view topic, std::string_view payload,
                 const PublishOptions& options = {}) const {
    const std::vector<fastmqtt_property> properties = options.properties.list();
    fastmqtt_message message{};
    message.size = sizeof message;
    // What does not fit in its field must not turn into a valid value.
    message.qos = static_cast<std::uint8_t>(options.qos >= 0 && options.qos <= 2 ? options.qos : 3);
    message.retain = options.retain ? 1 : 0;
    message.topic = to_view(topic);
    message.payload = to_view(payload);
    message.properties = properties.data();
    message.property_count = properties.size();
    return static_cast<Result>(raw_->publish(raw_, &message));
  }
  // [any thread] Answers a request (MQTT 5.0 section 4.10): publishes to its response topic, with
  // its correlation data.  `reject` when it names no response topic.
  Result reply(const Message& request, std::string_view payload,
               PublishOptions options = {}) const {
    const auto topic = request.response_topic();
    if (!topic) return Result::reject;
    if (const auto data = request.correlation_data()) options.properties.correlation_data(*data);
    return publish(*topic, payload, options);
  }

  // [any thread] Answers a delivery that got `pending`, once.
  void complete(std::uint64_t id, Result result) const {
    raw_->complete(raw_, id, static_cast<fastmqtt_result>(result));
  }

  // [any thread] A monotonic clock; the one that wake_at goes by.
  std::chrono::nanoseconds now() const { return std::chrono::nanoseconds(raw_->now_ns(raw_)); }
  // [any thread] on_wake() at that time of now(), nanoseconds::max() for never; one alarm, the
  // latest request counts.
  void wake_at(std::chrono::nanoseconds when) const { raw_->wake_at(raw_, when.count()); }
  // [any thread] on_wake() as soon as the handler's thread is free.
  void wake() const { raw_->wake_at(raw_, 0); }

  // ---- options, in the handler's turn; "a.b" is b within a ------------------------------------
  // These throw OptionError, which names the option, when it has another form than T or lies
  // outside of least..most.  T: a number, bool, std::string, a duration of std::chrono, or Bytes.

  template <detail::Option T>
  T option(const std::string& path, T fallback) const {
    if constexpr (detail::Ranged<T>)
      return option(path, fallback, detail::OptionType<T>::kLeast, detail::OptionType<T>::kMost);
    const auto text = scalar(path);
    return text ? detail::read_option<T>(path, *text) : std::move(fallback);
  }
  std::string option(const std::string& path, const char* fallback) const {
    return option(path, std::string(fallback));
  }
  template <detail::Ranged T>
  T option(const std::string& path, T fallback, std::type_identity_t<T> least,
           std::type_identity_t<T> most = detail::OptionType<T>::kMost) const {
    const auto text = scalar(path);
    return text ? detail::read_option<T>(path, *text, least, most) : fallback;
  }
  // One of several words: option("format", Format::json, {{"json", Format::json}, ...})
  template <class T>
  T option(const std::string& path, T fallback,
           std::initializer_list<std::pair<const char*, T> > words) const {
    const auto text = scalar(path);
    if (!text) return fallback;
    std::string expected;
    for (const auto& [word, value] : words) {
      if (*text == word) return value;
      expected += (expected.empty() ? "expected one of " : ", ") + std::string(word);
    }
    throw OptionError(path, expected);
  }
  // The names in a map, "0", "1" ... in a list; the member is at "path.name".  Empty when absent.
  std::vector<std::string> members(const std::string& path) const {
    std::size_t count = 0;
    raw_->config_kind(raw_, path.c_str(), &count);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i)
      names.emplace_back(to_string_view(raw_->config_name(raw_, path.c_str(), i)));
    return names;
  }
  // The same for what has no default.
  template <detail::Option T>
  T required(const std::string& path) const {
    check_present(path, detail::OptionType<T>::kExpected);
    return option(path, T{});
  }
  template <detail::Ranged T>
  T required(const std::string& path, std::type_identity_t<T> least,
             std::type_identity_t<T> most = detail::OptionType<T>::kMost) const {
    check_present(path, detail::OptionType<T>::kExpected);
    return option(path, T{}, least, most);
  }
  template <class T>
  T required(const std::string& path,
             std::initializer_list<std::pair<const char*, T> > words) const {
    check_present(path, "expected a word");
    return option(path, T{}, words);
  }
  // The texts of a list; a single one may stand there without brackets.  Empty when absent.
  std::vector<std::string> list(const std::string& path) const {
    std::vector<std::string> items;
    std::size_t count = 0;
    switch (raw_->config_kind(raw_, path.c_str(), &count)) {
      case FASTMQTT_ABSENT: break;
      case FASTMQTT_SCALAR: items.push_back(option(path, "")); break;
      case FASTMQTT_LIST:
        for (std::size_t i = 0; i < count; ++i)
          items.push_back(required<std::string>(path + "." + std::to_string(i)));
        break;
      default: throw OptionError(path, "expected a list");
    }
    return items;
  }
  // Names and texts of a map, in their order.  Empty when absent.
  std::vector<std::pair<std::string, std::string> > map(const std::string& path) const {
    const std::int32_t kind = raw_->config_kind(raw_, path.c_str(), nullptr);
    if (kind != FASTMQTT_ABSENT && kind != FASTMQTT_MAP)
      throw OptionError(path, "expected names, each with a value");
    std::vector<std::pair<std::string, std::string> > pairs;
    for (std::string& name : members(path)) {
      std::string text = required<std::string>(path.empty() ? name : path + "." + name);
      pairs.emplace_back(std::move(name), std::move(text));
    }
    return pairs;
  }
  // As it stands there: a scalar's text, else YAML; nothing when it is absent.
  std::optional<std::string_view> config(const std::string& path) const {
    const fastmqtt_view value = raw_->config(raw_, path.c_str());
    return value.data ? std::optional(to_string_view(value)) : std::nullopt;
  }

  // In the constructor: names a file, before it is read there; when anything else is in it by then,
  // a reload makes the handler anew.  Without effect in daemons that do not know of it.
  void uses_file(const std::string& path) const {
    if (FASTMQTT_HAS(fastmqtt_host, raw_, uses_file)) raw_->uses_file(raw_, path.c_str());
  }

  // In the handler's turn: names a counter, [a-z0-9_]+.
  Counter counter(const char* name) const { return Counter(raw_, raw_->counter(raw_, name)); }

  const fastmqtt_host* raw() const { return raw_; }

 private:
  void check_present(const std::string& path, const char* expected) const {
    if (raw_->config_kind(raw_, path.c_str(), nullptr) == FASTMQTT_ABSENT)
      throw OptionError(path, expected);
  }
  std::optional<std::string_view> scalar(const std::string& path) const {
    const std::int32_t kind = raw_->config_kind(raw_, path.c_str(), nullptr);
    if (kind == FASTMQTT_LIST || kind == FASTMQTT_MAP)
      throw OptionError(path, "expected a single value");
    return config(path);
  }

  const fastmqtt_host* raw_;
};

namespace detail {

template <class T>
concept TakesBatches = requires(T handler, Batch batch) {
  { handler.on_messages(batch) } -> std::same_as<void>;
};
template <class T>
concept Wakes = requires(T handler) {
  handler.on_wake();
};
template <class T>
concept NamesOptions = requires {
  std::size(T::options);
};
template <class T>
concept TakesMessages = requires(T handler, const Message& message) {
  { handler.on_message(message) } -> std::same_as<Result>;
};

// Whether a class has a member of a name, even one that cannot be used from here: beside another of
// that name it is ambiguous.
struct HasThese {
  void on_message();
  void on_messages();
  void on_wake();
  int options;
};
template <class T>
struct Beside : T, HasThese {};
template <class T>
concept HasOnMessage = !requires {
  &Beside<T>::on_message;
};
template <class T>
concept HasOnMessages = !requires {
  &Beside<T>::on_messages;
};
template <class T>
concept HasOnWake = !requires {
  &Beside<T>::on_wake;
};
template <class T>
concept HasOptions = !requires {
  &Beside<T>::options;
};

// What would otherwise be passed over in silence, or said in riddles.
template <class T>
constexpr void check_handler() {
  static_assert(std::constructible_from<T, Host>,
                "a handler has a public constructor that takes a fastmqtt::Host");
  static_assert(TakesMessages<T> || !HasOnMessage<T>,
                "on_message is a public 'fastmqtt::Result on_message(const fastmqtt::Message&)'");
  static_assert(TakesBatches<T> || !HasOnMessages<T>,
                "on_messages is a public 'void on_messages(fastmqtt::Batch)'");
  static_assert(TakesMessages<T> != TakesBatches<T>,
                "a handler has either on_message or on_messages");
  static_assert(Wakes<T> || !HasOnWake<T>, "on_wake is a public 'void on_wake()'");
  static_assert(NamesOptions<T> || !HasOptions<T>,
                "options is a public 'static constexpr const char* options[] = {...}'");
}

// T::options with the null that ends it in C.
template <class T>
struct OptionNames {
  static constexpr auto list = [] {
    std::array<const char*, std::size(T::options) + 1> names{};
    std::copy(std::begin(T::options), std::end(T::options), names.begin());
    return names;
  }();
};

template <class T>
struct Glue {
  struct Instance {
    explicit Instance(const fastmqtt_host* raw) : host(raw), handler(host) {}
    Host host;
    T handler;
  };

  static void* create(const fastmqtt_host* raw) noexcept {
    try {
      return new Instance(raw);
    } catch (const OptionError& e) {
      raw->config_error(raw, e.path().c_str(), to_view(e.what()));
    } catch (const std::exception& e) {
      raw->log(raw, FASTMQTT_ERROR, to_view(e.what()));
    } catch (...) {
      raw->log(raw, FASTMQTT_ERROR, to_view("unknown exception"));
    }
    return nullptr;
  }

  static void destroy(void* self) noexcept { delete static_cast<Instance*>(self); }

  static void on_messages(void* self, const fastmqtt_message* const* messages, std::size_t count,
                          fastmqtt_result* results) noexcept {
    Instance& in = *static_cast<Instance*>(self);
    if constexpr (TakesBatches<T>) {
      if (!guard(in.host, messages[0],
                 [&] { in.handler.on_messages(Batch(messages, count, results)); }))
        std::fill_n(results, count, FASTMQTT_RETRY);
    } else {
      for (std::size_t i = 0; i < count; ++i)
        if (!guard(in.host, messages[i], [&] {
              results[i] =
                  static_cast<fastmqtt_result>(in.handler.on_message(Message(messages[i])));
            }))
          results[i] = FASTMQTT_RETRY;
    }
  }

  static void on_wake(void* self) noexcept {
    Instance& in = *static_cast<Instance*>(self);
    if constexpr (Wakes<T>) guard(in.host, nullptr, [&] { in.handler.on_wake(); });
  }

 private:
  // False when `call` threw.
  template <class Call>
  static bool guard(const Host& host, const fastmqtt_message* about, Call&& call) noexcept {
    try {
      call();
      return true;
    } catch (const std::exception& e) {
      host.raw()->log_message(host.raw(), FASTMQTT_ERROR, to_view(e.what()), about);
    } catch (...) {
      host.raw()->log_message(host.raw(), FASTMQTT_ERROR, to_view("unknown exception"), about);
    }
    return false;
  }
};

template <class T>
constexpr const char* const* option_names() {
  if constexpr (NamesOptions<T>)
    return OptionNames<T>::list.data();
  else
    return nullptr;
}

template <class T>
constexpr fastmqtt_handler describe(const char* name, const char* version, std::uint32_t flags,
                                    const char* const* topics) {
  static_assert(std::is_class_v<T> && !std::is_final_v<T>,
                "a handler is a class that is not final");
  check_handler<T>();
  using G = Glue<T>;
  return {sizeof(fastmqtt_handler),
          flags | (TakesBatches<T> ? FASTMQTT_BATCHES : 0u),
          name,
          version,
          topics,
          option_names<T>(),
          &G::create,
          &G::destroy,
          &G::on_messages,
          Wakes<T> ? &G::on_wake : nullptr};
}

}  // namespace detail
}  // namespace fastmqtt

// FASTMQTT_HANDLER(Class, "name", "version", flags, "default/topic/filter", ...);
// The long name is for the error message of who puts it into a namespace.
#define FASTMQTT_HANDLER(Type, name, version, flags, ...)                                          \
  static constexpr const char* const fastmqtt_handler_stands_once_and_outside_of_any_namespace[] = \
      {__VA_ARGS__ __VA_OPT__(, ) nullptr};                                                        \
  constinit const fastmqtt_handler fastmqtt_handler_v1 = ::fastmqtt::detail::describe<Type>(       \
      name, version, flags, ::fastmqtt_handler_stands_once_and_outside_of_any_namespace)

#endif  // C++20
