#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"

namespace prax::text {

//! The unigram language model (Kudo 2018, "Subword Regularization", arXiv 1804.10959): of all ways to cut a word into
//! pieces the one with the highest sum of log-probabilities. Sums are double, as in huggingface/tokenizers
//! (sentencepiece itself adds in float, which decides some ties otherwise).
class Unigram {
public:
  struct Piece {
    std::string text;
    double score = 0;
  };
  Unigram() = default;
  //! A piece's id is its place. `unknown_id` must be one of them.
  Unigram(std::vector<Piece> pieces, int64_t unknown_id);

  //! Appends the ids of a word's best segmentation. A character without a piece costs ten more than the worst piece;
  //! unknown characters beside each other become one unknown id.
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

  //! The id of the piece with exactly this text (of two equal ones the later), or -1.
  int64_t find(std::string_view text) const { return trie_.find(text); }
  const std::string& text(int64_t id) const { return pieces_[static_cast<size_t>(id)].text; }
  int64_t size() const { return static_cast<int64_t>(pieces_.size()); }
  int64_t unknown_id() const { return unknown_id_; }

private:
  std::vector<Piece> pieces_;
  int64_t unknown_id_ = 0;
  double unknown_score_ = 0;
  ByteTrie trie_;
};

}  // namespace prax::text
