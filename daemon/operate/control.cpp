#include "daemon/operate/control.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/base/build_info.hpp"
#include "daemon/base/log.hpp"
#include "daemon/config/words.hpp"
#include "daemon/operate/dead_letter_json.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kPage = 256;
constexpr std::uint64_t kForgetAtOnce = 4096;

constexpr int kBadRequest = 400;
constexpr int kNotFound = 404;
constexpr int kConflict = 409;

const char* name_of(SessionState::Phase phase) {
  switch (phase) {
    case SessionState::Phase::connecting: return "connecting";
    case SessionState::Phase::connected: return "connected";
    case SessionState::Phase::waiting: return "waiting";
    case SessionState::Phase::refusing: return "refusing";
    case SessionState::Phase::stopped: break;
  }
  return "stopped";
}

const char* name_of(Reloader::Outcome::Kind kind) {
  using Kind = Reloader::Outcome::Kind;
  if (kind == Kind::applied) return "applied";
  return kind == Kind::unfinished ? "unfinished" : "refused";
}

std::optional<std::string> handler_of(const Json& wanted) {
  if (!wanted.contains("handler")) return std::nullopt;
  return wanted.at("handler").get<std::string>();
}

// Of a name that nobody has ever had nothing is there, and perhaps another one was meant.
void check_known(Spool& spool, const std::optional<std::string>& handler) {
  if (handler && !spool.knows(*handler))
    throw Refusal(kNotFound, fmt::format("{}: there is no handler of that name: see 'fastmqttctl "
                                         "status'",
                                         handler->empty() ? "''" : *handler));
}

}  // namespace

Json Control::status() const {
  const SessionState session = session_.state();
  const Spool::Use use = spool_.use();
  Json status;
  status["version"] = build::kVersion;
  status["connection"] = {{"state", name_of(session.phase)},
                          {"broker", session.broker},
                          {"reason", session.reason},
                          {"text", describe(session)}};
  Json others = Json::array();
  for (const auto& [name, left] : dispatcher_.left_for_others())
    others.push_back(
        {{"handler", name}, {"waiting", left.waiting}, {"dead_letters", left.dead_letters}});
  status["spool"] = {{"bytes", use.bytes},
                     {"max_bytes", use.max_bytes},
                     {"waiting", dispatcher_.waiting()},
                     {"not_configured", others}};
  status["publishing"] = dispatcher_.outbox().waiting();
  status["handlers"] = Json::array();
  for (const auto& lane : dispatcher_.lanes()) status["handlers"].push_back(lane_status(*lane));
  return status;
}

Json Control::lane_status(const Lane& lane) const {
  const Lane::Counts counts = lane.counts();
  const char* version = lane.library().handler->version;
  return {{"handler", lane.name()},
          {"plugin", lane.config().plugin},
          {"plugin_version", version ? Json(version) : Json()},
          {"state", lane.suspended() ? "suspended" : "running"},
          {"waiting", lane.waiting()},
          {"retrying", lane.retrying()},
          {"done", counts.ok},
          {"failed", counts.retry},
          {"given_up", counts.dead},
          {"dropped", counts.dropped},
          {"expired", counts.expired},
          {"dead_letters", lane.dead_letters()}};
}

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
  if (ids.size() > kPage)
    throw Refusal(kBadRequest, fmt::format("dead letters: {} are too many at once: give {} at most",
                                           ids.size(), kPage));
  const auto all = ids.get<std::vector<std::int64_t>>();
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
  std::int64_t after = wanted.value("after", std::int64_t{0});
  const std::int64_t until = wanted.contains("until") ? wanted.at("until").get<std::int64_t>()
                                                      : spool_.newest_dead_letter();
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

Json Control::forget(const Json& wanted) {
  const auto handler = handler_of(wanted);
  if (!handler) throw Refusal(kBadRequest, "forget: no handler is named: give 'handler'");
  if (dispatcher_.lane(*handler))
    throw Refusal(kConflict,
                  fmt::format("{}: this handler is configured, and its messages are to be "
                              "handled: take it out of the configuration and reload first",
                              *handler));
  check_known(spool_, handler);
  const std::uint64_t forgotten = spool_.forget(*handler, kForgetAtOnce);
  return {{"forgotten", forgotten}, {"end", forgotten < kForgetAtOnce}};
}

}  // namespace fastmqttd
