#include "daemon/config/text.hpp"

#include <gtest/gtest.h>

#include "tests/unit/config/temp_files.hpp"

namespace fastmqttd {
namespace {

using testing::ScopedEnv;
using testing::TempFiles;

std::string error_of(const std::string& source) {
  try {
    return "no error: " + expand(source);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

TEST(Expand, LeavesTextWithoutReferencesAlone) {
  for (const char* text : {"", "plain", "a$b", "$", "$SYS/#", "$share/g/x", "{env:X}", "a}b"})
    EXPECT_EQ(expand(text), text);
}

TEST(Expand, TwoDollarsAreOne) {
  EXPECT_EQ(expand("$$"), "$");
  EXPECT_EQ(expand("pa$$word"), "pa$word");
  EXPECT_EQ(expand("$${env:X}"), "${env:X}");
  EXPECT_EQ(expand("$$$"), "$$");
}

TEST(Expand, TakesVariables) {
  const ScopedEnv user("FASTMQTTD_TEST", "me"), empty("FASTMQTTD_EMPTY", "");
  EXPECT_EQ(expand("${env:FASTMQTTD_TEST}"), "me");
  EXPECT_EQ(expand("<${env:FASTMQTTD_TEST}/${env:FASTMQTTD_TEST}>"), "<me/me>");
  EXPECT_EQ(expand("${env:FASTMQTTD_EMPTY}"), "");
}

TEST(Expand, DoesNotLookIntoWhatItTook) {
  const ScopedEnv nested("FASTMQTTD_TEST", "${file:/etc/passwd}$$");
  EXPECT_EQ(expand("${env:FASTMQTTD_TEST}"), "${file:/etc/passwd}$$");
}

TEST(Expand, TakesFilesAndCutsOneNewline) {
  const TempFiles files;
  EXPECT_EQ(expand("${file:" + files.write("a", "secret\n") + "}"), "secret");
  EXPECT_EQ(expand("${file:" + files.write("b", "secret\r\n") + "}"), "secret");
  EXPECT_EQ(expand("${file:" + files.write("c", "two\n\n") + "}"), "two\n");
  EXPECT_EQ(expand("${file:" + files.write("d", "") + "}"), "");
}

TEST(Expand, TakesCredentialsByBothNames) {
  const TempFiles files;
  const ScopedEnv directory("CREDENTIALS_DIRECTORY", files.path("").c_str());
  files.write("password", "one\n");
  files.write("fastmqttd_password", "other\n");
  files.write("fastmqttd_token", "two\n");
  EXPECT_EQ(expand("${credential:password}"), "one");
  EXPECT_EQ(expand("${credential:token}"), "two");
  EXPECT_EQ(
      error_of("${credential:missing}"),
      "${credential:missing}: there is no such credential: put the file missing into "
      "/etc/fastmqttd/credentials, or load it with LoadCredential=, and restart: credentials are "
      "those of the start");
  EXPECT_EQ(error_of("${credential:../x}"),
            "${credential:../x}: is not the name of a credential: expected ${credential:NAME}");
  EXPECT_EQ(error_of("${credential:..}"),
            "${credential:..}: is not the name of a credential: expected ${credential:NAME}");
}

TEST(Expand, LooksForCredentialsWhereSystemdTakesThem) {
  const ScopedEnv directory("CREDENTIALS_DIRECTORY", nullptr);
  EXPECT_EQ(error_of("${credential:no-such-x}").find("${credential:no-such-x}: "), 0u);
  EXPECT_NE(error_of("${credential:no-such-x}").find("fastmqttd/credentials"), std::string::npos);
}

TEST(Expand, RefusesWhatItCannotRead) {
  const ScopedEnv unset("FASTMQTTD_TEST", nullptr);
  const TempFiles files;
  files.write("big", std::string((64 << 10) + 1, 'x'));
  EXPECT_EQ(error_of("${env:FASTMQTTD_TEST}"),
            "${env:FASTMQTTD_TEST}: the environment variable is not set: set it (Environment= of "
            "the unit) or take the reference out");
  EXPECT_EQ(error_of("${env:A B}"),
            "${env:A B}: is not the name of an environment variable: expected ${env:NAME}");
  EXPECT_EQ(error_of("${env:}"),
            "${env:}: is not the name of an environment variable: expected ${env:NAME}");
  EXPECT_EQ(error_of("${file:/no/such}"),
            "${file:/no/such}: cannot be opened: No such file or directory");
  EXPECT_EQ(error_of("${file:relative}"),
            "${file:relative}: is not an absolute path: expected ${file:/path}");
  EXPECT_EQ(error_of("${file:/}"), "${file:/}: is not a regular file");
  EXPECT_EQ(error_of("${file:/dev/null}"), "${file:/dev/null}: is not a regular file");
  EXPECT_NE(error_of("${file:" + files.path("big") + "}").find("}: is larger than 64KiB"),
            std::string::npos);
}

TEST(Expand, RefusesUnknownForms) {
  const std::string kinds =
      "expected ${env:NAME}, ${file:/path} or ${credential:NAME}; write $$ for a dollar";
  EXPECT_EQ(error_of("${HOME}"), "${HOME}: is no reference that is known: " + kinds);
  EXPECT_EQ(error_of("${}"), "${}: is no reference that is known: " + kinds);
  EXPECT_EQ(error_of("${vault:x}"), "${vault:x}: is no reference that is known: " + kinds);
  EXPECT_EQ(error_of("a${env:X"), "a reference has no closing '}': " + kinds);
}

TEST(Expand, BoundsWhatReferencesComeTo) {
  const TempFiles files;
  const std::string one = "${file:" + files.write("a", std::string(60 << 10, 'x')) + "}";
  EXPECT_EQ(error_of(one + one + one + one + one),
            "the references come to more than 256KiB together");
}

TEST(EscapeReferences, ExpandsBackToItself) {
  for (const char* text : {"", "a", "$", "$$", "$$$", "${", "${env:X}", "a$b", "$SYS/#", "$${$"})
    EXPECT_EQ(expand(escape_references(text)), text);
  EXPECT_EQ(escape_references("$SYS/#"), "$SYS/#");
}

TEST(OnlyReferences, IsFalseAsSoonAsSomethingIsLiteral) {
  EXPECT_TRUE(only_references("${env:X}"));
  EXPECT_TRUE(only_references("${env:X}${file:/y}"));
  for (const char* text : {"", "x", "pa$$word", "a${env:X}", "${env:X}b", "${env:X", "$${x}"})
    EXPECT_FALSE(only_references(text)) << text;
}

}  // namespace
}  // namespace fastmqttd
