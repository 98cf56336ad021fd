#include "daemon/delivery/filter_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "daemon/message/topic_filter.hpp"

namespace fastmqttd {
namespace {

std::vector<std::uint32_t> found(const FilterTree& tree, std::string_view topic) {
  std::vector<std::uint32_t> values;
  tree.find(topic, values);
  std::ranges::sort(values);
  return values;
}

class Random {
 public:
  // Few levels and few names, so that they meet.
  std::string pattern(bool wildcards) {
    std::string text;
    const int levels = 1 + pick(4);
    for (int i = 0; i < levels; ++i) {
      if (i > 0) text += '/';
      const int choice = pick(wildcards ? 7 : 4);
      if (choice == 6 && i == levels - 1)
        text += '#';
      else if (choice >= 4)
        text += '+';
      else
        text += std::array<const char*, 4>{"a", "b", "", "$x"}.at(static_cast<std::size_t>(choice));
    }
    return text.empty() ? "a" : text;
  }

 private:
  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  std::minstd_rand random_{7};
};

TEST(FilterTree, FindsWhatMatchesAndWhatCovers) {
  Random random;
  for (int round = 0; round < 300; ++round) {
    FilterTree tree;
    std::vector<TopicFilter> filters;
    for (std::uint32_t i = 0; i < 30; ++i) {
      filters.emplace_back(random.pattern(true));
      tree.add(filters.back().pattern(), i);
    }
    for (int i = 0; i < 30; ++i) {
      const std::string topic = random.pattern(false);
      const TopicFilter narrow(random.pattern(true));
      std::vector<std::uint32_t> matching, covering;
      for (std::uint32_t f = 0; f < filters.size(); ++f) {
        if (filters[f].matches(topic)) matching.push_back(f);
        if (filters[f].covers(narrow)) covering.push_back(f);
      }
      ASSERT_EQ(found(tree, topic), matching) << topic;
      ASSERT_EQ(found(tree, narrow.pattern()), covering) << narrow.text();
    }
  }
}

// Two filters overlap when some topic matches both; those of random topics that do must be seen.
TEST(FilterTree, FiltersThatMatchOneTopicOverlap) {
  Random random;
  int met = 0;
  for (int round = 0; round < 20'000; ++round) {
    const TopicFilter one(random.pattern(true)), two(random.pattern(true));
    EXPECT_EQ(one.overlaps(two), two.overlaps(one));
    const std::string topic = random.pattern(false);
    if (!one.matches(topic) || !two.matches(topic)) continue;
    ++met;
    EXPECT_TRUE(one.overlaps(two)) << one.text() << " " << two.text() << " " << topic;
  }
  EXPECT_GT(met, 100);
}

TEST(FilterTree, OthersDoNotOverlap) {
  const auto overlap = [](const char* one, const char* two) {
    return TopicFilter(one).overlaps(TopicFilter(two));
  };
  EXPECT_FALSE(overlap("a/b", "a/c"));
  EXPECT_FALSE(overlap("a/+", "a/b/c"));
  EXPECT_FALSE(overlap("a/+/c", "a/b/d"));
  EXPECT_FALSE(overlap("a", "a/b"));
  EXPECT_FALSE(overlap("a/#", "b/#"));
  EXPECT_TRUE(overlap("a", "a/#"));
  EXPECT_TRUE(overlap("+/b", "a/+"));
  EXPECT_TRUE(overlap("$share/g/a/+", "a/b"));
}

}  // namespace
}  // namespace fastmqttd
