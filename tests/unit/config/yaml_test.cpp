#include "daemon/config/yaml.hpp"

#include <gtest/gtest.h>

namespace fastmqttd {
namespace {

std::string errors_of(const std::string& yaml) {
  std::vector<Problem> problems;
  parse_yaml(yaml, "x", problems);
  return problems.empty() ? "" : StartError(problems).what();
}

Tree tree_of(const std::string& yaml) {
  std::vector<Problem> problems;
  Tree tree = parse_yaml(yaml, "x", problems);
  EXPECT_TRUE(problems.empty()) << to_string(problems.front());
  return tree;
}

TEST(ParseYaml, KnowsThePlaceOfEachKeyAndValue) {
  const Tree tree = tree_of("# c\nmqtt:\n  host: \"h\"\n  list:\n    - a\n    - {x: 1}\n");
  const TreeMember* mqtt = tree.find("mqtt");
  EXPECT_EQ(tree.place, (Place{"x", 2, 1}));
  EXPECT_EQ(mqtt->place, (Place{"x", 2, 1}));
  EXPECT_EQ(mqtt->value.place, (Place{"x", 3, 3}));
  EXPECT_EQ(mqtt->value.find("host")->place, (Place{"x", 3, 3}));
  EXPECT_EQ(mqtt->value.find("host")->value.place, (Place{"x", 3, 9}));
  const Tree& list = mqtt->value.find("list")->value;
  EXPECT_EQ(list.items[0].place, (Place{"x", 5, 7}));
  EXPECT_EQ(list.items[1].members[0].place, (Place{"x", 6, 8}));
  EXPECT_EQ(list.items[1].members[0].value.place, (Place{"x", 6, 11}));
}

TEST(ParseYaml, TellsPlainFromQuoted) {
  const Tree tree = tree_of("[5, '5', \"5\", !!str 5, ! 5]");
  EXPECT_TRUE(tree.items[0].plain);
  for (std::size_t i = 1; i < 5; ++i) EXPECT_FALSE(tree.items[i].plain) << i;
}

TEST(ParseYaml, EmptyValuesStandWhereTheirKeyOrListDoes) {
  const Tree tree = tree_of("a:\nb: ~\nc:\n  -\n  - null\nd: ''\n");
  EXPECT_TRUE(tree.find("a")->value.null());
  EXPECT_EQ(tree.find("a")->value.place, (Place{"x", 1, 1}));
  EXPECT_TRUE(tree.find("b")->value.null());
  EXPECT_TRUE(tree.find("c")->value.items[1].null());
  EXPECT_EQ(tree.find("c")->value.items[0].place, (Place{"x", 4, 3}));
  EXPECT_FALSE(tree.find("d")->value.null());
}

TEST(ParseYaml, AnEmptyFileIsAnEmptyTree) {
  for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "~"}) {
    const Tree tree = tree_of(text);
    EXPECT_TRUE(tree.null()) << text;
    EXPECT_EQ(tree.place, (Place{"x", 1, 1}));
  }
}

TEST(ParseYaml, NamesBothPlacesOfADuplicate) {
  EXPECT_EQ(errors_of("a: 1\nb: 2\n'a': 3\n"), "x:3:1: a: duplicate key: first given at x:1:1");
  EXPECT_EQ(errors_of("m:\n  a: 1\n  a: 2\n  a: 3\nl: [{b: 1, b: 1}]\nm: {}"),
            "x:3:3: m.a: duplicate key: first given at x:2:3\n"
            "x:4:3: m.a: duplicate key: first given at x:2:3\n"
            "x:5:12: l.0.b: duplicate key: first given at x:5:6\n"
            "x:6:1: m: duplicate key: first given at x:1:1");
}

TEST(ParseYaml, UnfoldsAliases) {
  EXPECT_EQ(to_yaml(tree_of("a: &x {b: [1]}\nc: *x")), "a:\n  b:\n    - 1\nc:\n  b:\n    - 1");
}

struct Bad {
  const char* yaml;
  const char* report;
};

TEST(ParseYaml, SaysWhatIsWrongAndWhere) {
  const Bad cases[] = {
      {"a: b: c",
       "x:1:5: is not valid YAML: illegal map value: a ':' cannot stand here; put "
       "quotes around text that has one"},
      {"a:\n  - [1, 2\nb: 1",
       "x:2:5: a.0: a key is a list or a map: expected plain text before the ':' (is a ']' or '}' "
       "missing?)"},
      {"a: [1,\n 2",
       "x:1:4: is not valid YAML: end of sequence flow not found: the '[' is not closed"},
      {"a: {b: 1",
       "x:1:4: is not valid YAML: end of map flow not found: the '{' is not closed; within braces "
       "put quotes around ${...}"},
      {"a:\n\tb: 1",
       "x:2:3: is not valid YAML: illegal map value: a tab cannot indent; use spaces"},
      {"a: }", "x:1:4: is not valid YAML: illegal flow end: it closes what is not open"},
      {"a: \"x", "x:1:6: is not valid YAML: illegal EOF in scalar: a quote is not closed"},
      {"a:\n  b: 1\n c: 2",
       "x:3:2: is not valid YAML: end of map not found: the line does not fit the keys above it; "
       "check its indent"},
      {"a:\n  - 1\n b: 2",
       "x:3:2: is not valid YAML: end of map not found: the line does not fit the keys above it; "
       "check its indent"},
      {"a: @b",
       "x:1:4: is not valid YAML: unknown token: put quotes around text that begins with "
       "@, ` or %"},
      {"a: *b",
       "x:1:4: is not valid YAML: the referenced anchor is not defined: put quotes around "
       "text that begins with '*'"},
      {"a: \"\\q\"", "x:1:7: is not valid YAML: unknown escape character: q"},
      {"a: 1\n---\nb: 2", "x:2:1: a second document begins here: expected one document in a file"},
      {"- a\nb: 1", "x:2:1: a second document begins here: expected one document in a file"},
      {"a: &x [*x]",
       "x:1:8: a.0: an alias stands inside its own anchor: expected a finished "
       "value"},
      {"a: !secret x", "x:1:4: a: has a YAML tag: put quotes around text that begins with '!'"},
      {"a: !secret", "x:1:4: a: has a YAML tag: put quotes around text that begins with '!'"},
      {"a: !!int 5", "x:1:4: a: has a YAML tag: put quotes around text that begins with '!'"},
      {"m: {a: !set {b: 1}}",
       "x:1:8: m.a: has a YAML tag: put quotes around text that begins with '!'"},
      {"a: &secret",
       "x:1:4: a: is an anchor without a value: put quotes around text that begins with '&'"},
      {"? [a, b]\n: c",
       "x:1:3: a key is a list or a map: expected plain text before the ':' (is a ']' or '}' "
       "missing?)"},
      {"{: b}", "x:1:2: a key is empty: expected a name before the ':'"},
      {"a: &x y\n*x : z", "x:2:1: a key is an alias: expected plain text"},
  };
  for (const Bad& bad : cases) EXPECT_EQ(errors_of(bad.yaml), bad.report) << bad.yaml;
}

TEST(ParseYaml, GivesNothingAfterAnErrorOfSyntax) {
  std::vector<Problem> problems;
  const Tree tree = parse_yaml("a: 1\nb: [", "x", problems);
  EXPECT_TRUE(tree.null());
  EXPECT_EQ(problems.size(), 1u);
}

std::string repeated(const std::string& part, std::size_t bytes) {
  std::string text;
  while (text.size() + part.size() <= bytes) text += part;
  return text;
}

TEST(HostileYaml, IsRefusedForItsDepth) {
  const std::string report = ": lists and maps are nested too deeply: expected at most 32 levels";
  const std::string open(33, '['), close(33, ']');
  EXPECT_EQ(errors_of(open + close), "x:1:33" + report);
  EXPECT_EQ(errors_of(open.substr(1) + close.substr(1)), "");
  for (const char* part : {"[", "{", "{a: ", "- ", "? "})
    EXPECT_NE(errors_of(repeated(part, kMaxYamlBytes)), "") << part;
  EXPECT_EQ(errors_of("a: &a [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]\n"
                      "b: [[[[[[[[[[[[[*a]]]]]]]]]]]]]"),
            "x:2:17" + report);
}

TEST(HostileYaml, IsRefusedForWhatItUnfoldsTo) {
  const std::string report =
      ": the file unfolds to too much: expected at most 50000 values and 1MiB of text, aliases "
      "followed";
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string n = std::to_string(i), last = "*a" + std::to_string(i - 1);
    laughs += "a" + n + ": &a" + n + " [" + last;
    for (int k = 0; k < 9; ++k) laughs += ", " + last;
    laughs += "]\n";
  }
  EXPECT_EQ(errors_of(laughs), "x:5:25" + report);

  const std::string big = "a: &a " + std::string(100'000, 'x') + "\nb: [";
  EXPECT_EQ(errors_of(big + repeated("*a, ", 80) + "1]"), "x:2:41" + report);
  EXPECT_NE(errors_of("[" + repeated("1,", 120'000) + "1]").find(report), std::string::npos);
  EXPECT_NE(errors_of("? " + std::string(257, 'k') + "\n: 1").find("longer than 256 bytes"),
            std::string::npos);
}

TEST(HostileYaml, NeitherHangsNorCrashes) {
  for (const char* part : {"a: ", "!", "&a ", "*a ", "%", "\"", "'", "|", "\n", "\t", ":", "?",
                           "a:\n ", "[]", "[,", "\xff", "\xef\xbb\xbf", "---\n", "<<: "})
    errors_of(repeated(part, kMaxYamlBytes));
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  errors_of(bytes);
}

TEST(ToYaml, ReadsBackAsItWas) {
  for (const char* text :
       {"a: 1\nb: \"1\"\nc: ~\nd: \"~\"\ne: true\nf: \"true\"\ng: \"\"\nh: {}\ni: []",
        "-\n  - 1\n  - 2\n- x:\n    z: \"a: b\"", "\"a\\nb\"", "\"true\": 1\n\"5\": 2\n\"~\": 3"})
    EXPECT_EQ(to_yaml(tree_of(text)), text);
}

}  // namespace
}  // namespace fastmqttd
