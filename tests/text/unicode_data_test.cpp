#include "text/unicode_data.h"

#include <gtest/gtest.h>

#include <map>

namespace prax::text {
namespace {

template <typename Range>
void expect_sorted(std::span<const Range> ranges) {
  ASSERT_FALSE(ranges.empty());
  for (size_t i = 0; i < ranges.size(); ++i) {
    EXPECT_LE(ranges[i].first, ranges[i].last);
    EXPECT_LE(ranges[i].last, 0x10FFFFU);
    if (i > 0) {
      EXPECT_GT(ranges[i].first, ranges[i - 1].last) << "range " << i;
    }
  }
}

TEST(UnicodeData, RangesAreSortedAndApart) {
  expect_sorted(grapheme_ranges());
  expect_sorted(word_ranges());
}

// The totals that GraphemeBreakProperty-17.0.0.txt and emoji-data.txt state.
TEST(UnicodeData, ClassesAreComplete) {
  std::map<GraphemeClass, size_t> total;
  for (const GraphemeRange& range : grapheme_ranges()) total[range.value] += range.last - range.first + 1;
  EXPECT_EQ(total[GraphemeClass::carriage_return], 1U);
  EXPECT_EQ(total[GraphemeClass::line_feed], 1U);
  EXPECT_EQ(total[GraphemeClass::zero_width_joiner], 1U);
  EXPECT_EQ(total[GraphemeClass::regional_indicator], 26U);
  EXPECT_EQ(total[GraphemeClass::hangul_l], 125U);
  EXPECT_EQ(total[GraphemeClass::hangul_v], 100U);
  EXPECT_EQ(total[GraphemeClass::hangul_t], 137U);
  EXPECT_EQ(total[GraphemeClass::any], 0U);
  EXPECT_EQ(total[GraphemeClass::hangul_lv] + total[GraphemeClass::hangul_lvt], 0U);
}

TEST(UnicodeData, LinkersAreSortedAndExtend) {
  auto linkers = conjunct_linkers();
  EXPECT_EQ(linkers.size(), 20U);
  for (size_t i = 0; i < linkers.size(); ++i) {
    if (i > 0) {
      EXPECT_GT(linkers[i], linkers[i - 1]);
    }
    bool extends = false;
    for (const GraphemeRange& range : grapheme_ranges()) {
      if (range.first <= linkers[i] && linkers[i] <= range.last) extends = range.value == GraphemeClass::extend;
    }
    EXPECT_TRUE(extends) << std::hex << static_cast<uint32_t>(linkers[i]);
  }
}

}  // namespace
}  // namespace prax::text
