#include "text/byte_trie.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace prax::text {
namespace {

std::vector<std::pair<size_t, int64_t>> prefixes(const ByteTrie& trie, std::string_view text) {
  std::vector<std::pair<size_t, int64_t>> found;
  trie.each_prefix(text, [&](size_t length, int64_t value) { found.emplace_back(length, value); });
  return found;
}

using Found = std::vector<std::pair<size_t, int64_t>>;

TEST(ByteTrie, FindsEveryPrefixShortestFirst) {
  ByteTrie trie({{"sea", 3}, {"s", 1}, {"seal", 7}, {"eal", 9}});
  EXPECT_EQ(prefixes(trie, "seals"), (Found{{1, 1}, {3, 3}, {4, 7}}));
  EXPECT_EQ(prefixes(trie, "se"), (Found{{1, 1}}));
  EXPECT_EQ(prefixes(trie, "ea"), Found{});
  EXPECT_EQ(prefixes(trie, ""), Found{});
}

TEST(ByteTrie, FindsOnlyWholeKeys) {
  ByteTrie trie({{"sea", 3}, {"seal", 0}});
  EXPECT_EQ(trie.find("sea"), 3);
  EXPECT_EQ(trie.find("seal"), 0);
  EXPECT_EQ(trie.find("se"), -1);
  EXPECT_EQ(trie.find("seals"), -1);
  EXPECT_EQ(trie.find(""), -1);
}

TEST(ByteTrie, TheLaterOfEqualKeysCounts) {
  ByteTrie trie({{"a", 5}, {"b", 1}, {"a", 2}});
  EXPECT_EQ(trie.find("a"), 2);
}

TEST(ByteTrie, EmptyTrieAndEmptyKeyFindNothing) {
  EXPECT_EQ(prefixes(ByteTrie(), "a"), Found{});
  ByteTrie trie({{"", 4}});
  EXPECT_EQ(trie.find(""), -1);
  EXPECT_EQ(prefixes(trie, "a"), Found{});
}

TEST(ByteTrie, AgreesWithAMapForAllBytes) {
  std::mt19937 random(1);
  std::map<std::string, int64_t> map;
  std::vector<std::pair<std::string, int64_t>> entries;
  auto word = [&](size_t longest) {
    std::string out;
    for (size_t n = random() % longest + 1; n-- > 0;) out += static_cast<char>(random() % 4 * 85);  // 0 and 255 too
    return out;
  };
  for (int64_t i = 0; i < 200; ++i) {
    std::string key = word(6);
    map[key] = i;
    entries.emplace_back(key, i);
  }
  ByteTrie trie(entries);
  for (int i = 0; i < 2000; ++i) {
    std::string text = word(9);
    Found expected;
    for (size_t n = 1; n <= text.size(); ++n) {
      if (auto it = map.find(text.substr(0, n)); it != map.end()) expected.emplace_back(n, it->second);
    }
    EXPECT_EQ(prefixes(trie, text), expected);
  }
}

}  // namespace
}  // namespace prax::text
