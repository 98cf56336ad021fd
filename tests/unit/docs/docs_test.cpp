// What the documents claim and a program can check.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

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

// Each room includes only itself and rooms named before it.
TEST(Docs, RoomsIncludeOnlyRoomsBeforeThem) {
  const std::vector<std::string> rooms = {"base",     "message", "config", "plugin",
                                          "delivery", "session", "operate"};
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
