#include "base/human.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace prax {
namespace {

TEST(HumanBytes, PicksTheUnitThatReadsBest) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1 kB");
  EXPECT_EQ(human_bytes(1540), "1.5 kB");
  EXPECT_EQ(human_bytes(999'400), "999 kB");
  EXPECT_EQ(human_bytes(999'600), "1 MB");
  EXPECT_EQ(human_bytes(1'923'000'000), "1.9 GB");
  EXPECT_EQ(human_bytes(312'400'000), "312 MB");
  EXPECT_EQ(human_bytes(std::numeric_limits<uint64_t>::max()), "18.4 EB");
}

TEST(HumanCount, NamesMillionsAndBillions) {
  EXPECT_EQ(human_count(950), "950");
  EXPECT_EQ(human_count(12'345), "12.3 k");
  EXPECT_EQ(human_count(345'000'000), "345 million");
  EXPECT_EQ(human_count(1'923'385'472), "1.92 billion");
}

TEST(HumanDuration, GrowsCoarserWithLength) {
  EXPECT_EQ(human_duration(0.44), "0.4 s");
  EXPECT_EQ(human_duration(9.97), "10 s");
  EXPECT_EQ(human_duration(59.7), "1 min 00 s");
  EXPECT_EQ(human_duration(192), "3 min 12 s");
  EXPECT_EQ(human_duration(7512), "2 h 05 min");
  EXPECT_EQ(human_duration(3599.6), "1 h 00 min");
  EXPECT_EQ(human_duration(-1), "?");
  EXPECT_EQ(human_duration(std::nan("")), "?");
}

TEST(HumanNumber, IsTheShortestThatReadsBack) {
  EXPECT_EQ(human_number(3), "3");
  EXPECT_EQ(human_number(0.05), "0.05");
}

TEST(Slug, MakesAFileNameOfAPrompt) {
  EXPECT_EQ(slug("A red balloon, rising!", 48, "video"), "a-red-balloon-rising");
  EXPECT_EQ(slug("don't look", 48, "video"), "dont-look");
  EXPECT_EQ(slug("one two three", 9, "video"), "one-two");
  EXPECT_EQ(slug("incomprehensibilities", 6, "video"), "incomp");
  EXPECT_EQ(slug("../../etc/passwd", 48, "video"), "etc-passwd");
  EXPECT_EQ(slug("日没の海", 48, "video"), "video");
}

TEST(Utf8, AcceptsEveryLengthAndEdge) {
  EXPECT_EQ(invalid_utf8_offset(""), std::string_view::npos);
  EXPECT_EQ(
      invalid_utf8_offset("a\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
      std::string_view::npos);
}

TEST(Utf8, NamesTheFirstBadByte) {
  EXPECT_EQ(invalid_utf8_offset("abc\xff"
                                "def"),
            3u);
  EXPECT_EQ(invalid_utf8_offset("\x80"), 0u);              // a continuation without a lead
  EXPECT_EQ(invalid_utf8_offset("a\xc0\xaf"), 1u);         // overlong
  EXPECT_EQ(invalid_utf8_offset("\xe0\x9f\xbf"), 0u);      // overlong
  EXPECT_EQ(invalid_utf8_offset("ab\xed\xa0\x80"), 2u);    // a surrogate
  EXPECT_EQ(invalid_utf8_offset("\xf4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(invalid_utf8_offset("caf\xc3"), 3u);           // cut off
  EXPECT_EQ(invalid_utf8_offset("\xf0\x9f\x8e"), 0u);      // cut off
}

}  // namespace
}  // namespace prax
