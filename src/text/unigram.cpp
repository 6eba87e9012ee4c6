#include "text/unigram.h"

#include <algorithm>
#include <limits>

#include "text/unicode.h"

namespace prax::text {

namespace {

constexpr double unknown_penalty = 10.0;

ByteTrie make_trie(const std::vector<Unigram::Piece>& pieces) {
  std::vector<std::pair<std::string, int64_t>> entries;
  entries.reserve(pieces.size());
  for (size_t id = 0; id < pieces.size(); ++id) entries.emplace_back(pieces[id].text, static_cast<int64_t>(id));
  return ByteTrie(std::move(entries));
}

}  // namespace

Unigram::Unigram(std::vector<Piece> pieces, int64_t unknown_id)
    : pieces_(std::move(pieces)), unknown_id_(unknown_id), trie_(make_trie(pieces_)) {
  double worst = std::numeric_limits<double>::infinity();
  for (const Piece& piece : pieces_) worst = std::min(worst, piece.score);
  unknown_score_ = worst - unknown_penalty;
}

void Unigram::encode(std::string_view word, std::vector<int64_t>& ids) const {
  // Viterbi over byte positions: best[i] is the best segmentation of the first i bytes, known by its last piece.
  struct Node {
    double score = 0;
    int64_t id = -1;
    size_t begin = 0;
  };
  std::vector<Node> best(word.size() + 1);
  auto offer = [&](size_t begin, size_t end, double score, int64_t id) {
    Node& node = best[end];
    if (node.id < 0 || score > node.score) node = {score, id, begin};
  };
  for (size_t begin = 0; begin < word.size();) {
    size_t character = character_at(word, begin).bytes;
    double before = best[begin].score;
    bool known = false;
    trie_.each_prefix(word.substr(begin), [&](size_t length, int64_t id) {
      offer(begin, begin + length, pieces_[static_cast<size_t>(id)].score + before, id);
      known = known || length == character;
    });
    if (!known) offer(begin, begin + character, unknown_score_ + before, unknown_id_);
    begin += character;
  }

  size_t first = ids.size();
  for (size_t end = word.size(); end > 0;) {
    size_t begin = best[end].begin;
    int64_t id = best[end].id;
    if (id == unknown_id_) {
      while (begin > 0 && best[begin].id == unknown_id_) begin = best[begin].begin;
      // A run of unknown characters is looked up as a whole, as the reference does.
      int64_t whole = find(word.substr(begin, end - begin));
      if (whole >= 0) id = whole;
    }
    ids.push_back(id);
    end = begin;
  }
  std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
}

}  // namespace prax::text
