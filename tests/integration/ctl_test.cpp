// fastmqttctl, as far as it works without a daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/daemon.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"

namespace fastmqttd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Finished ctl(const std::vector<std::string>& arguments) {
  Command command{.argv = {FASTMQTTCTL_PROGRAM}};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return run(command);
}

TEST(Ctl, MatchSaysYesAndNo) {
  const Finished yes = ctl({"match", "home/+/temperature", "home/hall/temperature"});
  EXPECT_EQ(yes.exit, Exit{});
  EXPECT_EQ(yes.output, "match\n");
  const Finished no = ctl({"match", "home/+", "home/hall/temperature"});
  EXPECT_EQ(no.exit, Exit{.status = 1});
  EXPECT_EQ(no.output, "no match\n");
  EXPECT_EQ(ctl({"match", "$share/g/a/#", "a"}).exit, Exit{});
  EXPECT_EQ(ctl({"match", "#", "$SYS/x"}).exit, Exit{.status = 1});
}

TEST(Ctl, MatchNamesWhatIsNotValid) {
  const Finished filter = ctl({"match", "a/#/b", "a"});
  EXPECT_EQ(filter.exit, Exit{.status = 65});
  EXPECT_EQ(filter.errors,
            "fastmqttctl: topic filter 'a/#/b' is not valid: '#' stands alone as the last level\n");
  const Finished topic = ctl({"match", "a", "a/+"});
  EXPECT_EQ(topic.exit, Exit{.status = 65});
  EXPECT_THAT(topic.errors, HasSubstr("topic 'a/+' is not valid"));
}

TEST(Ctl, WrongUsage) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{}, {"match"}, {"match", "a"}, {"frobnicate"}}) {
    const Finished done = ctl(arguments);
    EXPECT_EQ(done.exit, Exit{.status = 64});
    EXPECT_THAT(done.errors, ::testing::Not(IsEmpty()));
  }
}

// ---- try ---------------------------------------------------------------------------------------

std::string plugin(const std::string& name) { return built_handler(name); }

TEST(CtlTry, ShowsLogLinesPublishesCountersAndTheResult) {
  const Finished done =
      ctl({"try", plugin("actor"), "--topic", "act/now", "--payload", "properties"});
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_EQ(done.output,
            "publish: out (QoS 1): with everything\n"
            "  payload format: 1\n"
            "  expires in seconds: 3600\n"
            "  content type: text/plain\n"
            "  response topic: answers/here\n"
            "  correlation data: id 7\n"
            "  first = 1\n"
            "  second = 2\n"
            "counter: acts 1\n"
            "result: ok\n");
  EXPECT_EQ(done.errors, "");
  const Finished landed =
      ctl({"try", plugin("actor"), "--topic", "act/now", "--payload", "down 0"});
  EXPECT_THAT(landed.output, HasSubstr("info: actor: act/now: landed\n"));
}

TEST(CtlTry, TakesOptionsPayloadAndPropertiesFromWhereverTheyAre) {
  const TempDir directory;
  write_file(directory / "payload", "reply it came from a file");
  write_file(directory / "options", "qos: 0\nretain: true\n");
  const Finished done = ctl({"try", plugin("actor"), "--topic", "act/now", "--payload",
                             "@" + (directory / "payload").string(), "--options",
                             "@" + (directory / "options").string(), "--response-topic", "answers",
                             "--correlation-data", "7"});
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_THAT(done.output, HasSubstr("publish: answers (QoS 0, retained): it came from a file\n"
                                     "  correlation data: 7\n"));
}

TEST(CtlTry, AFailedResultIsStatusOne) {
  const Finished rejected = ctl({"try", plugin("actor"), "--topic", "act/x", "--payload", "bad"});
  EXPECT_EQ(rejected.exit, Exit{.status = 1});
  EXPECT_THAT(rejected.output, HasSubstr("warning: actor: cannot publish to not/+/a topic"));
  EXPECT_THAT(rejected.output, ::testing::EndsWith("result: reject\n"));
}

TEST(CtlTry, WaitsForAnAnswerThatWasPutOff) {
  const Finished done = ctl({"try", plugin("actor"), "--topic", "act/x", "--payload", "later hi"});
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_THAT(done.output, HasSubstr("publish: out (QoS 1): hi\n"));
  EXPECT_THAT(done.output, ::testing::EndsWith("result: ok (pending at first)\n"));
  const TempDir directory;
  const Finished never =
      ctl({"try", plugin("recorder"), "--topic", "a", "--timeout", "50ms", "--options",
           "{answer: pending, delay_ms: 60000, file: " + (directory / "file").string() + "}"});
  EXPECT_EQ(never.exit, Exit{.status = 1});
  EXPECT_THAT(never.output, HasSubstr("result: retry (pending, and no answer within 50ms)\n"));
}

TEST(CtlTry, LetsAnAlarmRing) {
  const Finished done =
      ctl({"try", plugin("built_with_v1"), "--topic", "v1/in", "--payload", "use"});
  EXPECT_EQ(done.exit, Exit{}) << done.errors;
  EXPECT_THAT(done.output, HasSubstr("publish: v1/out (QoS 1): use\n  from = built_with_v1\n"));
  EXPECT_THAT(done.output, HasSubstr("result: ok (pending at first)\n"));
}

TEST(CtlTry, DoesNotWaitForACallForEver) {
  const Finished done =
      ctl({"try", plugin("rogue"), "--topic", "rogue", "--payload", "hang", "--timeout", "50ms"});
  EXPECT_EQ(done.exit, Exit{.status = 1});
  EXPECT_EQ(done.output, "result: none, the call has not returned within 50ms\n");
}

TEST(CtlTry, SaysWhyAPluginDoesNotStart) {
  const Finished file = ctl({"try", "/does/not/exist.so", "--topic", "a"});
  EXPECT_EQ(file.exit, Exit{.status = 78});
  EXPECT_THAT(file.errors, HasSubstr("fastmqttctl: /does/not/exist.so: No such file or directory"));
  const Finished bad = ctl({"try", plugin("constructor_exits"), "--topic", "a"});
  EXPECT_EQ(bad.exit, Exit{.status = 78});
  EXPECT_THAT(bad.errors, HasSubstr("its constructor ends the process, with status 3"));
  const Finished option =
      ctl({"try", plugin("actor"), "--topic", "act/x", "--options", "{qos: 3, too: 1}"});
  EXPECT_EQ(option.exit, Exit{.status = 78});
  EXPECT_THAT(option.errors,
              HasSubstr("--options:1:10: handlers.actor.options.too: unknown option: "
                        "did you mean 'to'?"));
  const Finished value = ctl({"try", plugin("actor"), "--topic", "act/x", "--options", "qos: 3"});
  EXPECT_THAT(value.errors, HasSubstr("--options:1:6: handlers.actor.options.qos: '3' will not do: "
                                      "expected a whole number from 0 to 2"));
  const Finished yaml = ctl({"try", plugin("actor"), "--topic", "act/x", "--options", "{"});
  EXPECT_EQ(yaml.exit, Exit{.status = 78});
  EXPECT_THAT(yaml.errors, HasSubstr("--options:1:"));
}

TEST(CtlTry, WrongUsageAndWrongMessages) {
  EXPECT_EQ(ctl({"try", plugin("actor")}).exit, Exit{.status = 64});
  EXPECT_EQ(ctl({"try", plugin("actor"), "--topic", "a", "--qos", "3"}).exit, Exit{.status = 64});
  EXPECT_EQ(ctl({"try", plugin("actor"), "--topic", "a", "--timeout", "soon"}).exit,
            Exit{.status = 64});
  EXPECT_EQ(ctl({"try", plugin("actor"), "--topic", "a", "--user-property", "x"}).exit,
            Exit{.status = 64});
  const Finished topic = ctl({"try", plugin("actor"), "--topic", "a/#"});
  EXPECT_EQ(topic.exit, Exit{.status = 65});
  EXPECT_THAT(topic.errors, HasSubstr("a topic name has no wildcards"));
  EXPECT_EQ(ctl({"try", plugin("actor"), "--topic", "a", "--payload", "@/does/not/exist"}).exit,
            Exit{.status = 65});
}

TEST(CtlTry, WarnsAboutWhatTheDaemonWouldNotDo) {
  const TempDir directory;
  std::filesystem::copy_file(plugin("actor"), directory / "mine.so");
  set_mode(directory / "mine.so", 0777);
  const Finished done =
      ctl({"try", directory / "mine.so", "--topic", "other", "--payload", "echo x"});
  EXPECT_EQ(done.exit, Exit{});
  EXPECT_THAT(done.errors, HasSubstr("note: fastmqttd would refuse this: "));
  EXPECT_THAT(done.errors, HasSubstr("mine.so: can be written by others: chmod go-w it\n"));
  EXPECT_THAT(done.errors, HasSubstr("note: other matches none of the plugin's own topics\n"));
}

}  // namespace
}  // namespace fastmqttd::testing
