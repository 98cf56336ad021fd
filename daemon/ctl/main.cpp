// fastmqttctl: the operator's tool.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "daemon/base/build_info.hpp"
#include "daemon/base/error.hpp"
#include "daemon/base/nearest.hpp"
#include "daemon/ctl/dead_letters.hpp"
#include "daemon/ctl/failure.hpp"
#include "daemon/ctl/requests.hpp"
#include "daemon/ctl/status.hpp"
#include "daemon/ctl/tail.hpp"
#include "daemon/ctl/terminal.hpp"
#include "daemon/ctl/try.hpp"
#include "daemon/message/topic_filter.hpp"
#include "daemon/operate/control_socket.hpp"

namespace fastmqttd {
namespace {

constexpr int kNoMatch = 1;
constexpr int kInvalid = 65;  // EX_DATAERR of sysexits(3)

// What the command line says.
struct Arguments {
  std::string socket = default_control_socket();
  std::string filter, topic;
  TryArguments trial;
  DeadLetters letters;
  std::int64_t id = 0;
  std::string handler;
  std::vector<std::string> level;  // a handler before it, perhaps
  bool json = false;
};

using Command = std::function<int()>;

int invalid(const std::string& what, const std::string& text, const std::string& why) {
  std::cerr << "fastmqttctl: " << what << " '" << shown_short(text) << "' is not valid: " << why
            << "\n";
  return kInvalid;
}

int match(const std::string& filter, const std::string& topic) {
  if (const std::string why = topic_filter_error(filter); !why.empty())
    return invalid("topic filter", filter, why);
  if (const std::string why = topic_name_error(topic); !why.empty())
    return invalid("topic", topic, why);
  const bool matches = TopicFilter(filter).matches(topic);
  std::cout << (matches ? "match\n" : "no match\n");
  return matches ? 0 : kNoMatch;
}

// ---- the commands ------------------------------------------------------------------------------

void add_match(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "match", "Whether FILTER matches TOPIC: exit status 0 yes, 1 no, 65 not valid");
  command->add_option("FILTER", a.filter, "A topic filter")->required();
  command->add_option("TOPIC", a.topic, "A topic name")->required();
  command->final_callback([&] { chosen = [&a] { return match(a.filter, a.topic); }; });
}

void add_try(CLI::App& app, TryArguments& trial, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "try",
      "Give a plugin one message, with no daemon and no broker: exit status 0 ok, 1 retry or "
      "reject, 78 when the plugin does not start");
  command->add_option("PLUGIN", trial.plugin, "The plugin's file")->required();
  command->add_option("--topic", trial.topic, "The message's topic")->required();
  command->add_option("--payload", trial.payload, "Its payload, or @FILE");
  command->add_option("--options", trial.options,
                      "The handler's options in YAML, such as '{limit: 20}', or @FILE");
  command->add_option("--qos", trial.qos, "Its QoS")->check(CLI::Range(0, 2));
  command->add_flag("--retain", trial.retain, "As a retained message");
  command->add_option("--content-type", trial.content_type, "Its content type");
  command->add_option("--response-topic", trial.response_topic, "Where an answer is wanted");
  command->add_option("--correlation-data", trial.correlation_data, "What goes with an answer");
  command->add_option("--user-property", trial.user_properties, "NAME=VALUE; may repeat")
      ->allow_extra_args(false);
  command->add_option("--timeout", trial.timeout, "For the call, and for an answer that is put off")
      ->capture_default_str();
  command->final_callback([&] { chosen = [&trial] { return try_plugin(trial); }; });
}

void add_status(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command =
      app.add_subcommand("status", "The running daemon: connection, spool, handlers");
  command->add_flag("--json", a.json, "As JSON");
  command->final_callback(
      [&] { chosen = [&a] { return show_status(Connection(a.socket), a.json); }; });
}

void add_handlers(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command = app.add_subcommand("handlers", "A row for each handler");
  command->add_flag("--json", a.json, "As JSON");
  command->final_callback(
      [&] { chosen = [&a] { return show_handlers(Connection(a.socket), a.json); }; });
}

void add_top(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command =
      app.add_subcommand("top", "What the handlers do, each second, until it is interrupted");
  command->final_callback([&] { chosen = [&a] { return show_top(Connection(a.socket)); }; });
}

void add_tail(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "tail", "A line for each delivery as it is answered, until it is interrupted");
  command->add_option("FILTER", a.filter, "Of topics that this topic filter matches");
  command->add_flag("--json", a.json, "As JSON, an object a line");
  command->final_callback([&] {
    chosen = [&a] {
      if (const std::string why = topic_filter_error(a.filter); !a.filter.empty() && !why.empty())
        return invalid("topic filter", a.filter, why);
      return tail_deliveries(Connection(a.socket), a.filter, a.json);
    };
  });
}

void add_route(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "route",
      "Which handlers a message on TOPIC would reach, and through which filter: exit status 1 "
      "when none is");
  command->add_option("TOPIC", a.topic, "A topic name")->required();
  command->add_flag("--json", a.json, "As JSON");
  command->final_callback([&] {
    chosen = [&a] {
      if (const std::string why = topic_name_error(a.topic); !why.empty())
        return invalid("topic", a.topic, why);
      return show_route(Connection(a.socket), a.topic, a.json);
    };
  });
}

void add_log_level(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "log-level", "What is logged, in general or about one handler, until the next reload");
  command
      ->add_option("[HANDLER] LEVEL", a.level,
                   "A handler's name, if it is about one; then debug, info, warning or error")
      ->required()
      ->expected(1, 2);
  command->final_callback([&] {
    chosen = [&a] {
      return set_log_level(Connection(a.socket), a.level.size() == 2 ? a.level.front() : "",
                           a.level.back());
    };
  });
}

void add_reload(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "reload",
      "Take up the changed configuration: exit status 0 when all of it is in force, 78 with the "
      "reasons when nothing was changed");
  command->final_callback([&] { chosen = [&a] { return reload(Connection(a.socket)); }; });
}

// Of what a script has left empty nothing is meant, least of all everything.
const CLI::Validator kHandlerName(
    [](const std::string& text) { return text.empty() ? "expected a handler's name" : ""; },
    "NAME");
// CLI11 makes the largest there is of a number that is larger.
const CLI::Validator kLetterId(
    [](const std::string& text) {
      std::int64_t id = 0;
      const char* const last = text.data() + text.size();
      const auto [end, error] = std::from_chars(text.data(), last, id);
      if (error == std::errc() && end == last && id > 0) return std::string();
      return "'" + shown_short(text) + "' is no id: expected a number that 'list' shows";
    },
    "ID");

void add_pausing(CLI::App& app, const char* name, const char* help, Arguments& a, Command& chosen,
                 int (*act)(const Connection&, const std::string&)) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("HANDLER", a.handler, "Its name")->required()->check(kHandlerName);
  command->final_callback(
      [&a, &chosen, act] { chosen = [&a, act] { return act(Connection(a.socket), a.handler); }; });
}

// A command on dead letters that says which: by ids, or all.
void add_settling(CLI::App& letters, const char* name, const char* help, Arguments& a,
                  Command& chosen, int (*act)(const Connection&, const DeadLetters&)) {
  CLI::App* command = letters.add_subcommand(name, help);
  CLI::Option_group* which = command->add_option_group("which", "One of the two");
  which->add_option("ID", a.letters.ids, "As 'list' shows them")->check(kLetterId);
  CLI::Option* all = which->add_flag("--all", a.letters.all, "Every one there is now");
  which->require_option(1);
  command->add_option("--handler", a.letters.handler, "Of this handler only")
      ->check(kHandlerName)
      ->needs(all);
  command->final_callback(
      [&a, &chosen, act] { chosen = [&a, act] { return act(Connection(a.socket), a.letters); }; });
}

void add_dead_letters(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* letters = app.add_subcommand("dead-letters", "Messages that were given up");
  letters->require_subcommand(1);
  CLI::App* list = letters->add_subcommand("list", "Which there are, the oldest first");
  list->add_option("--handler", a.handler, "Of this handler only")->check(kHandlerName);
  list->add_flag("--json", a.json, "As JSON");
  list->final_callback([&] {
    chosen = [&a] { return list_dead_letters(Connection(a.socket), a.handler, a.json); };
  });
  CLI::App* show = letters->add_subcommand("show", "One of them, with its payload");
  show->add_option("ID", a.id, "As 'list' shows it")->required()->check(kLetterId);
  show->add_flag("--json", a.json, "As JSON");
  show->final_callback(
      [&] { chosen = [&a] { return show_dead_letter(Connection(a.socket), a.id, a.json); }; });
  add_settling(*letters, "replay", "Give them to their handlers again, as new messages", a, chosen,
               replay_dead_letters);
  add_settling(*letters, "drop", "Delete them", a, chosen, drop_dead_letters);
}

void add_forget(CLI::App& app, Arguments& a, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "forget", "Delete what waits for a handler that is not configured any more");
  command->add_option("HANDLER", a.handler, "Its name")->required()->check(kHandlerName);
  command->final_callback(
      [&] { chosen = [&a] { return forget_messages(Connection(a.socket), a.handler); }; });
}

// A word that is no command, in the words that help; empty when all is well so far.
std::string unknown_command(const CLI::App& app, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--socket") ++i;
    if (word.starts_with('-')) continue;
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
    if (std::ranges::find(names, word) != names.end()) return {};
    const std::string near = nearest(word, names);
    return "'" + shown_short(word) +
           "' is no command: " + (near.empty() ? "" : "did you mean '" + near + "'? ") +
           "see fastmqttctl --help";
  }
  return {};
}

}  // namespace
}  // namespace fastmqttd

int main(int argc, char** argv) {
  using namespace fastmqttd;
  Arguments arguments;
  Command chosen;
  const bool endless = argc > 1 && std::any_of(argv + 1, argv + argc, [](const char* word) {
                         return std::strcmp(word, "tail") == 0 || std::strcmp(word, "top") == 0;
                       });
  CLI::App app("The operator's tool of fastmqttd.", "fastmqttctl");
  app.set_version_flag("--version", std::string("fastmqttctl ") + build::kVersion);
  app.add_option("--socket", arguments.socket, "Where the daemon is reached")
      ->capture_default_str();
  app.require_subcommand(1);
  app.fallthrough();  // --socket may stand anywhere
  add_status(app, arguments, chosen);
  add_handlers(app, arguments, chosen);
  add_route(app, arguments, chosen);
  add_tail(app, arguments, chosen);
  add_top(app, arguments, chosen);
  add_reload(app, arguments, chosen);
  add_pausing(app, "pause", "Let a handler's messages wait, until it is resumed", arguments, chosen,
              pause_handler);
  add_pausing(app, "resume", "Give a handler that is paused its messages again", arguments, chosen,
              resume_handler);
  add_log_level(app, arguments, chosen);
  add_dead_letters(app, arguments, chosen);
  add_forget(app, arguments, chosen);
  add_match(app, arguments, chosen);
  add_try(app, arguments.trial, chosen);
  if (const std::string unknown = unknown_command(app, argc, argv); !unknown.empty())
    return report({static_cast<int>(ExitStatus::usage), {unknown}});
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitStatus::usage);
  }
  try {
    const int status = chosen();
    // Whoever goes on from what was printed must not take a part for the whole.
    std::cout.flush();
    const bool written = std::fflush(stdout) == 0 && !std::ferror(stdout) && std::cout;
    if (!written && errno == EPIPE && endless) return status;  // who reads has seen enough
    if (!written)
      throw Failure{static_cast<int>(ExitStatus::spool),
                    {"standard output: cannot be written: " + std::string(std::strerror(errno))}};
    return status;
  } catch (const Failure& failure) {
    return report(failure);
  } catch (const std::exception& error) {
    return report({static_cast<int>(ExitStatus::internal),
                   {std::string("internal error: ") + error.what() + ": please report it"}});
  }
}
