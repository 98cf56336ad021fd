// etc/fastmqttd.yaml, the configuration as it is shipped: what it says has to be true.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "daemon/config/print.hpp"
#include "daemon/config/schema.hpp"
#include "tests/unit/config/temp_files.hpp"

namespace fastmqttd {
namespace {

using testing::TempFiles;

std::string shipped() { return testing::slurp(FASTMQTTD_SOURCE_DIR "/etc/fastmqttd.yaml"); }

// Prose has one space after its #, an example has two or more.
std::string with_examples(const std::string& text) {
  std::istringstream lines(text);
  std::string all;
  for (std::string line; std::getline(lines, line);)
    all += (line.starts_with("#  ") ? line.substr(1) : line) + "\n";
  return all;
}

TEST(ShippedConfig, EqualsTheDefaults) {
  const TempFiles files;
  const std::string file = files.write("a.yaml", shipped());
  EXPECT_EQ(files.problems("a.yaml"), "");
  EXPECT_EQ(print_config(read_config(file)), print_config(read_config(files.write("b.yaml", ""))));
}

TEST(ShippedConfig, ItsExampleReadsAndShowsDefaults) {
  const TempFiles files;
  const std::string file = files.write("a.yaml", with_examples(shipped()));
  ASSERT_EQ(files.problems("a.yaml"), "");
  const Config config = read_config(file);
  ASSERT_EQ(config.handlers.size(), 1u);
  const HandlerConfig& archive = config.handlers.front();
  ASSERT_EQ(archive.subscribe->size(), 2u);
  EXPECT_EQ(archive.subscribe->at(0).topic.text(), "site/+/temperature");
  EXPECT_EQ(archive.subscribe->at(1).topic.text(), "alarm/#");
  // All else is what it would be without the example's lines.
  const std::string bare =
      "mqtt: {ssl: true}\n"
      "handlers: {archive: {subscribe: [site/+/temperature, {topic: 'alarm/#'}]}}";
  EXPECT_EQ(print_config(config), print_config(read_config(files.write("b.yaml", bare))));
}

// The text of a key's line: indented by two spaces a level, its name, a colon.
TEST(ShippedConfig, HasEveryKeyOnce) {
  const std::string text = "\n" + with_examples(shipped());
  for (const std::string& name : KeyNames::all()) {
    const std::string last = name.substr(name.rfind('.') + 1);
    std::string indent(2 * static_cast<std::size_t>(std::ranges::count(name, '.')), ' ');
    // The one key that opens a list's item.
    if (name.ends_with(".topic")) indent = indent.substr(2) + "- ";
    const std::size_t at = text.find("\n" + indent + last + ":");
    EXPECT_NE(at, std::string::npos) << name << " is not in etc/fastmqttd.yaml";
  }
}

TEST(ShippedConfig, FitsAnEditor) {
  std::istringstream lines(shipped());
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u) << line;
    EXPECT_EQ(line.find('\t'), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace fastmqttd
