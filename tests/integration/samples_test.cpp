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

// As an operator makes it: all from `handlers` on.  What comes with the handlers is not installed
// here, but in their folders.
std::string uncommented(std::string text) {
  constexpr std::string_view kInstalled = "/usr/share/doc/fastmqttd/handlers/";
  for (std::size_t at; (at = text.find(": " + std::string(kInstalled))) != std::string::npos;)
    text.replace(at + 2, kInstalled.size(), FASTMQTTD_SOURCE_DIR "/handlers/");
  std::istringstream lines(text.substr(text.find("#handlers:")));
  std::string all;
  for (std::string line; std::getline(lines, line);) all += line.substr(1) + "\n";
  return all;
}

class Samples : public HandlersTest, public ::testing::WithParamInterface<std::string> {
 protected:
  const std::string text_ = read_file(kSamples / (GetParam() + kEnding));
};
INSTANTIATE_TEST_SUITE_P(Handlers, Samples, ::testing::ValuesIn(handlers_with_samples()),
                         [](const auto& handler) { return handler.param; });

TEST_P(Samples, AreRight) {
  install(GetParam());
  daemon_.configure(daemon_.mqtt_section(broker_));
  std::filesystem::create_directory(daemon_.file("conf.d"));
  write_file(daemon_.file("conf.d") / (GetParam() + ".yaml"), uncommented(text_));
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
