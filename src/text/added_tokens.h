#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/byte_trie.h"
#include "text/charsmap.h"
#include "text/unigram.h"

namespace prax::text {

//! A token that is found in the text itself, before the model sees it: "</s>", "<extra_id_0>".
struct AddedToken {
  std::string content;
  bool single_word = false;  //!< only where no word character stands beside it
  bool lstrip = false;       //!< takes the white space before it
  bool rstrip = false;       //!< takes the white space after it
  bool normalized = false;   //!< is looked for in the normalised text, in its normalised form
  bool special = false;

  bool operator==(const AddedToken&) const = default;
};

//! The added tokens of a tokenizer, as the AddedVocabulary of huggingface/tokenizers.
class AddedTokens {
public:
  //! A part of a text: an added token, or text between two.
  struct Part {
    std::string_view text;
    int64_t id = -1;  //!< -1 for text
  };

  //! Adds a token: under the model's id where the model has a piece of that text, else under the next free id. A
  //! token that is there already takes the new one's properties.
  void add(const AddedToken& token, const Unigram& model, const Charsmap& normalizer);
  //! To be called after the last add(). With `ignore_special`, special tokens are not looked for. Error(checkpoint)
  //! when two tokens cannot be told apart.
  void build(bool ignore_special);

  //! Cuts raw text at the tokens that are not normalised, the leftmost and longest first.
  std::vector<Part> split_raw(std::string_view text) const { return split(text, raw_); }
  //! Cuts normalised text at those that are.
  std::vector<Part> split_normalized(std::string_view text) const { return split(text, normalized_); }

  //! The id of the token with this content, or -1.
  int64_t find(const std::string& content) const;
  //! What a decoder shows for the id, or null when it is no added token's.
  const std::string* text(int64_t id) const;
  //! How many of them are not the model's.
  int64_t new_tokens() const { return new_tokens_; }

private:
  struct Entry {
    AddedToken token;
    std::string pattern;  // the content, or its normalised form
  };
  std::vector<Part> split(std::string_view text, const ByteTrie& patterns) const;

  std::unordered_map<std::string, int64_t> ids_;
  std::map<int64_t, Entry> entries_;
  int64_t new_tokens_ = 0;
  bool ignore_special_ = false;
  ByteTrie raw_, normalized_;
};

}  // namespace prax::text
