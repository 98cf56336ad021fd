#include "daemon/ctl/dead_letters.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "daemon/config/words.hpp"
#include "daemon/ctl/failure.hpp"
#include "daemon/ctl/terminal.hpp"

namespace fastmqttd {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kNotDone = 1;
constexpr std::size_t kPage = 200;
constexpr int kTitle = 13;

// ---- list --------------------------------------------------------------------------------------

// A page after the other, so that as many as there are need no memory.
template <class F>
void for_each_page(const Connection& daemon, const std::string& handler, F print) {
  std::int64_t after = 0;
  for (;;) {
    std::multimap<std::string, std::string> parameters{{"after", std::to_string(after)},
                                                       {"limit", std::to_string(kPage)}};
    if (!handler.empty()) parameters.emplace("handler", handler);
    const Json page = daemon.get("/v1/dead-letters", parameters).at("dead_letters");
    if (page.empty()) return;
    print(page);
    if (std::ferror(stdout)) return;  // nobody reads any more
    after = page.back().at("id").get<std::int64_t>();
  }
}

int list_json(const Connection& daemon, const std::string& handler) {
  const char* before = "[\n";
  for_each_page(daemon, handler, [&](const Json& page) {
    for (const Json& letter : page) {
      std::fputs((before + letter.dump()).c_str(), stdout);
      before = ",\n";
    }
  });
  std::puts(*before == '[' ? "[]" : "\n]");
  return 0;
}

// ---- show --------------------------------------------------------------------------------------

void print_line(const char* title, const std::string& value) {
  fastmqttd::print_line(title, value, kTitle);
}

void print_properties(const Json& properties) {
  for (const auto& [key, value] : properties.items()) {
    std::string title = key;
    std::ranges::replace(title, '_', ' ');
    if (key == "user_properties")
      for (const Json& property : value)
        print_line("property", text(property, "name") + " = " + text(property, "value"));
    else
      print_line(
          "property",
          title + ": " + (value.is_string() ? shown(value.get<std::string>()) : value.dump()));
  }
}

void print_letter(const Json& letter) {
  print_line("id", letter.at("id").dump());
  print_line("handler", text(letter, "handler"));
  print_line("reason", text(letter, "reason"));
  print_line("attempts", letter.at("attempts").dump());
  print_line("received", text(letter, "received"));
  print_line("died", text(letter, "died"));
  print_line("topic", text(letter, "topic"));
  print_line("QoS", letter.at("qos").dump() + (letter.at("retain") ? ", retained" : ""));
  print_properties(letter.at("properties"));
  const bool is_text = letter.at("encoding") == "text";
  print_line("payload", count(letter.at("payload_bytes"), "byte") +
                            (is_text ? "" : ", which are no text, in base64"));
  const std::string payload = shown(letter.at("payload").get<std::string>(), true);
  if (!payload.empty()) std::printf("\n%s\n", payload.c_str());
}

// ---- replay and drop ---------------------------------------------------------------------------

int settle_ids(const Connection& daemon, const std::string& path, const char* done_word,
               std::span<const std::int64_t> ids) {
  std::size_t done = 0;
  std::vector<std::string> unknown;
  while (!ids.empty()) {
    const auto some = ids.first(std::min(kPage, ids.size()));
    const Json answer = daemon.post(path, {{"ids", some}});
    done += answer.at("done").size();
    for (const Json& id : answer.at("unknown")) unknown.push_back(id.dump());
    ids = ids.subspan(some.size());
  }
  if (done > 0) std::printf("%s %s\n", done_word, count(done, "dead letter").c_str());
  if (unknown.empty()) return 0;
  const bool one = unknown.size() == 1;
  throw Failure{kNotDone,
                {fmt::format("dead letter{} {}: there {} with {}: see 'fastmqttctl dead-letters "
                             "list'",
                             one ? "" : "s", comma_list(unknown), one ? "is none" : "are none",
                             one ? "that id" : "these ids")}};
}

int settle_all(const Connection& daemon, const std::string& path, const char* done_word,
               const std::string& handler) {
  Json wanted{{"all", true}};
  if (!handler.empty()) wanted["handler"] = handler;
  std::uint64_t done = 0, left = 0;
  for (bool end = false; !end;) {
    const Json answer = daemon.post(path, wanted);
    done += answer.at("done").get<std::uint64_t>();
    left += answer.at("left").get<std::uint64_t>();
    wanted["after"] = answer.at("after");
    wanted["until"] = answer.at("until");
    end = answer.at("end");
  }
  std::printf("%s %s\n", done_word, count(done, "dead letter").c_str());
  if (left > 0)
    std::printf("%s left as they are: their handlers are not configured\n",
                count(left, "dead letter").c_str());
  return 0;
}

int settle(const Connection& daemon, const std::string& path, const char* done_word,
           const DeadLetters& which) {
  if (which.all) return settle_all(daemon, path, done_word, which.handler);
  std::vector<std::int64_t> ids;
  for (const std::int64_t id : which.ids)
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  return settle_ids(daemon, path, done_word, ids);
}

}  // namespace

int list_dead_letters(const Connection& daemon, const std::string& handler, bool json) {
  if (json) return list_json(daemon, handler);
  Table table({{"ID", true},
               {"HANDLER"},
               {"RECEIVED"},
               {"DIED"},
               {"ATTEMPTS", true},
               {"BYTES", true},
               {"TOPIC"},
               {"REASON"}});
  bool none = true;
  for_each_page(daemon, handler, [&](const Json& page) {
    for (const Json& letter : page)
      table.add({letter.at("id").dump(), text(letter, "handler"),
                 to_seconds(text(letter, "received")), to_seconds(text(letter, "died")),
                 letter.at("attempts").dump(), letter.at("payload_bytes").dump(),
                 shown_short(letter.at("topic").get<std::string>()), text(letter, "reason")});
    table.print();
    none = false;
  });
  if (none) std::puts("no dead letters");
  return 0;
}

int show_dead_letter(const Connection& daemon, std::int64_t id, bool json) {
  const Json letter = daemon.get("/v1/dead-letter", {{"id", std::to_string(id)}});
  if (json)
    std::puts(letter.dump(2).c_str());
  else
    print_letter(letter);
  return 0;
}

int replay_dead_letters(const Connection& daemon, const DeadLetters& which) {
  return settle(daemon, "/v1/dead-letters/replay", "replayed", which);
}

int drop_dead_letters(const Connection& daemon, const DeadLetters& which) {
  return settle(daemon, "/v1/dead-letters/drop", "dropped", which);
}

int forget_messages(const Connection& daemon, const std::string& handler) {
  std::uint64_t forgotten = 0;
  for (bool end = false; !end;) {
    const Json answer = daemon.post("/v1/forget", {{"handler", handler}});
    forgotten += answer.at("forgotten").get<std::uint64_t>();
    end = answer.at("end");
  }
  if (forgotten == 0)
    throw Failure{kNotDone,
                  {shown(handler) + ": nothing waits for a handler of that name: see "
                                    "'fastmqttctl status'"}};
  std::printf("forgot %s for %s\n", count(forgotten, "message").c_str(), shown(handler).c_str());
  return 0;
}

}  // namespace fastmqttd
