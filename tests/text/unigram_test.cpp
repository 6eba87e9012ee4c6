#include "text/unigram.h"

#include <gtest/gtest.h>

#include <random>

#include "text/support.h"

namespace prax::text {
namespace {

std::vector<int64_t> encode(const Unigram& model, std::string_view word) {
  std::vector<int64_t> ids;
  model.encode(word, ids);
  return ids;
}

using Ids = std::vector<int64_t>;

TEST(Unigram, TakesTheLikeliestPieces) {
  Unigram model({{"?", 0}, {"a", -1}, {"b", -1}, {"ab", -1.5}, {"aba", -2.6}}, 0);
  EXPECT_EQ(encode(model, "ab"), (Ids{3}));
  EXPECT_EQ(encode(model, "aba"), (Ids{3, 1}));  // -2.5, better than the one piece
  EXPECT_EQ(encode(model, "ba"), (Ids{2, 1}));
  EXPECT_EQ(encode(model, ""), Ids{});
}

TEST(Unigram, AppendsToWhatIsThere) {
  Unigram model({{"?", 0}, {"a", -1}, {"b", -1}}, 0);
  std::vector<int64_t> ids = {7, 8};
  model.encode("ab", ids);
  EXPECT_EQ(ids, (Ids{7, 8, 1, 2}));
}

TEST(Unigram, UnknownCharactersBesideEachOtherAreOne) {
  Unigram model({{"?", 0}, {"a", -1}, {"\u2603", -3}}, 0);
  EXPECT_EQ(encode(model, "xyz"), (Ids{0}));
  EXPECT_EQ(encode(model, "xaz"), (Ids{0, 1, 0}));
  EXPECT_EQ(encode(model, "\u6F22\u5B57\u2603\U0001F44D"), (Ids{0, 2, 0}));
}

TEST(Unigram, AnUnknownCharacterCostsTenMoreThanTheWorstPiece) {
  // "xa" as unknown and "a" costs (worst - 10) - 1; as a piece it costs worst, which is less bad.
  EXPECT_EQ(encode(Unigram({{"?", 0}, {"a", -1}, {"xa", -30}}, 0), "xa"), (Ids{2}));
  // Of "xabc" either x is unknown, -20 - 10 + 0, or it is cut into -20 and the score of "bc".
  auto with = [](double score) { return Unigram({{"?", 0}, {"abc", 0}, {"xa", -20}, {"bc", score}}, 0); };
  EXPECT_EQ(encode(with(-9.5), "xabc"), (Ids{2, 3}));
  EXPECT_EQ(encode(with(-10.5), "xabc"), (Ids{0, 1}));
  // "xy" twice unknown is 2 (worst - 10), which is above `worst` only where scores are above 20: then the run is looked
  // up as a whole.
  Unigram high({{"?", 100}, {"xy", 100}, {"xyz", 160}}, 0);
  EXPECT_EQ(encode(high, "xy"), (Ids{1}));
  EXPECT_EQ(encode(high, "xyz"), (Ids{2}));
  EXPECT_EQ(encode(high, "yx"), (Ids{0}));
}

TEST(Unigram, OfEqualWaysTheOneThatEndsInTheLongestPieceIsKept) {
  Unigram model({{"?", 0}, {"a", -1}, {"aa", -2}}, 0);
  EXPECT_EQ(encode(model, "aa"), (Ids{2}));
  EXPECT_EQ(encode(model, "aaa"), (Ids{1, 2}));
}

TEST(Unigram, FindsPieces) {
  Unigram model({{"?", 0}, {"a", -1}, {"b", -1}, {"a", -2}}, 0);
  EXPECT_EQ(model.find("a"), 3);
  EXPECT_EQ(model.find("ab"), -1);
  EXPECT_EQ(model.text(2), "b");
  EXPECT_EQ(model.size(), 4);
  EXPECT_EQ(model.unknown_id(), 0);
}

//! The best sum over all ways to cut the word, found by trying them all.
double best_score(const std::vector<Unigram::Piece>& pieces, double unknown, std::string_view word) {
  if (word.empty()) return 0;
  double best = -1e300;
  bool single = false;
  for (size_t id = 1; id < pieces.size(); ++id) {
    if (!word.starts_with(pieces[id].text)) continue;
    single = single || pieces[id].text.size() == 1;
    best = std::max(best, pieces[id].score + best_score(pieces, unknown, word.substr(pieces[id].text.size())));
  }
  return single ? best : std::max(best, unknown + best_score(pieces, unknown, word.substr(1)));
}

TEST(Unigram, AgreesWithTryingAllWays) {
  std::mt19937 random(3);
  auto word = [&](size_t longest) {
    std::string out;
    for (size_t n = random() % longest + 1; n-- > 0;) out += static_cast<char>('a' + random() % 4);
    return out;
  };
  std::vector<Unigram::Piece> pieces = {{"?", 0}};
  for (int i = 0; i < 30; ++i) {
    std::string text = word(4);
    bool known = std::any_of(pieces.begin(), pieces.end(), [&](const auto& piece) { return piece.text == text; });
    if (!known && text != "d") pieces.push_back({text, -1.0 - static_cast<double>(random() % 1000) / 100});
  }
  double worst = 0;
  for (const auto& piece : pieces) worst = std::min(worst, piece.score);
  Unigram model(pieces, 0);
  for (int i = 0; i < 300; ++i) {
    std::string text = word(10);
    double score = 0;
    size_t known = 0;
    Ids ids = encode(model, text);
    for (int64_t id : ids) {
      if (id == 0) continue;
      score += pieces[static_cast<size_t>(id)].score;
      known += pieces[static_cast<size_t>(id)].text.size();
    }
    score += (worst - 10) * static_cast<double>(text.size() - known);
    EXPECT_NEAR(score, best_score(pieces, worst - 10, text), 1e-9) << text;
  }
}

}  // namespace
}  // namespace prax::text
