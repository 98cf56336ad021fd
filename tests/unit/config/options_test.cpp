#include "daemon/config/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/config/temp_files.hpp"

namespace fastmqttd {
namespace {

using ::testing::ElementsAre;
using testing::ScopedEnv;
using testing::TempFiles;

class Options : public ::testing::Test {
 protected:
  // The options of a handler h, each line of `yaml` indented as it has to be.
  HandlerOptions read(const std::string& yaml) {
    std::istringstream lines(yaml);
    std::string text = "handlers:\n  h:\n    options:\n";
    for (std::string line; std::getline(lines, line);) text += "      " + line + "\n";
    main_ = files_.write("main.yaml", text);
    return read_config(main_).handlers.at(0).options;
  }
  std::string problems(const std::string& options) {
    files_.write("main.yaml", "handlers: {h: {options: " + options + "}}");
    return files_.problems();
  }
  static std::string text(const HandlerOptions& options, std::string_view path) {
    const auto* entry = options.find(path);
    return entry == nullptr ? "(none)" : entry->text;
  }
  static std::string shown(const HandlerOptions& options, std::string_view path) {
    const auto* entry = options.find(path);
    return entry == nullptr ? "(none)" : entry->shown;
  }

  TempFiles files_;
  std::string main_;
};

TEST_F(Options, AreFoundByPath) {
  const HandlerOptions options = read(
      "file: readings.db\ncommand: [/bin/echo, \"5\", 6]\nnested:\n  a.b: {c: true}\nempty: ''");
  EXPECT_EQ(text(options, "file"), "readings.db");
  EXPECT_EQ(text(options, "command.0"), "/bin/echo");
  EXPECT_EQ(text(options, "command.1"), "5");
  EXPECT_EQ(text(options, "command"), "- /bin/echo\n- \"5\"\n- 6");
  EXPECT_EQ(text(options, "nested.a.b.c"), "true");
  EXPECT_EQ(text(options, "nested"), "a.b:\n  c: true");
  EXPECT_EQ(text(options, "empty"), "");
  EXPECT_EQ(text(options, "none"), "(none)");
  EXPECT_TRUE(options.find("file")->scalar);
  EXPECT_FALSE(options.find("command")->scalar);
  EXPECT_EQ(text(options, ""),
            "file: readings.db\ncommand:\n  - /bin/echo\n  - \"5\"\n  - 6\nnested:\n  a.b:\n"
            "    c: true\nempty: \"\"");
}

TEST_F(Options, KnowTheirPlaces) {
  const HandlerOptions options = read("file: a\ncommand:\n  - b");
  EXPECT_EQ(options.find("file")->place, (Place{main_, 4, 13}));
  EXPECT_EQ(options.find("file")->key_place, (Place{main_, 4, 7}));
  EXPECT_EQ(options.find("command.0")->place, (Place{main_, 6, 11}));
  EXPECT_EQ(options.find("command.0")->key_place, (Place{main_, 6, 11}));
  EXPECT_EQ(options.find("")->place, (Place{main_, 4, 7}));
}

TEST_F(Options, ListTheirNamesAtTheTop) {
  const HandlerOptions options = read("b: {c: 1}\na: [x]\nn: ~");
  std::vector<std::string> names;
  for (const auto* entry : options.top()) names.push_back(entry->path);
  EXPECT_THAT(names, ElementsAre("b", "a", "n"));
}

TEST_F(Options, AnEmptyOneIsNamedButNotFound) {
  const HandlerOptions options = read("a: ~\nl: [~]");
  EXPECT_EQ(options.find("a"), nullptr);
  EXPECT_EQ(options.find("l.0"), nullptr);
  EXPECT_EQ(text(options, ""), "a: ~\nl:\n  - ~");
}

TEST_F(Options, MayBeLeftOut) {
  for (const char* none : {"", "~", "{}"}) {
    files_.write("main.yaml", std::string("handlers: {h: {options: ") + none + "}}");
    EXPECT_TRUE(read_config(files_.path("main.yaml")).handlers.at(0).options.empty()) << none;
  }
}

TEST_F(Options, ExpandReferencesButShowThemAsWritten) {
  const ScopedEnv number("FASTMQTTD_TEST", "5");
  const HandlerOptions options = read("a: ${env:FASTMQTTD_TEST}\nb: ['x$$y', $SYS/z]");
  EXPECT_EQ(text(options, "a"), "5");
  EXPECT_EQ(shown(options, "a"), "${env:FASTMQTTD_TEST}");
  EXPECT_EQ(text(options, "b.0"), "x$y");
  // What a reference stands for is text, never a number.
  EXPECT_EQ(text(options, ""), "a: \"5\"\nb:\n  - \"x$y\"\n  - $SYS/z");
  EXPECT_EQ(shown(options, ""), "a: ${env:FASTMQTTD_TEST}\nb:\n  - \"x$$y\"\n  - $SYS/z");
}

TEST_F(Options, MaskSecretsInWhatIsShown) {
  const ScopedEnv secret("FASTMQTTD_TEST", "hidden");
  const HandlerOptions options = read(
      "db_Password: hidden\npasswd: hidden\nclient_secret: {a: [hidden]}\naccess_token: hidden\n"
      "API_KEY: 'hidden'\nheaders: {Authorization: Bearer hidden}\ntoken2: ${env:FASTMQTTD_TEST}\n"
      "token3: hidden${env:FASTMQTTD_TEST}\npassword4: hid$$den\nuser: me");
  EXPECT_EQ(text(options, "db_Password"), "hidden");
  EXPECT_EQ(text(options, "client_secret.a.0"), "hidden");
  EXPECT_EQ(shown(options, "token2"), "${env:FASTMQTTD_TEST}");
  EXPECT_EQ(shown(options, "user"), "me");
  for (const auto& entry : options.entries()) {
    EXPECT_EQ(entry.shown.find("hidden"), std::string::npos) << entry.path;
    EXPECT_EQ(entry.shown.find("hid$$den"), std::string::npos) << entry.path;
  }
  EXPECT_EQ(shown(options, "client_secret.a.0"), "********");
}

TEST_F(Options, NameTheReferenceThatFails) {
  EXPECT_EQ(problems("{a: {b: ['${file:/no/such}']}}"),
            "main.yaml:1:34: handlers.h.options.a.b.0: ${file:/no/such}: cannot be opened: No such "
            "file or directory");
}

TEST_F(Options, AreAMapOfNames) {
  const std::string expected = ": expected the plugin's options, each with a value";
  EXPECT_EQ(problems("hidden"), "main.yaml:1:25: handlers.h.options: cannot be text" + expected);
  EXPECT_EQ(problems("[a]"), "main.yaml:1:25: handlers.h.options: cannot be a list" + expected);
  EXPECT_EQ(problems("{a.b: 1, '': 2}"),
            "main.yaml:1:26: handlers.h.options.a.b: is not the name of an option: expected at "
            "least one character and no '.'\n"
            "main.yaml:1:34: handlers.h.options.: is not the name of an option: expected at "
            "least one character and no '.'");
}

TEST_F(Options, KnowTheirMembers) {
  const HandlerOptions options = read("command: [a, b]\nheaders: {x.y: 1, z: 2}\nn: ~");
  EXPECT_THAT(options.find("")->members, ElementsAre("command", "headers", "n"));
  EXPECT_TRUE(options.find("command")->list);
  EXPECT_THAT(options.find("command")->members, ElementsAre("0", "1"));
  EXPECT_FALSE(options.find("headers")->list);
  EXPECT_THAT(options.find("headers")->members, ElementsAre("x.y", "z"));
}

TEST_F(Options, HaveOnePathEach) {
  EXPECT_EQ(
      problems("{headers: {\"a.b\": 1, a: {b: 2}}}"),
      "main.yaml:1:50: handlers.h.options.headers.a.b: stands there twice, since \"a.b\" is b "
      "within a too: expected another name for one of the two");
}

}  // namespace
}  // namespace fastmqttd
