#include "text/charsmap.h"

#include <gtest/gtest.h>

#include "text/support.h"

namespace prax::text {
namespace {

Charsmap make(const std::map<std::string, std::string>& rules) { return Charsmap(charsmap_bytes(rules), "a test"); }

Charsmap of_model(const std::filesystem::path& folder) {
  return Charsmap(SentencePieceModel::read(folder / "spiece.model").precompiled_charsmap, "spiece.model");
}

TEST(Charsmap, WithoutRulesTextStays) {
  EXPECT_EQ(Charsmap().normalize("A \xE2\x98\x83"), "A \xE2\x98\x83");
  EXPECT_EQ(Charsmap("", "a test").normalize("A"), "A");
  EXPECT_EQ(make({{"x", "y"}}).normalize(""), "");
}

TEST(Charsmap, ReplacesCharacters) {
  Charsmap map = make({{"A", "a"}, {"\u00AD", ""}, {"\u2026", "..."}});
  EXPECT_EQ(map.normalize("ABA b\u00ADc\u2026"), "aBa bc...");
  EXPECT_EQ(map.normalize(std::string("A\0A", 3)), std::string("a\0a", 3));
}

TEST(Charsmap, AShortClusterIsReplacedByItsShortestRule) {
  Charsmap map = make({{"e", "E"}, {"e\u0301", "\u00E9"}, {"\r", " "}, {"x\u0301", "y"}});
  EXPECT_EQ(map.normalize("e\u0301"), "E");  // the accent is lost with it
  EXPECT_EQ(map.normalize("a\r\nb"), "a b");
  EXPECT_EQ(map.normalize("x\u0301x"), "yx");
}

TEST(Charsmap, ALongClusterIsReplacedCharacterByCharacter) {
  Charsmap map = make({{"\u304B\u3099", "\u304C"}, {"\u304B", "k"}, {"e", "E"}});
  EXPECT_EQ(map.normalize("\u304B\u3099"), "k\u3099");                     // six bytes
  EXPECT_EQ(map.normalize("e\u0301\u0301"), "E");                          // five
  EXPECT_EQ(map.normalize("e\u0301\u0301\u0301"), "E\u0301\u0301\u0301");  // seven
}

TEST(Charsmap, ReadsTheRulesOfModels) {
  Charsmap nfkc = of_model(golden_folder());
  EXPECT_EQ(nfkc.normalize("\uFB01ne \u2460 \uFF21b"), "fine 1 Ab");
  EXPECT_EQ(nfkc.normalize("e\u0301"), "\u00E9");
  EXPECT_EQ(nfkc.normalize("\uFB01\u0301"), "fi");
  EXPECT_EQ(nfkc.normalize("a\u200Bb\tc"), "a b c");
  EXPECT_EQ(of_model(nano_folder()).normalize("SEA \u00C9"), "sea \u00E9");  // folds case
}

TEST(Charsmap, BrokenMapsAreErrors) {
  auto expect_broken = [](const std::string& blob, const std::string& text) {
    expect_error(ErrorKind::checkpoint, "normaliser in a test", [&] { Charsmap(blob, "a test").normalize(text); });
  };
  const std::string good = charsmap_bytes({{"A", "a"}});
  expect_broken("abc", "");
  expect_broken(std::string(8, '\0'), "");                  // no units
  expect_broken(std::string("\x08\0\0\0\0\0\0\0", 8), "");  // more units than bytes
  expect_broken(good + "\xFF", "");                         // a replacement that is not text
  const std::string two = charsmap_bytes({{"A", "aaa"}, {"B", "b"}});
  expect_broken(two.substr(0, two.size() - 4), "B");  // a rule that points behind the end
  const std::string far = std::string("\x04\0\0\0", 4) + std::string("\0\xFC\xFF\x7F", 4);
  expect_broken(far, "A");
  std::string middle = charsmap_bytes({{"A", "\u00E9"}});
  size_t leaf = 4 + 4 * (256 * 2);  // the value of the second node
  middle[leaf] = 1;
  expect_broken(middle, "A");
}

TEST(Charsmap, AnyDamageIsAnErrorOrText) {
  const std::string blob = SentencePieceModel::read(golden_folder() / "spiece.model").precompiled_charsmap;
  const std::string text = "a \uFB01\u0301 e\u0301 \u3042\u3099 \U0001F469\u200D\U0001F467 \uFDFA \u2460 ABC";
  for (size_t i = 0; i < 300; ++i) {
    std::string broken = blob;
    for (size_t n = 0; n < 64; ++n) broken[(i * 7919 + n * 104729) % blob.size()] = static_cast<char>(i * 37 + n);
    if (i % 3 == 0) broken.resize(blob.size() * i / 300);
    try {
      Charsmap(broken, "a test").normalize(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::checkpoint);
    }
  }
}

}  // namespace
}  // namespace prax::text
