// etc/conf.d: a sample of a configuration for each handler, all of it commented out, with the
// daemon's own --check to say that it is right.
#include <sstream>

#include "tests/integration/handlers_test.hpp"

namespace fastmqttd::testing {
namespace {

const std::filesystem::path kSamples = FASTMQTTD_SOURCE_DIR "/etc/conf.d";
constexpr const char* kEnding = ".yaml.sample";

std::vector<std::string> handlers_with_samples() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kSamples)) {
    const std::string name = entry.path().filename();
    names.push_back(name.substr(0, name.size() - std::string_view(kEnding).size()));
  }
  return names;
}

// As an operator makes it: all from `handlers` on.
std::string uncommented(const std::string& text) {
  std::istringstream lines(text.substr(text.find("#handlers:")));
  std::string all;
  for (std::string line; std::getline(lines, line);) all += line.substr(1) + "\n";
  return all;
}

class AllSamples : public HandlersTest {
 protected:
  AllSamples() {
    daemon_.configure(daemon_.mqtt_section(broker_));
    std::filesystem::create_directory(daemon_.file("conf.d"));
  }
  // Takes a sample into use.
  void take(const std::string& handler) const {
    install(handler);
    std::string text = uncommented(read_file(kSamples / (handler + kEnding)));
    put_example_in_place(text);
    write_file(daemon_.file("conf.d") / (handler + ".yaml"), text);
  }

 private:
  // What comes with the handlers is not installed here: a copy of it will do, which is the test's
  // own as the sources may not be.
  void put_example_in_place(std::string& text) const {
    constexpr std::string_view kInstalled = ": /usr/share/doc/fastmqttd/";
    const std::size_t at = text.find(kInstalled);
    if (at == std::string::npos) return;
    const std::size_t path = at + kInstalled.size();
    const std::string name = text.substr(path, text.find('\n', path) - path);
    const std::filesystem::path copy =
        daemon_.file(std::filesystem::path(name).filename().string());
    write_file(copy, read_file(std::filesystem::path(FASTMQTTD_SOURCE_DIR) / name));
    text.replace(at + 2, kInstalled.size() - 2 + name.size(), copy.string());
  }
};

// Whoever takes several wants several handlers.
TEST_F(AllSamples, MayBeTakenTogether) {
  const std::vector<std::string> handlers = handlers_with_samples();
  for (const std::string& handler : handlers) take(handler);
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_NE(done.output.find(std::to_string(handlers.size()) + " handlers"), std::string::npos)
      << done.output;
}

class Samples : public AllSamples, public ::testing::WithParamInterface<std::string> {
 protected:
  const std::string text_ = read_file(kSamples / (GetParam() + kEnding));
};
INSTANTIATE_TEST_SUITE_P(Handlers, Samples, ::testing::ValuesIn(handlers_with_samples()),
                         [](const auto& handler) { return handler.param; });

TEST_P(Samples, AreRight) {
  take(GetParam());
  const Finished done = daemon_.run({"--check"});
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_NE(done.output.find("1 handler"), std::string::npos) << done.output;
}

TEST_P(Samples, AreCommentedOut) {
  for (const std::string& line : lines_of(text_))
    EXPECT_TRUE(line.empty() || line.starts_with('#')) << line;
}

}  // namespace
}  // namespace fastmqttd::testing
