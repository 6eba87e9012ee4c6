#include "text/added_tokens.h"

#include <gtest/gtest.h>

#include "text/support.h"

namespace prax::text {
namespace {

class AddedTokensTest : public ::testing::Test {
protected:
  void add(AddedToken token) { tokens_.add(token, model_, lower_); }
  void build(bool ignore_special = false) { tokens_.build(ignore_special); }
  //! "text|text" with an id in brackets after each part that is a token.
  std::string raw(std::string_view text) const { return show(tokens_.split_raw(text)); }
  std::string normalized(std::string_view text) const { return show(tokens_.split_normalized(text)); }

  static std::string show(const std::vector<AddedTokens::Part>& parts) {
    std::string out;
    for (const auto& part : parts) {
      if (!out.empty()) out += "|";
      out += part.text;
      if (part.id >= 0) out += "[" + std::to_string(part.id) + "]";
    }
    return out;
  }

  Unigram model_{{{"<pad>", 0}, {"</s>", 0}, {"<unk>", 0}, {"sea", -1}}, 2};
  Charsmap lower_{charsmap_bytes({{"A", "a"}, {"B", "b"}, {"\u00AD", ""}}), "a test"};
  AddedTokens tokens_;
};

TEST_F(AddedTokensTest, IdsAreTheModelsOrFollowIt) {
  add({.content = "</s>", .special = true});
  add({.content = "<new>"});
  add({.content = "sea"});
  add({.content = "<other>"});
  add({.content = "<new>", .lstrip = true});  // the same again
  add({.content = ""});
  EXPECT_EQ(tokens_.find("</s>"), 1);
  EXPECT_EQ(tokens_.find("<new>"), 4);
  EXPECT_EQ(tokens_.find("sea"), 3);
  EXPECT_EQ(tokens_.find("<other>"), 5);
  EXPECT_EQ(tokens_.find("<pad>"), -1);
  EXPECT_EQ(tokens_.new_tokens(), 2);
  ASSERT_NE(tokens_.text(5), nullptr);
  EXPECT_EQ(*tokens_.text(5), "<other>");
  EXPECT_EQ(tokens_.text(0), nullptr);
  build();
  EXPECT_EQ(raw("a <new>"), "a| <new>[4]");  // the later properties count
}

TEST_F(AddedTokensTest, CutsAtTheLeftmostAndLongest) {
  add({.content = "<x>"});
  add({.content = "<x><y>"});
  add({.content = "y><x"});
  build();
  EXPECT_EQ(raw("a<x>b"), "a|<x>[4]|b");
  EXPECT_EQ(raw("<x><y><x>"), "<x><y>[5]|<x>[4]");
  EXPECT_EQ(raw("<y><x>"), "<|y><x[6]|>");
  EXPECT_EQ(raw("none"), "none");
  EXPECT_EQ(raw(""), "");
}

TEST_F(AddedTokensTest, TakesWhiteSpaceBesideIt) {
  add({.content = "<l>", .lstrip = true});
  add({.content = "<r>", .rstrip = true});
  build();
  EXPECT_EQ(raw("a \u3000<l> b"), "a| \u3000<l>[4]| b");
  EXPECT_EQ(raw("a <r>\n\t b"), "a |<r>\n\t [5]|b");
  EXPECT_EQ(raw("<r>  <l>"), "<r>  [5]|<l>[4]");  // what one took the other does not
}

TEST_F(AddedTokensTest, SingleWordsStandAlone) {
  add({.content = "red", .single_word = true});
  build();
  EXPECT_EQ(raw("red"), "red[4]");
  EXPECT_EQ(raw("a red, red"), "a |red[4]|, |red[4]");
  EXPECT_EQ(raw("redder unred red_ \u00E9red red\u0301"), "redder unred red_ \u00E9red red\u0301");
}

TEST_F(AddedTokensTest, NormalisedTokensAreFoundInNormalisedText) {
  add({.content = "AB", .normalized = true});
  add({.content = "BA"});
  build();
  EXPECT_EQ(raw("AB BA"), "AB |BA[5]");
  EXPECT_EQ(normalized("ab BA"), "ab[4]| BA");
  EXPECT_EQ(*tokens_.text(4), "ab");
}

TEST_F(AddedTokensTest, SpecialTokensMayBeIgnored) {
  add({.content = "</s>", .special = true});
  add({.content = "<x>"});
  build(true);
  EXPECT_EQ(raw("</s><x>"), "</s>|<x>[4]");
}

TEST_F(AddedTokensTest, TokensThatCannotBeToldApartAreErrors) {
  add({.content = "AB", .normalized = true});
  add({.content = "ab", .normalized = true});
  expect_error(ErrorKind::checkpoint, "the same as another", [&] { build(); });
}

TEST_F(AddedTokensTest, TokensThatNormaliseToNothingAreErrors) {
  add({.content = "\u00AD", .normalized = true});
  expect_error(ErrorKind::checkpoint, "is empty", [&] { build(); });
}

}  // namespace
}  // namespace prax::text
