// What is installed for authors of handlers, used as they use it: outside of this tree.
#include <cstdlib>

#include "tests/integration/integration_test.hpp"

namespace fastmqttd::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class Sdk : public IntegrationTest {
 protected:
  // The SDK below a prefix of its own, and a project beside it.
  void SetUp() override {
    shell("cmake --install " FASTMQTTD_BUILD_DIR " --prefix " + prefix().string());
    fs::create_directory(project());
  }

  fs::path prefix() const { return directory_ / "prefix"; }
  fs::path project() const { return directory_ / "project"; }
  static fs::path handlers() { return FASTMQTTD_SOURCE_DIR "/handlers"; }

  // Runs in the project; throws with all that was said when it fails.
  std::string shell(const std::string& line) const {
    const std::string where = fs::exists(project()) ? "cd " + project().string() + " && " : "";
    const std::string pkg_config =
        "export PKG_CONFIG_PATH=$(dirname $(find " + prefix().string() +
        " -name fastmqtt-handler.pc 2>/dev/null) 2>/dev/null); export CXX=" FASTMQTTD_CXX "; ";
    const Finished done = run({.argv = {"bash", "-c", where + pkg_config + line}}, 120s);
    if (done.exit != Exit{}) throw std::runtime_error(line + "\n" + done.output + done.errors);
    return done.output;
  }
  void build_with_cmake() const {
    shell("cmake -G Ninja -S . -B build -DCMAKE_PREFIX_PATH=" + prefix().string() +
          " && cmake --build build");
  }
  void drop_in(const fs::path& plugin) const {
    fs::copy_file(plugin, daemon_.plugin_directory() / plugin.filename());
    set_mode(daemon_.plugin_directory() / plugin.filename(), 0755);
  }
  static std::string symbols(const fs::path& plugin) {
    return run({.argv = {"bash", "-c",
                         "nm -D --defined-only " + plugin.string() + " | awk '{print $3}'"}})
        .output;
  }
  // With no YAML but where the broker is.
  void start_dropped_in(const std::vector<std::string>& filters) {
    broker_.start();
    daemon_.configure(daemon_.mqtt_section(broker_));
    daemon_.start_ready();
    await_subscriptions(filters);
  }

  TempDir directory_;
};

TEST_F(Sdk, TheTemplateBuildsTestsItselfAndRuns) {
  fs::copy(handlers() / "template", project(), fs::copy_options::recursive);
  build_with_cmake();
  EXPECT_THAT(shell("ctest --test-dir build"), HasSubstr("100% tests passed"));
  const std::string readme = read_file(project() / "README.md");
  const std::string line =
      "fastmqttctl try build/my_handler.so --topic example/hall/reading --payload 31.5";
  ASSERT_THAT(readme, HasSubstr(line));
  EXPECT_THAT(readme, HasSubstr("```\n" + shell((prefix() / "bin" / line).string()) + "```\n"));
  shell("cmake --install build --prefix " + (directory_ / "site").string());
  drop_in(directory_ / "site/lib/fastmqttd/handlers/my_handler.so");
  EXPECT_EQ(symbols(daemon_.plugin_directory() / "my_handler.so"), "fastmqtt_handler_v1\n");
  start_dropped_in({"example/+/reading"});
  const Subscriber subscriber(broker_, "alarm/#");
  publish(broker_, "example/hall/reading", "31.5");
  EXPECT_EQ(subscriber.wait_for("alarm/example/hall/reading"), "on");
}

TEST_F(Sdk, TheReadmesHandlerBuildsByHandAndRuns) {
  fs::copy_file(handlers() / "thermostat/thermostat.cpp", project() / "thermostat.cpp");
  // The line of README.
  shell(
      "$CXX -std=c++20 thermostat.cpp -o thermostat.so "
      "$(pkg-config --cflags --libs fastmqtt-handler)");
  drop_in(project() / "thermostat.so");
  EXPECT_EQ(symbols(daemon_.plugin_directory() / "thermostat.so"), "fastmqtt_handler_v1\n");
  start_dropped_in({"home/+/temperature"});
  publish(broker_, "home/hall/temperature", "12.5");
  await_log("thermostat: home/hall/temperature: too cold");
}

// The tutorial alone: each piece of code that begins with "// NAME" is that file, and each command
// line for it is run as it stands there.
class Tutorial : public Sdk {
 protected:
  void write_files() const {
    for (const std::string& block : blocks()) {
      if (!block.starts_with("// ")) continue;
      const std::string name = block.substr(3, block.find_first_of(" \n", 3) - 3);
      write_file(project() / name, block);
    }
  }
  // The first command line of the tutorial that begins like this.
  static std::string command(const std::string& start) {
    for (const std::string& block : blocks())
      for (const std::string& line : lines_of(block))
        if (line.starts_with(start)) return line;
    throw std::runtime_error("the tutorial has no line " + start);
  }

 private:
  static std::vector<std::string> blocks() {
    std::vector<std::string> found;
    bool inside = false;
    for (const std::string& line : lines_of(read_file(handlers() / "README.md"))) {
      if (line.starts_with("```")) {
        inside = !inside;
        if (inside) found.emplace_back();
      } else if (inside) {
        found.back() += line + "\n";
      }
    }
    return found;
  }
};

TEST_F(Tutorial, ItsFirstHandlerIsBuiltTestedDroppedInAndSeenWorking) {
  write_files();
  shell(command("g++ -std=c++20 thermostat.cpp -o thermostat.so"));
  shell(command("g++ -std=c++20 thermostat_test.cpp") + " && ./thermostat_test");
  const std::string tried = shell("PATH=" + (prefix() / "bin").string() + ":$PATH; " +
                                  command("$ fastmqttctl try").substr(2));
  EXPECT_EQ(tried, "publish: home/heating (QoS 1): on\nresult: ok\n");
  drop_in(project() / "thermostat.so");
  start_dropped_in({"home/+/temperature"});
  const Subscriber subscriber(broker_, "home/heating");
  publish(broker_, "home/hall/temperature", "16.5");
  EXPECT_EQ(subscriber.wait_for("home/heating"), "on");
}

TEST_F(Tutorial, ItsOtherHandlersRunTogether) {
  write_files();
  for (const char* name : {"options", "publishing", "batches", "later"}) {
    const std::string n(name);
    shell("$CXX -std=c++20 -Wall -Wextra -Werror " + n + ".cpp -o " + n +
          ".so $(pkg-config --cflags --libs fastmqtt-handler)");
    drop_in(project() / (n + ".so"));
  }
  shell(command("cc echo.c"));
  drop_in(project() / "echo.so");
  broker_.start();
  daemon_.configure(daemon_.mqtt_section(broker_) +
                    "handlers:\n"
                    "  options: {options: {limit: 21, file: readings.db,\n"
                    "    command: [/usr/bin/logger, -t, mqtt], headers: {Accept: text/plain}}}\n"
                    "  batches: {options: {file: " +
                    daemon_.file("lines").string() + "}}\n");
  daemon_.start_ready();
  await_subscriptions({"options/#", "ask/#", "batches/#", "later/#", "echo/in"});
  const Subscriber subscriber(broker_, "+/+");
  publish(broker_, "echo/in", "hello");
  EXPECT_EQ(subscriber.wait_for("echo/out"), "hello");
  publish(broker_, "ask/me", "x");
  EXPECT_EQ(subscriber.wait_for("seen/last"), "seen ask/me");
  publish(broker_, "later/1", "");
  await_log("later: gave up on a message: later/1: rejected");
  publish(broker_, "batches/1", "a line");
  EXPECT_TRUE(eventually([&] { return read_file(daemon_.file("lines")) == "batches/1 a line\n"; }));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // of the daemon itself
TEST_F(Tutorial, ItsSanitizersWork) {
  write_files();
  shell(command("g++ -std=c++20 -g -fsanitize=address,undefined thermostat_test.cpp") +
        " && ./thermostat_test");
  shell(command("g++ -std=c++20 -g -fsanitize=address thermostat.cpp"));
  const std::string tried =
      shell("PATH=" + (prefix() / "bin").string() + ":$PATH; " + command("LD_PRELOAD="));
  EXPECT_THAT(tried, HasSubstr("result: ok\n"));
}
#endif

TEST_F(Sdk, ALibraryThatIsLinkedInStaysOutOfSight) {
  write_file(project() / "helper.c", "int helper(void) { return 42; }\n");
  write_file(
      project() / "answer.c",
      "#include <fastmqtt/handler.h>\n"
      "int helper(void);\n"
      "static void* create(const fastmqtt_host* host) {\n"
      "  host->log(host, FASTMQTT_INFO, (fastmqtt_view){helper() == 42 ? \"42\" : \"?\", 2});\n"
      "  return (void*)host;\n}\n"
      "static void destroy(void* self) { (void)self; }\n"
      "static void on_messages(void* s, const fastmqtt_message* const* m, size_t n,\n"
      "                        fastmqtt_result* r) { (void)s, (void)m, (void)n, (void)r; }\n"
      "static const char* const topics[] = {\"answer\", NULL};\n"
      "const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),\n"
      "  .name = \"answer\", .version = \"1\", .topics = topics, .create = create,\n"
      "  .destroy = destroy, .on_messages = on_messages};\n");
  write_file(project() / "CMakeLists.txt",
             "cmake_minimum_required(VERSION 3.16)\nproject(answer LANGUAGES C)\n"
             "find_package(fastmqtt REQUIRED)\n"
             "add_library(helper STATIC helper.c)\n"
             "set_target_properties(helper PROPERTIES POSITION_INDEPENDENT_CODE ON)\n"
             "fastmqtt_add_handler(answer answer.c)\n"
             "target_link_libraries(answer PRIVATE helper)\n");
  build_with_cmake();
  drop_in(project() / "build/answer.so");
  EXPECT_EQ(symbols(project() / "build/answer.so"), "fastmqtt_handler_v1\n");
  start_dropped_in({"answer"});
  await_log("answer: 42");
}

TEST_F(Sdk, AFunctionThatNobodyHasIsFoundWhenLinking) {
  write_file(project() / "broken.cpp",
             "#include <fastmqtt/handler.hpp>\n"
             "void nobody_has_this();\n"
             "struct Broken {\n  explicit Broken(fastmqtt::Host) { nobody_has_this(); }\n"
             "  fastmqtt::Result on_message(const fastmqtt::Message&) { return {}; }\n};\n"
             "FASTMQTT_HANDLER(Broken, \"broken\", \"1\", 0);\n");
  EXPECT_THROW(shell("$CXX -std=c++20 broken.cpp -o broken.so "
                     "$(pkg-config --cflags --libs fastmqtt-handler)"),
               std::runtime_error);
}

// What compiles but would be passed over in silence, or fails with pages about templates.
TEST_F(Sdk, MistakesAreNamedByTheCompiler) {
  const std::string good =
      "explicit H(fastmqtt::Host) {} "
      "fastmqtt::Result on_message(const fastmqtt::Message&) { return fastmqtt::Result::ok; } ";
  const std::string constructor = "explicit H(fastmqtt::Host) {} ";
  struct Mistake {
    std::string members;
    std::string message;
    std::string around = "";
  };
  const std::vector<Mistake> mistakes{
      {constructor + "bool on_message(const fastmqtt::Message&) { return true; }",
       "on_message is a public 'fastmqtt::Result on_message(const fastmqtt::Message&)'"},
      {constructor + "fastmqtt::Result on_messages(fastmqtt::Batch) { return {}; }",
       "on_messages is a public 'void on_messages(fastmqtt::Batch)'"},
      {good + "void on_messages(fastmqtt::Batch) {}",
       "a handler has either on_message or on_messages"},
      {constructor, "a handler has either on_message or on_messages"},
      {good + "private: void on_wake() {}", "on_wake is a public 'void on_wake()'"},
      {good + "void on_wake(int) {}", "on_wake is a public 'void on_wake()'"},
      {good + "private: static constexpr const char* options[] = {\"x\"};",
       "options is a public 'static constexpr const char* options[] = {...}'"},
      {"fastmqtt::Result on_message(const fastmqtt::Message&) { return {}; }",
       "a handler has a public constructor that takes a fastmqtt::Host"},
      {good, "fastmqtt_handler_stands_once_and_outside_of_any_namespace", "namespace mine { "}};
  for (const Mistake& mistake : mistakes) {
    write_file(project() / "wrong.cpp", "#include <fastmqtt/handler.hpp>\n" + mistake.around +
                                            "class H { public: " + mistake.members +
                                            "};\nFASTMQTT_HANDLER(H, \"h\", \"1\", 0, \"h\");\n" +
                                            (mistake.around.empty() ? "" : "}\n"));
    for (const char* compiler : {"g++", "clang++"}) {
      const Finished done = run({.argv = {"bash", "-c",
                                          std::string(compiler) + " -std=c++20 -fsyntax-only -I " +
                                              (prefix() / "include").string() + " " +
                                              (project() / "wrong.cpp").string()}});
      EXPECT_NE(done.exit, Exit{}) << mistake.message;
      EXPECT_THAT(done.errors, HasSubstr(mistake.message)) << compiler;
    }
  }
  const Finished old =
      run({.argv = {"bash", "-c",
                    "g++ -std=c++17 -fsyntax-only -I " + (prefix() / "include").string() + " " +
                        (project() / "wrong.cpp").string()}});
  EXPECT_THAT(old.errors, HasSubstr("fastmqtt/handler.hpp needs C++20: compile with -std=c++20"));
  EXPECT_LT(lines_of(old.errors).size(), 40u);
}

TEST_F(Sdk, EveryHandlerThatIsShippedExportsOneSymbol) {
  int plugins = 0;
  for (const auto& entry : fs::recursive_directory_iterator(prefix())) {
    if (entry.path().extension() != ".so") continue;
    EXPECT_EQ(symbols(entry.path()), "fastmqtt_handler_v1\n") << entry.path();
    ++plugins;
  }
  EXPECT_GT(plugins, 0);
}

}  // namespace
}  // namespace fastmqttd::testing
