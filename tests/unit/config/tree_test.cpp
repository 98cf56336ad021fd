#include "daemon/config/tree.hpp"

#include <gtest/gtest.h>

#include "daemon/config/yaml.hpp"

namespace fastmqttd {
namespace {

Tree tree_of(const std::string& yaml, const std::string& file = "x") {
  std::vector<Problem> problems;
  Tree tree = parse_yaml(yaml, file, problems);
  EXPECT_TRUE(problems.empty()) << to_string(problems.front());
  return tree;
}

std::string merged(const std::string& first, const std::string& second) {
  Tree tree = tree_of(first);
  merge(tree, tree_of(second));
  return to_yaml(tree);
}

TEST(Merge, MergesMapsKeyByKey) {
  EXPECT_EQ(merged("a: {b: 1, c: 2}", "a: {c: 3, d: 4}\ne: 5"), "a:\n  b: 1\n  c: 3\n  d: 4\ne: 5");
}

TEST(Merge, ReplacesScalarsAndLists) {
  EXPECT_EQ(merged("a: [1, 2]", "a: [3]"), "a:\n  - 3");
  EXPECT_EQ(merged("a: [1, 2]", "a: 3"), "a: 3");
  EXPECT_EQ(merged("a: {b: 1}", "a: [3]"), "a:\n  - 3");
}

TEST(Merge, EmptyIsTheDefaultForAValueAndNothingNewForAMap) {
  EXPECT_EQ(merged("a: 1", "a: ~"), "a: ~");
  EXPECT_EQ(merged("a: {b: 1}", "a:"), "a:\n  b: 1");
  EXPECT_EQ(merged("a:", "a: {b: 1}"), "a:\n  b: 1");
  EXPECT_EQ(merged("", "a: 1"), "a: 1");
  EXPECT_EQ(merged("a: 1", ""), "a: 1");
}

TEST(Merge, PlacesAreThoseOfTheValueThatHolds) {
  Tree tree = tree_of("a: 1\nb: 2", "first");
  merge(tree, tree_of("\nb: 3", "second"));
  EXPECT_EQ(tree.find("a")->value.place, (Place{"first", 1, 4}));
  EXPECT_EQ(tree.find("b")->value.place, (Place{"second", 2, 4}));
  EXPECT_EQ(tree.find("c"), nullptr);
}

}  // namespace
}  // namespace fastmqttd
