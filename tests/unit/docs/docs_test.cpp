// What the documents claim and a program can check.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "daemon/config/print.hpp"
#include "daemon/config/reader.hpp"
#include "daemon/config/schema.hpp"

namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kSource = FASTMQTTD_SOURCE_DIR;

std::string read(const fs::path& file) {
  const std::ifstream in(kSource / file);
  std::ostringstream text;
  text << in.rdbuf();
  EXPECT_FALSE(text.str().empty()) << file;
  return text.str();
}

TEST(Docs, ReadmeShowsTheExampleHandlerAsItIs) {
  EXPECT_THAT(read("README.md"),
              HasSubstr("```cpp\n" + read("handlers/thermostat/thermostat.cpp") + "```\n"));
}

TEST(Docs, EveryHandlerIsListedAndExplained) {
  const std::string list = read("handlers/README.md");
  for (const auto& entry : fs::directory_iterator(kSource / "handlers")) {
    const std::string name = entry.path().filename();
    if (!fs::exists(entry.path() / (name + ".cpp")) || name == "thermostat") continue;
    EXPECT_THAT(list, HasSubstr("[" + name + "](" + name + "/README.md)"));
    EXPECT_THAT(read(fs::path("handlers") / name / "README.md"), HasSubstr("# " + name));
  }
}

TEST(Docs, EveryRoomIsInTheArchitecture) {
  const std::string architecture = read("ARCHITECTURE.md");
  for (const auto& entry : fs::directory_iterator(kSource / "daemon")) {
    if (!entry.is_directory()) continue;
    EXPECT_THAT(architecture, HasSubstr("| `" + entry.path().filename().string() + "` |"));
  }
}

// Every option that the program names in its help stands in its man page.
void expect_options_documented(const char* program, const fs::path& page) {
  std::string text = read(page);
  std::erase(text, '\\');
  FILE* help = ::popen((std::string(program) + " --help").c_str(), "r");
  ASSERT_NE(help, nullptr);
  std::string said;
  for (int c; (c = std::fgetc(help)) != EOF;) said += static_cast<char>(c);
  ASSERT_EQ(::pclose(help), 0);
  const std::regex option("--[a-z-]+");
  for (std::sregex_iterator at(said.begin(), said.end(), option), end; at != end; ++at)
    EXPECT_THAT(text, HasSubstr(at->str())) << page;
}

TEST(Docs, EveryOptionIsInTheManPage) {
  expect_options_documented(FASTMQTTD_PROGRAM, "packaging/man/fastmqttd.8");
  expect_options_documented(FASTMQTTCTL_PROGRAM, "packaging/man/fastmqttctl.1");
}

// Every function, field, answer and flag of the ABI.
TEST(Docs, TheManPageOfHandlersNamesAllOfTheAbi) {
  std::string page = read("packaging/man/fastmqtt-handler.7");
  std::erase(page, '\\');
  const std::string header = read("handlers/include/fastmqtt/handler.h");
  std::set<std::string> names;
  const std::regex function("\\(\\*([a-z_]+)\\)\\(");
  for (std::sregex_iterator at(header.begin(), header.end(), function), end; at != end; ++at)
    names.insert((*at)[1]);
  EXPECT_GE(names.size(), 16u);
  const std::regex field("\\n  [a-z0-9_ ]*[a-z0-9_]+[ *]+([a-z0-9_]+)(, [a-z, ]+)?;");
  for (std::sregex_iterator at(header.begin(), header.end(), field), end; at != end; ++at)
    names.insert((*at)[1]);
  for (const char* name : {"FASTMQTT_OK", "FASTMQTT_RETRY", "FASTMQTT_REJECT", "FASTMQTT_PENDING",
                           "FASTMQTT_SHARDABLE", "FASTMQTT_BATCHES", "FASTMQTT_ESSENTIAL",
                           "FASTMQTT_HAS", "FASTMQTT_ABSENT", "FASTMQTT_MAP"})
    names.insert(name);
  for (const char* part : {"data", "number", "value"}) names.erase(part);  // of views, properties
  for (const std::string& name : names) EXPECT_THAT(page, HasSubstr(name));
}

// The keys that a man page explains, "mqtt.ssl.ca_file", with the defaults it gives: .SS names a
// section, .TP or .TQ is followed by .B or .BR with a key, and the default in parentheses.
std::map<std::string, std::string> keys_of_the_man_page() {
  std::istringstream page(read("packaging/man/fastmqttd.yaml.5"));
  std::map<std::string, std::string> keys;
  std::string section;
  bool in_sections = false, at_key = false;
  const std::regex form("\\.BR? ([a-z_]+)(?: \"(?: \\((.*)\\)|, )\"(?: ([a-z_]+))?)?");
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with(".SH ")) in_sections = line == ".SH SECTIONS";
    if (line.starts_with(".SS ")) section = line == ".SS At the top" ? "" : line.substr(4) + ".";
    std::smatch match;
    if (in_sections && at_key && std::regex_match(line, match, form)) {
      keys[section + match[1].str()] = match[2];
      if (match[3].matched) keys[section + match[3].str()] = "";
    }
    at_key = line == ".TP" || line == ".TQ";
  }
  return keys;
}

TEST(Docs, TheManPageOfTheConfigurationHasEveryKeyAndNoOther) {
  std::set<std::string> documented;
  for (const auto& [key, value] : keys_of_the_man_page()) documented.insert(key);
  std::set<std::string> known;
  // Sections have a heading of their own.
  for (const std::string& name : fastmqttd::KeyNames::all())
    if (name != "mqtt" && name != "handlers" && name != "log" && name != "spool" &&
        name != "control" && name != "http")
      known.insert(name);
  EXPECT_EQ(documented, known);
}

TEST(Docs, TheManPageOfTheConfigurationTellsTheDefaults) {
  const auto keys = keys_of_the_man_page();
  std::string yaml = "handlers: {x: {subscribe: [{topic: a}]}}\nmqtt: {ssl: {verify: true}}\n";
  std::string wrong;
  // Read with the documented defaults written out, everything is as it is without them.
  std::map<std::string, std::string> sections;
  for (const auto& [key, value] : keys) {
    if (value.empty() || key == "mqtt.ssl" || key.ends_with("subscribe")) continue;
    std::string section = key.substr(0, key.rfind('.') == std::string::npos ? 0 : key.rfind('.'));
    sections[section] += key.substr(section.empty() ? 0 : section.size() + 1) + ": " + value + ", ";
  }
  const auto filled = [&](const std::string& section) { return "{" + sections[section] + "}"; };
  const std::string written = "{" + sections[""] + "mqtt: {" + sections["mqtt"] +
                              "ssl: " + filled("mqtt.ssl") + "}, log: " + filled("log") +
                              ", control: " + filled("control") + ", handlers: {x: {" +
                              sections["handlers.*"] + "queue: " + filled("handlers.*.queue") +
                              ", retry: " + filled("handlers.*.retry") + ", subscribe: [{" +
                              sections["handlers.*.subscribe.*"] + "topic: a}]}}}\n";
  const auto print = [](const std::string& text) {
    const fs::path file =
        fs::path(::testing::TempDir()) / ("man-" + std::to_string(::getpid()) + ".yaml");
    std::ofstream(file) << text;
    fs::permissions(file, fs::perms(0644));
    const std::string printed = fastmqttd::print_config(fastmqttd::read_config(file));
    fs::remove(file);
    return printed;
  };
  EXPECT_EQ(print(written), print(yaml)) << written;
}

TEST(Docs, ReadmeAndTutorialBuildByHandInTheSameWay) {
  const std::string line =
      "g++ -std=c++20 thermostat.cpp -o thermostat.so $(pkg-config --cflags --libs "
      "fastmqtt-handler)\n";
  EXPECT_THAT(read("README.md"), HasSubstr(line));
  EXPECT_THAT(read("handlers/README.md"), HasSubstr(line));
}

// Each room includes only itself and rooms named before it.
// ---- what is installed beside the programs -----------------------------------------------------

std::set<std::string> all_matches(const std::string& text, const std::string& form) {
  std::set<std::string> found;
  const std::regex regex(form);
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at)
    found.insert((*at)[1]);
  return found;
}

TEST(Docs, EveryEventIsInTheCatalog) {
  const std::set<std::string> events =
      all_matches(read("daemon/base/events.hpp"), "\"([0-9a-f]{32})\"");
  EXPECT_EQ(all_matches(read("systemd/fastmqttd.catalog"), "-- ([0-9a-f]{32})\n"), events);
  EXPECT_GE(events.size(), 15u);
  // What it has no use for nobody needs to read.
  std::string code;
  for (const auto& file : fs::recursive_directory_iterator(kSource / "daemon"))
    if (file.path().extension() == ".cpp") code += read(fs::relative(file.path(), kSource));
  for (const std::string& name : all_matches(read("daemon/base/events.hpp"), "(k[A-Z][A-Za-z]+) ="))
    EXPECT_THAT(code, HasSubstr("event::" + name));
}

TEST(Docs, TheDashboardAsksForWhatThereIs) {
  const std::string code = read("daemon/operate/metrics.cpp");
  const auto asked =
      all_matches(read("packaging/grafana/fastmqttd.json"), "(fastmqttd_[a-z_]+)[{,]");
  EXPECT_GE(asked.size(), 15u);
  for (const std::string& name : asked)
    EXPECT_THAT(code, HasSubstr('"' + std::regex_replace(name, std::regex("_bucket$"), "") + '"'));
}

TEST(Docs, EveryCommandIsCompletedAndInTheManPage) {
  const auto commands =
      all_matches(read("daemon/ctl/main.cpp"), "add_subcommand\\(\\s*\"([a-z-]+)\"");
  EXPECT_GE(commands.size(), 11u);
  const std::string man =
      std::regex_replace(read("packaging/man/fastmqttctl.1"), std::regex("\\\\-"), "-");
  for (const std::string& command : commands) {
    EXPECT_THAT(man, HasSubstr(command));
    for (const char* shell : {"fastmqttctl.bash", "_fastmqttctl", "fastmqttctl.fish"})
      EXPECT_THAT(read(fs::path("packaging/completions") / shell), HasSubstr(command)) << shell;
  }
}

TEST(Docs, EveryOptionIsCompletedAndInTheManPage) {
  const auto options =
      all_matches(read("daemon/ctl/main.cpp"), "add_(?:option|flag)\\(\\s*\"--([a-z-]+)\"");
  EXPECT_GE(options.size(), 13u);
  const std::string man =
      std::regex_replace(read("packaging/man/fastmqttctl.1"), std::regex("\\\\-"), "-");
  for (const std::string& option : options) {
    EXPECT_THAT(man, HasSubstr("--" + option));
    EXPECT_THAT(read("packaging/completions/fastmqttctl.bash"), HasSubstr("--" + option));
    EXPECT_THAT(read("packaging/completions/_fastmqttctl"), HasSubstr("--" + option + "["));
    EXPECT_THAT(read("packaging/completions/fastmqttctl.fish"), HasSubstr("-l " + option + " "));
  }
}

TEST(Docs, EveryRequestIsInTheManPage) {
  const auto paths = all_matches(read("daemon/operate/control_server.cpp"), "\"(/v1/[a-z/-]+)\"");
  EXPECT_GE(paths.size(), 13u);
  const std::string man =
      std::regex_replace(read("packaging/man/fastmqttd-control.7"), std::regex("\\\\-"), "-");
  for (const std::string& path : paths) EXPECT_THAT(man, HasSubstr(path));
}

TEST(Docs, RoomsIncludeOnlyRoomsBeforeThem) {
  const std::vector<std::string> rooms = {"base",  "message",  "config",  "plugin",
                                          "spool", "delivery", "session", "operate"};
  for (std::size_t i = 0; i < rooms.size(); ++i)
    for (const auto& entry : fs::directory_iterator(kSource / "daemon" / rooms[i])) {
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);)
        for (std::size_t later = i + 1; later < rooms.size(); ++later)
          EXPECT_NE(line.rfind("#include \"daemon/" + rooms[later] + "/", 0), 0u)
              << entry.path() << ": " << line;
    }
}

}  // namespace
