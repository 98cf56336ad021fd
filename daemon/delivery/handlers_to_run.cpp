#include "daemon/delivery/handlers_to_run.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

#include "daemon/base/nearest.hpp"

namespace fastmqttd {
namespace {

std::vector<SubscriptionConfig> default_subscriptions(const HandlerLibrary& library) {
  std::vector<SubscriptionConfig> subscriptions;
  for (const TopicFilter& topic : library.topics)
    subscriptions.push_back(SubscriptionConfig{.topic = topic});
  return subscriptions;
}

// Whether the plugin is missing only because its file, or a whole directory, was refused.
bool is_consequence(const HandlerConfig& handler, const Config& config,
                    const std::vector<Problem>& problems) {
  return std::ranges::any_of(problems, [&](const Problem& problem) {
    const std::filesystem::path file = problem.place.file;
    return (file.extension() == ".so" && file.stem() == handler.plugin) ||
           std::ranges::find(config.plugin_directories, problem.place.file) !=
               config.plugin_directories.end();
  });
}

bool has_entry(const Config& config, const HandlerLibrary& library) {
  return std::ranges::any_of(config.handlers, [&](const HandlerConfig& handler) {
    return handler.plugin == library.name || handler.name == library.name;
  });
}

Problem no_such_plugin(const HandlerConfig& handler, const std::vector<HandlerLibrary>& libraries) {
  std::vector<std::string> names;
  std::string expected;
  for (const HandlerLibrary& library : libraries) {
    names.push_back(library.name);
    expected += (expected.empty() ? "one of " : ", ") + library.name;
  }
  if (expected.empty()) expected = "the plugin directories hold none";
  if (const std::string near = nearest(handler.plugin, names); !near.empty())
    expected = "did you mean '" + near + "'? " + expected;
  return {handler.place, "handlers." + handler.name + ".plugin",
          "there is no plugin '" + handler.plugin + "'", expected, false};
}

// There is one subscription for all handlers of a filter.  With retain_as_published it cannot tell
// a retained message from a live one, so nobody can skip the former.
void check_retained(const std::vector<HandlerToRun>& handlers, std::vector<Problem>& problems) {
  std::map<std::string, const HandlerConfig*> keeping;
  for (const HandlerToRun& handler : handlers)
    for (const SubscriptionConfig& s : *handler.config.subscribe)
      if (s.retain_as_published) keeping.emplace(s.topic.text(), &handler.config);
  for (const HandlerToRun& handler : handlers) {
    if (!handler.config.skip_retained) continue;
    for (const SubscriptionConfig& s : *handler.config.subscribe) {
      const auto other = keeping.find(s.topic.text());
      if (other == keeping.end()) continue;
      problems.push_back(
          {handler.config.place, "handlers." + handler.config.name + ".skip_retained",
           "cannot be had with retain_as_published for " + s.topic.text() + ", which handlers." +
               other->second->name + " at " + to_string(other->second->place) + " asks for",
           "one of the two", false});
    }
  }
}

}  // namespace

std::vector<HandlerToRun> choose_handlers(const Config& config,
                                          const std::vector<HandlerLibrary>& libraries,
                                          std::vector<Problem>& problems) {
  std::vector<HandlerToRun> chosen;
  for (const HandlerConfig& handler : config.handlers) {
    if (!handler.enabled) continue;
    const auto library = std::ranges::find(libraries, handler.plugin, &HandlerLibrary::name);
    if (library == libraries.end()) {
      if (!is_consequence(handler, config, problems))
        problems.push_back(no_such_plugin(handler, libraries));
      continue;
    }
    HandlerToRun run{handler, &*library};
    if (!run.config.subscribe) run.config.subscribe = default_subscriptions(*library);
    if (run.config.subscribe->empty()) {
      problems.push_back({handler.place, "handlers." + handler.name, "it has no topics",
                          "a 'subscribe' with at least one topic filter: the plugin '" +
                              library->name + "' declares none of its own",
                          false});
      continue;
    }
    if (handler.workers > 1 && (library->handler->flags & FASTMQTT_SHARDABLE) == 0) {
      problems.push_back(
          {handler.workers_place, "handlers." + handler.name + ".workers",
           "cannot be " + std::to_string(handler.workers),
           "expected 1: the plugin '" + library->name + "' does not set FASTMQTT_SHARDABLE",
           false});
      continue;
    }
    chosen.push_back(std::move(run));
  }

  for (const HandlerLibrary& library : libraries) {
    if (has_entry(config, library) || library.topics.empty()) continue;
    HandlerToRun run{{}, &library};
    run.config.name = run.config.plugin = library.name;
    run.config.subscribe = default_subscriptions(library);
    chosen.push_back(std::move(run));
  }
  check_retained(chosen, problems);
  return chosen;
}

std::vector<std::string> plugins_without_entry(const Config& config,
                                               const std::vector<HandlerLibrary>& libraries) {
  std::vector<std::string> names;
  for (const HandlerLibrary& library : libraries)
    if (library.topics.empty() && !has_entry(config, library)) names.push_back(library.name);
  return names;
}

std::set<std::string> plugins_kept_off(const Config& config) {
  std::set<std::string> off;
  for (const HandlerConfig& handler : config.handlers)
    if (!handler.enabled) off.insert(handler.plugin);
  for (const HandlerConfig& handler : config.handlers)
    if (handler.enabled) off.erase(handler.plugin);
  return off;
}

}  // namespace fastmqttd
