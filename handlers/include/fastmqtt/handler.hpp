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
// Declare it once, at namespace scope:
//     FASTMQTT_HANDLER(Thermostat, "thermostat", "1.0", 0, "home/+/temperature");
//
// Calls into one instance never overlap, so a handler needs no locks of its own.  Throwing is fine:
// nothing leaves this file; what on_message throws is logged and answered with retry.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <concepts>
#include <exception>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "fastmqtt/handler.h"

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

namespace detail {

inline std::optional<double> to_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

template <class T>
std::string expected_number(T least, T most) {
  const auto text = [](T value) {
    char digits[32];
    return std::string(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  };
  const bool all =
      least == std::numeric_limits<T>::lowest() && most == std::numeric_limits<T>::max();
  return all ? "expected a number" : "expected a number from " + text(least) + " to " + text(most);
}

}  // namespace detail

// A borrowed message: readable inside the call, and after `pending` until complete() or its
// deadline, whichever comes first.
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

  const fastmqtt_message* raw() const { return raw_; }

 private:
  const fastmqtt_message* raw_;
};

// What is waiting, in order of arrival.  Every answer starts as ok.
class Batch {
 public:
  Batch(const fastmqtt_message* const* messages, std::size_t size, fastmqtt_result* results)
      : messages_(messages), size_(size), results_(results) {}

  std::size_t size() const { return size_; }
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

// An option that is wrong; thrown from a handler's constructor, the daemon reports it with the
// option's file and line.
class OptionError : public std::runtime_error {
 public:
  OptionError(std::string path, const std::string& what)
      : std::runtime_error(what), path_(std::move(path)) {}
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The daemon, as one instance sees it.  Cheap to copy.
class Host {
 public:
  explicit Host(const fastmqtt_host* raw) : raw_(raw) {}

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
  // Whether a line of this level would be kept.
  bool logs(Level level) const { return static_cast<std::int32_t>(level) >= raw_->log_level; }

  // [any thread] Answers a delivery that got `pending`, once.
  void complete(std::uint64_t id, Result result) const {
    raw_->complete(raw_, id, static_cast<fastmqtt_result>(result));
  }

  // [any thread] A monotonic clock; the one that wake_at goes by.
  std::chrono::nanoseconds now() const { return std::chrono::nanoseconds(raw_->now_ns(raw_)); }
  // [any thread] on_wake() at that time of now(); one alarm, the latest request counts.
  void wake_at(std::chrono::nanoseconds when) const { raw_->wake_at(raw_, when.count()); }
  void wake() const { raw_->wake_at(raw_, 0); }

  // [turn] The option at "a.b": a scalar's text, else YAML; nothing when it is absent.
  std::optional<std::string_view> config(const std::string& path) const {
    const fastmqtt_view value = raw_->config(raw_, path.c_str());
    return value.data ? std::optional(to_string_view(value)) : std::nullopt;
  }
  std::string option(const std::string& path, const char* fallback) const {
    return std::string(config(path).value_or(fallback));
  }
  template <std::same_as<bool> T>  // nothing else turns into a bool by itself
  T option(const std::string& path, T fallback) const {
    const auto text = config(path);
    if (!text) return fallback;
    if (*text == "true") return true;
    if (*text == "false") return false;
    throw OptionError(path, "expected true or false");
  }
  // Throws OptionError when it is no number or lies outside of least..most.
  template <std::floating_point T>
  T option(const std::string& path, T fallback, T least = std::numeric_limits<T>::lowest(),
           T most = std::numeric_limits<T>::max()) const {
    const auto text = config(path);
    if (!text) return fallback;
    const std::optional<double> value = detail::to_number(*text);
    if (!value || *value < least || *value > most)
      throw OptionError(path, detail::expected_number(least, most));
    return static_cast<T>(*value);
  }
  // Throws OptionError when it is no number or lies outside of least..most.
  template <std::integral T>
  requires(!std::same_as<T, bool>) T
      option(const std::string& path, T fallback, T least = std::numeric_limits<T>::min(),
             T most = std::numeric_limits<T>::max())
  const {
    const auto text = config(path);
    if (!text) return fallback;
    T value{};
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc{} || end != text->data() + text->size() || value < least || value > most)
      throw OptionError(path, "expected a whole number from " + std::to_string(least) + " to " +
                                  std::to_string(most));
    return value;
  }

  // [turn] Names a counter once ...
  std::uint32_t counter(const char* name) const { return raw_->counter(raw_, name); }
  // [any thread] ... and adds to it often.
  void count(std::uint32_t counter, std::uint64_t by = 1) const { raw_->count(raw_, counter, by); }

  const fastmqtt_host* raw() const { return raw_; }

 private:
  const fastmqtt_host* raw_;
};

namespace detail {

template <class T>
concept TakesBatches = requires(T handler, Batch batch) {
  handler.on_messages(batch);
};
template <class T>
concept Wakes = requires(T handler) {
  handler.on_wake();
};
template <class T>
concept NamesOptions = requires {
  std::size(T::options);
};

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
#define FASTMQTT_HANDLER(Type, name, version, flags, ...)                                      \
  static constexpr const char* const fastmqtt_topics[] = {__VA_ARGS__ __VA_OPT__(, ) nullptr}; \
  constinit const fastmqtt_handler fastmqtt_handler_v1 =                                       \
      ::fastmqtt::detail::describe<Type>(name, version, flags, fastmqtt_topics)
