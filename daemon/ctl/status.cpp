#include "daemon/ctl/status.hpp"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "daemon/config/words.hpp"
#include "daemon/ctl/terminal.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr int kTitle = 12;
constexpr const char* kUsualLevel = "info";
constexpr auto kEvery = std::chrono::seconds(1);
constexpr const char* kClear = "\x1b[H\x1b[2J";  // of a terminal, ECMA-48

std::string plugin_of(const Json& handler) {
  const Json& version = handler.at("plugin_version");
  const std::string plugin = text(handler, "plugin");
  return version.is_string() ? plugin + " " + shown(version.get<std::string>()) : plugin;
}

// ---- status ------------------------------------------------------------------------------------

// Columns of what is seldom are there when there is any.
bool any(const Json& handlers, const char* key) {
  for (const Json& handler : handlers)
    if (handler.at(key) != 0) return true;
  return false;
}

void print_handlers(const Json& handlers) {
  if (handlers.empty()) return;
  std::vector<Table::Column> columns{
      {"HANDLER"}, {"PLUGIN"}, {"WAITING", true}, {"DONE", true}, {"FAILED", true}};
  std::vector<std::pair<const char*, const char*>> seldom;
  for (const auto& [key, title] :
       {std::pair("dropped", "DROPPED"), std::pair("expired", "EXPIRED")})
    if (any(handlers, key)) seldom.emplace_back(key, title);
  for (const auto& [key, title] : seldom) columns.push_back({title, true});
  columns.push_back({"DEAD LETTERS", true});
  columns.push_back({"STATE"});
  Table table(columns);
  for (const Json& handler : handlers) {
    std::vector<std::string> row{text(handler, "handler"), plugin_of(handler),
                                 handler.at("waiting").dump(), handler.at("done").dump(),
                                 handler.at("failed").dump()};
    for (const auto& [key, title] : seldom) row.push_back(handler.at(key).dump());
    row.push_back(handler.at("dead_letters").dump());
    row.push_back(text(handler, "state"));
    table.add(std::move(row));
  }
  std::puts("");
  table.print();
}

// "stuck in a call for 35s, in a message on a/b"; empty of what runs.
std::string what_ails(const Json& handler) {
  if (const Json stuck = handler.value("stuck", Json()); !stuck.is_null()) {
    const std::string topic = text(stuck, "topic");
    return "stuck in a call for " + in_seconds(stuck.at("seconds")) +
           (topic.empty() ? "" : ", in a message on " + shown_short(topic));
  }
  const Json next = handler.value("next_try_in_seconds", Json());
  if (handler.at("state") != "suspended" || next.is_null()) return "";
  return next > 0 ? "suspended: the next try is in " + in_seconds(next)
                  : "suspended: a message is being tried";
}

// Of those that are not well now, what they are up to and what they said last.
void print_troubles(const Json& handlers) {
  for (const Json& handler : handlers) {
    if (handler.at("state") == "running") continue;
    const std::string name = text(handler, "handler"), ails = what_ails(handler);
    if (!ails.empty()) std::printf("\n%s: %s\n", name.c_str(), ails.c_str());
    const Json& trouble = handler.at("last_trouble");
    if (trouble.is_null()) continue;
    const std::string topic = text(trouble, "topic");
    std::printf("%s%s: last trouble, %s: %s%s\n", ails.empty() ? "\n" : "", name.c_str(),
                to_seconds(text(trouble, "time")).c_str(),
                topic.empty() ? "" : (shown_short(topic) + ": ").c_str(),
                shown_short(trouble.at("text").get<std::string>()).c_str());
  }
}

// What is not as it is by itself: "debug; archive: error"; empty when all is.
std::string log_levels(const Json& status) {
  const std::string general = status.value("log_level", kUsualLevel);
  std::string levels = general == kUsualLevel ? "" : general;
  for (const Json& handler : status.at("handlers"))
    if (const std::string own = handler.value("log_level", general); own != general)
      levels += (levels.empty() ? "" : "; ") + text(handler, "handler") + ": " + own;
  return levels;
}

void print_status(const Json& status) {
  const Json& spool = status.at("spool");
  const Json& connection = status.at("connection");
  print_line("connection",
             text(connection, "text") + ", since " + to_seconds(text(connection, "since")), kTitle);
  for (const Json& filter : connection.at("subscriptions_refused"))
    print_line("",
               "the broker refuses the subscription to " + shown_short(filter.get<std::string>()),
               kTitle);
  print_line("spool",
             fmt::format("{} of {}, {} waiting", roughly(spool.at("bytes")),
                         roughly(spool.at("max_bytes")), count(spool.at("waiting"), "message")),
             kTitle);
  for (const Json& other : spool.at("not_configured"))
    print_line("",
               fmt::format("{} for the handler {}, which is not configured",
                           what_waits(other.at("waiting"), other.at("dead_letters")),
                           text(other, "handler")),
               kTitle);
  print_line("publishing", count(status.at("publishing"), "message") + " on the way to the broker",
             kTitle);
  if (const std::string levels = log_levels(status); !levels.empty())
    print_line("log level", levels, kTitle);
  print_handlers(status.at("handlers"));
  print_troubles(status.at("handlers"));
}

// ---- handlers ----------------------------------------------------------------------------------

std::string filters_of(const Json& handler) {
  std::vector<std::string> filters;
  for (const Json& filter : handler.at("filters")) filters.push_back(text(filter, "filter"));
  return shown_short(comma_list(filters));
}

// ---- top ---------------------------------------------------------------------------------------

struct Look {
  double handled = 0;
  double seconds = 0;
};

// With what came since the last look.
void print_rates(const Json& handlers, std::map<std::string, Look>& before, double passed) {
  Table table({{"HANDLER"},
               {"WAITING", true},
               {"PER SECOND", true},
               {"TIME EACH", true},
               {"RETRYING", true},
               {"DEAD LETTERS", true},
               {"STATE"}});
  for (const Json& handler : handlers) {
    const std::string name = handler.at("handler");
    const Look now{handler.at("handled").get<double>(),
                   handler.at("handling_seconds").get<double>()};
    const auto known = before.find(name);
    std::string rate = "-", each = "-";
    if (known != before.end() && now.handled >= known->second.handled) {
      const double handled = now.handled - known->second.handled;
      rate = fmt::format("{:.1f}", handled / passed);
      if (handled > 0) each = in_seconds((now.seconds - known->second.seconds) / handled);
    }
    before[name] = now;
    table.add({shown(name), handler.at("waiting").dump(), rate, each, handler.at("retrying").dump(),
               handler.at("dead_letters").dump(), text(handler, "state")});
  }
  table.print();
}

}  // namespace

int show_status(const Connection& daemon, bool json) {
  const Json status = daemon.get("/v1/status");
  if (json)
    std::puts(status.dump(2).c_str());
  else
    print_status(status);
  return 0;
}

int show_handlers(const Connection& daemon, bool json) {
  const Json handlers = daemon.get("/v1/handlers").at("handlers");
  if (json) {
    std::puts(handlers.dump(2).c_str());
    return 0;
  }
  if (handlers.empty()) {
    std::puts("no handlers");
    return 0;
  }
  Table table({{"HANDLER"},
               {"PLUGIN"},
               {"FILTERS"},
               {"QUEUE", true},
               {"DONE", true},
               {"FAILED", true},
               {"RETRYING", true},
               {"DEAD", true},
               {"STATE"}});
  for (const Json& handler : handlers)
    table.add({text(handler, "handler"), plugin_of(handler), filters_of(handler),
               handler.at("waiting").dump(), handler.at("done").dump(), handler.at("failed").dump(),
               handler.at("retrying").dump(), handler.at("dead_letters").dump(),
               text(handler, "state")});
  table.print();
  return 0;
}

int show_top(const Connection& daemon) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  std::map<std::string, Look> before;
  for (auto last = Clock::now();; std::this_thread::sleep_until(last + kEvery)) {
    const Json status = daemon.get("/v1/status");
    const auto now = Clock::now();
    if (terminal) std::fputs(kClear, stdout);
    std::printf("%s; %s waiting, %s of %s\n\n", text(status.at("connection"), "text").c_str(),
                count(status.at("spool").at("waiting"), "message").c_str(),
                roughly(status.at("spool").at("bytes")).c_str(),
                roughly(status.at("spool").at("max_bytes")).c_str());
    print_rates(status.at("handlers"), before, std::chrono::duration<double>(now - last).count());
    if (!terminal) std::puts("");
    if (std::fflush(stdout) != 0) return 0;  // nobody reads any more
    last = now;
  }
}

}  // namespace fastmqttd
