#include "daemon/operate/control.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/base/log.hpp"
#include "daemon/base/nearest.hpp"
#include "daemon/base/wall_time.hpp"
#include "daemon/config/schema.hpp"
#include "daemon/config/words.hpp"
#include "daemon/message/topic_filter.hpp"
#include "daemon/operate/dead_letter_json.hpp"
#include "daemon/operate/status_json.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kPage = 256;
constexpr std::size_t kDeliveries = 1024;
constexpr std::uint64_t kForgetAtOnce = 4096;

constexpr int kBadRequest = 400;
constexpr int kNotFound = 404;
constexpr int kConflict = 409;

const char* name_of(Reloader::Outcome::Kind kind) {
  using Kind = Reloader::Outcome::Kind;
  if (kind == Kind::applied) return "applied";
  return kind == Kind::unfinished ? "unfinished" : "refused";
}

std::optional<std::string> handler_of(const Json& wanted) {
  if (!wanted.contains("handler")) return std::nullopt;
  return wanted.at("handler").get<std::string>();
}

// A number with a fraction, or one that is too large, would become another.
std::int64_t whole_number(const Json& json) {
  if (!json.is_number_integer())
    throw Refusal(kBadRequest, fmt::format("{}: is no id: give a whole number", json.dump()));
  return json.get<std::int64_t>();
}

std::optional<log::Level> log_level_of(const std::string& text) {
  const auto& all = Words<log::Level>::kAll;
  const auto found = std::ranges::find(all, text, &Word<log::Level>::text);
  return found == all.end() ? std::nullopt : std::optional(found->value);
}

// Of a name that nobody has ever had nothing is there, and perhaps another one was meant.
void check_known(Spool& spool, const std::optional<std::string>& handler) {
  if (handler && !spool.knows(*handler))
    throw Refusal(kNotFound, fmt::format("{}: there is no handler of that name: see 'fastmqttctl "
                                         "status'",
                                         handler->empty() ? "''" : *handler));
}

}  // namespace

Json Control::status() const { return status_json(dispatcher_, session_, spool_); }

Json Control::handlers() const {
  Json handlers = Json::array();
  for (const LanePtr& lane : dispatcher_.lanes()) handlers.push_back(handler_json(*lane));
  return {{"handlers", std::move(handlers)}};
}

Json Control::route(const std::string& topic) const {
  if (const std::string why = topic_name_error(topic); !why.empty())
    throw Refusal(kBadRequest, fmt::format("topic '{}': is not valid: {}", printable(topic), why));
  Json reached = Json::array();
  for (const LanePtr& lane : dispatcher_.lanes()) {
    Json filters = Json::array();
    if (lane->config().subscribe)
      for (const SubscriptionConfig& s : *lane->config().subscribe)
        if (s.topic.matches(topic)) filters.push_back(s.topic.text());
    if (!filters.empty())
      reached.push_back(
          {{"handler", lane->name()}, {"filters", filters}, {"state", state_of(*lane)}});
  }
  return {{"topic", topic}, {"handlers", reached}};
}

Json Control::deliveries(std::optional<std::int64_t> after,
                         const std::optional<std::string>& filter) const {
  if (filter)
    if (const std::string why = topic_filter_error(*filter); !why.empty())
      throw Refusal(kBadRequest,
                    fmt::format("topic filter '{}': is not valid: {}", printable(*filter), why));
  DeliveryTap& tap = dispatcher_.tap();
  const std::uint64_t latest = tap.watch();
  Json list = Json::array();
  const std::uint64_t behind = after ? static_cast<std::uint64_t>(*after) : latest;
  std::uint64_t next = behind, missed = 0;
  const auto all = tap.read(behind, kDeliveries);
  if (!all.empty()) missed = all.front().number - behind - 1;
  const std::optional<TopicFilter> wanted =
      filter ? std::optional<TopicFilter>(*filter) : std::nullopt;
  for (const DeliveryTap::One& one : all) {
    next = one.number;
    if (wanted && !wanted->matches(one.topic)) continue;
    list.push_back({{"time", local_time(one.time_ns)},
                    {"topic", one.topic},
                    {"handler", one.handler},
                    {"result", one.result},
                    {"attempt", one.attempt},
                    {"seconds", static_cast<double>(one.took_ns) / 1e9}});
  }
  return {{"deliveries", std::move(list)}, {"next", next}, {"missed", missed}};
}

// ---- dead letters ------------------------------------------------------------------------------

Json Control::dead_letters(std::int64_t after, std::size_t limit,
                           const std::optional<std::string>& handler) const {
  check_known(spool_, handler);
  Json list = Json::array();
  for (const DeadLetter& letter : spool_.dead_letters(after, std::min(limit, kPage), handler))
    list.push_back(to_json(letter));
  return {{"dead_letters", std::move(list)}};
}

Json Control::dead_letter(std::int64_t id) const {
  const auto letter = spool_.dead_letter(id);
  if (!letter)
    throw Refusal(kNotFound, fmt::format("dead letter {}: there is none with that id: see "
                                         "'fastmqttctl dead-letters list'",
                                         id));
  return to_json_with_content(*letter);
}

Json Control::replay(const Json& wanted) { return each(wanted, &Control::replay_one); }
Json Control::drop(const Json& wanted) { return each(wanted, &Control::drop_one); }

Json Control::each(const Json& wanted, Act act) {
  const bool all = wanted.value("all", false);
  if (all == wanted.contains("ids"))
    throw Refusal(kBadRequest, "dead letters: which ones is not said: give 'ids' or 'all'");
  return all ? page(wanted, act) : each_of(wanted.at("ids"), act);
}

Json Control::each_of(const Json& ids, Act act) {
  if (!ids.is_array()) throw Refusal(kBadRequest, "ids: are no list: give a list of numbers");
  if (ids.size() > kPage)
    throw Refusal(kBadRequest, fmt::format("dead letters: {} are too many at once: give {} at most",
                                           ids.size(), kPage));
  std::vector<std::int64_t> all;
  for (const Json& id : ids) all.push_back(whole_number(id));
  if (act == &Control::replay_one)
    for (const std::int64_t id : all) check_has_handler(id);
  Json done = Json::array(), unknown = Json::array();
  for (const std::int64_t id : all) ((this->*act)(id) ? done : unknown).push_back(id);
  return {{"done", std::move(done)}, {"unknown", std::move(unknown)}};
}

void Control::check_has_handler(std::int64_t letter) const {
  const auto whose = spool_.handler_of_letter(letter);
  if (!whose || dispatcher_.lane(*whose)) return;
  throw Refusal(kConflict,
                fmt::format("dead letter {}: its handler {} is not configured, and it would wait "
                            "for nobody: configure it, or drop the dead letter",
                            letter, *whose));
}

// Those that come while it goes on are left for another time, among them what was replayed and is
// given up again.
Json Control::page(const Json& wanted, Act act) {
  const auto handler = handler_of(wanted);
  check_known(spool_, handler);
  std::int64_t after = wanted.contains("after") ? whole_number(wanted.at("after")) : 0;
  const std::int64_t until =
      wanted.contains("until") ? whole_number(wanted.at("until")) : spool_.newest_dead_letter();
  const auto letters = spool_.dead_letters(after, kPage, handler);
  bool end = letters.size() < kPage;
  std::size_t done = 0, left = 0;
  for (const DeadLetter& letter : letters) {
    if ((end = end || letter.id > until); letter.id > until) break;
    after = letter.id;
    if (act == &Control::replay_one && !dispatcher_.lane(letter.handler))
      ++left;
    else
      done += (this->*act)(letter.id) ? 1 : 0;
  }
  return {{"done", done}, {"left", left}, {"after", after}, {"until", until}, {"end", end}};
}

Json Control::reload() {
  const Reloader::Outcome outcome = reloader_.reload();
  return {
      {"result", name_of(outcome.kind)}, {"text", outcome.text}, {"problems", outcome.problems}};
}

// ---- handlers ----------------------------------------------------------------------------------

// What is named, if it is there; else perhaps another one was meant.
std::string Control::name_of_handler(const Json& wanted) const {
  const auto handler = handler_of(wanted);
  if (!handler) throw Refusal(kBadRequest, "handler: none is named: give 'handler'");
  std::vector<std::string> names;
  for (const LanePtr& one : dispatcher_.lanes()) names.push_back(one->name());
  if (std::ranges::find(names, *handler) != names.end()) return *handler;
  const std::string near = nearest(*handler, names);
  throw Refusal(kNotFound,
                fmt::format("{}: there is no handler of that name{}: see 'fastmqttctl handlers'",
                            handler->empty() ? "''" : printable(*handler),
                            near.empty() ? "" : ": did you mean '" + near + "'?"));
}

Json Control::pause(const Json& wanted) { return set_paused(wanted, true); }
Json Control::resume(const Json& wanted) { return set_paused(wanted, false); }

Json Control::set_paused(const Json& wanted, bool paused) {
  const std::string name = name_of_handler(wanted);
  const bool was = dispatcher_.set_paused(name, paused).value_or(false);
  const LanePtr lane = dispatcher_.lane(name);
  return {
      {"handler", name}, {"paused", paused}, {"was", was}, {"waiting", lane ? lane->waiting() : 0}};
}

Json Control::log_level(const Json& wanted) {
  const std::string text = wanted.at("level").get<std::string>();
  const auto level = log_level_of(text);
  if (!level)
    throw Refusal(kBadRequest, fmt::format("log level '{}': there is none of that name: expected "
                                           "debug, info, warning or error",
                                           text));
  if (wanted.contains("handler"))
    log::set_handler_level(name_of_handler(wanted), *level);
  else
    log::set_level(*level);
  return {{"level", text}};
}

Json Control::forget(const Json& wanted) {
  const auto handler = handler_of(wanted);
  if (!handler) throw Refusal(kBadRequest, "forget: no handler is named: give 'handler'");
  check_known(spool_, handler);
  const auto forgotten = dispatcher_.forget(*handler, kForgetAtOnce);
  if (!forgotten)
    throw Refusal(kConflict,
                  fmt::format("{}: this handler is configured, and its messages are to be "
                              "handled: take it out of the configuration and reload first",
                              *handler));
  return {{"forgotten", *forgotten}, {"end", *forgotten < kForgetAtOnce}};
}

}  // namespace fastmqttd
