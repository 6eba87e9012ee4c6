#include "text/unicode.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace prax::text {
namespace {

std::vector<std::string> clusters(std::string_view text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = grapheme_end(text, begin);
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

using Clusters = std::vector<std::string>;

// As Python's bytes.decode("utf-8", errors="replace").
TEST(Unicode, ReplacesEachMaximalSubpartOnce) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(replace_invalid_utf8("sea \xE2\x98\x83 \xF0\x9F\x91\x8D"), "sea \xE2\x98\x83 \xF0\x9F\x91\x8D");
  EXPECT_EQ(replace_invalid_utf8("a\x80z"), "a" + r + "z");
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF"), r + r);                  // overlong
  EXPECT_EQ(replace_invalid_utf8("\xE0\x80\x80"), r + r + r);          // overlong
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), r + r + r);          // a surrogate
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), r + r + r + r);  // beyond U+10FFFF
  EXPECT_EQ(replace_invalid_utf8("\xF5z\xFF"), r + "z" + r);
  EXPECT_EQ(replace_invalid_utf8("\xE2\x98z"), r + "z");
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x91z"), r + "z");
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\xF0\x9F\x91\x8D"), r + "\xF0\x9F\x91\x8D");
  EXPECT_EQ(replace_invalid_utf8("\xE2\x98"), r);
  EXPECT_EQ(replace_invalid_utf8(std::string_view("a\0b", 3)), std::string("a\0b", 3));
}

TEST(Unicode, KnowsValidText) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"));
  for (const char* bad : {"\x80", "\xC1\xBF", "\xE2\x98", "\xED\xBF\xBF", "\xF4\x90\x80\x80", "a\xFF"}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << bad;
    EXPECT_TRUE(is_valid_utf8(replace_invalid_utf8(bad)));
  }
}

TEST(Unicode, ReadsCharacters) {
  const std::string text = "a\xC3\xA9\xE2\x98\x83\xF0\x9F\x91\x8D";
  std::vector<char32_t> code_points;
  for (size_t at = 0; at < text.size();) {
    Character character = character_at(text, at);
    code_points.push_back(character.code_point);
    at += character.bytes;
  }
  EXPECT_EQ(code_points, (std::vector<char32_t>{'a', 0xE9, 0x2603, 0x1F44D}));
}

TEST(Unicode, CutsAtGraphemeClusters) {
  EXPECT_EQ(clusters("ab\r\nc\n\rd"), (Clusters{"a", "b", "\r\n", "c", "\n", "\r", "d"}));
  EXPECT_EQ(clusters("e\u0301\u0308x\u0301"), (Clusters{"e\u0301\u0308", "x\u0301"}));              // GB9
  EXPECT_EQ(clusters("\n\u0301"), (Clusters{"\n", "\u0301"}));                                      // GB4
  EXPECT_EQ(clusters("\u0BA8\u0BBFa"), (Clusters{"\u0BA8\u0BBF", "a"}));                            // GB9a
  EXPECT_EQ(clusters("\u0600\u0661"), (Clusters{"\u0600\u0661"}));                                  // GB9b
  EXPECT_EQ(clusters("\u0600\n"), (Clusters{"\u0600", "\n"}));                                      // GB5
  EXPECT_EQ(clusters("\u1112\u1161\u11AB\u1112"), (Clusters{"\u1112\u1161\u11AB", "\u1112"}));      // GB6 to GB8
  EXPECT_EQ(clusters("\uAC00\u11A8\uAC01\u1161"), (Clusters{"\uAC00\u11A8", "\uAC01", "\u1161"}));  // LV and LVT
  EXPECT_EQ(clusters("\u0915\u094D\u0937"), (Clusters{"\u0915\u094D\u0937"}));                      // GB9c
  EXPECT_EQ(clusters("\u0915\u094D\u200D\u0937"), (Clusters{"\u0915\u094D\u200D\u0937"}));          // ... with ZWJ
  EXPECT_EQ(clusters("\u0915\u200D\u0937"), (Clusters{"\u0915\u200D", "\u0937"}));                  // no linker
  EXPECT_EQ(clusters("\u0915\u094D\u200C\u0937"), (Clusters{"\u0915\u094D\u200C", "\u0937"}));      // ZWNJ parts
  EXPECT_EQ(clusters("a\u094D\u0937"), (Clusters{"a\u094D", "\u0937"}));                            // no consonant
  EXPECT_EQ(clusters("\U0001F469\u200D\U0001F467"), (Clusters{"\U0001F469\u200D\U0001F467"}));      // GB11
  EXPECT_EQ(clusters("\U0001F44D\U0001F3FD\u200D\u2764\uFE0F"), (Clusters{"\U0001F44D\U0001F3FD\u200D\u2764\uFE0F"}));
  EXPECT_EQ(clusters("a\u200D\U0001F467"), (Clusters{"a\u200D", "\U0001F467"}));  // not after a letter
  EXPECT_EQ(clusters("\U0001F469\u200D\u200D\U0001F467"), (Clusters{"\U0001F469\u200D\u200D", "\U0001F467"}));
  EXPECT_EQ(clusters("\U0001F1E9\U0001F1EA\U0001F1EB\U0001F1F7\U0001F1E9"),
            (Clusters{"\U0001F1E9\U0001F1EA", "\U0001F1EB\U0001F1F7", "\U0001F1E9"}));  // GB12
}

TEST(Unicode, ClassesOfHangulSyllables) {
  EXPECT_EQ(grapheme_class(0xAC00), GraphemeClass::hangul_lv);
  EXPECT_EQ(grapheme_class(0xAC01), GraphemeClass::hangul_lvt);
  EXPECT_EQ(grapheme_class(0xAC1C), GraphemeClass::hangul_lv);
  EXPECT_EQ(grapheme_class(0xD7A3), GraphemeClass::hangul_lvt);
  EXPECT_EQ(grapheme_class(0xD7A4), GraphemeClass::any);
}

TEST(Unicode, WhiteSpaceIsUnicodes) {
  std::vector<char32_t> found;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (is_white_space(c)) found.push_back(c);
  }
  const std::vector<char32_t> expected = {0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x20,   0x85,   0xA0,   0x1680,
                                          0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
                                          0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
  EXPECT_EQ(found, expected);  // PropList.txt
}

TEST(Unicode, WordCharacters) {
  for (char32_t c : {U'a', U'Z', U'0', U'_', U'\u00E9', U'\u0301', U'\u6F22', U'\u203F', U'\u200D', U'\u0663'}) {
    EXPECT_TRUE(is_word(c)) << std::hex << static_cast<uint32_t>(c);
  }
  for (char32_t c : {U' ', U'-', U'.', U'\u2603', U'\u200B', U'\u00B2', U'<', char32_t{0}}) {
    EXPECT_FALSE(is_word(c)) << std::hex << static_cast<uint32_t>(c);
  }
}

}  // namespace
}  // namespace prax::text
